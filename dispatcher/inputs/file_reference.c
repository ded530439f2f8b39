/* SPDX-License-Identifier: MIT */
/* file_reference.c - the names of files beside packed inputs. */
#include "dispatcher/inputs/file_reference.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/text/packed.h"
#include "dispatcher/text/utf8.h"

static int reference_text_pack(msgpack_packer *packer, const char *text, uint32_t bytes)
{
    int rc = msgpack_pack_str(packer, bytes);
    return rc < 0 || bytes == 0 ? rc : msgpack_pack_str_body(packer, text, bytes);
}

int file_reference_pack(struct input_packing *packing, const struct file_reference *reference)
{
    msgpack_packer *packer = &packing->packer;
    int rc = msgpack_pack_array(packer, 4);
    if (rc == 0)
        rc = msgpack_pack_uint32(packer, reference->input);
    if (rc == 0)
        rc = reference->is_url ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    if (rc == 0)
        rc = reference_text_pack(packer, reference->where, reference->where_bytes);
    if (rc == 0)
        rc = reference_text_pack(packer, reference->name, reference->name_bytes);
    return rc;
}

/* NULL: it is no text. */
static const uint8_t *reference_text_read(const uint8_t *in, const uint8_t *end, const char **text,
                                          uint32_t *bytes)
{
    struct packed_item item;
    in = packed_read_kind(in, end, PACKED_STRING, &item);
    if (!in || memchr(item.text, '\0', item.u.count) ||
        !utf8_is_valid((const char *)item.text, item.u.count))
        return NULL;
    *text = (const char *)item.text;
    *bytes = item.u.count;
    return in;
}

int file_reference_next(const uint8_t **at, const uint8_t *end, struct file_reference *out)
{
    struct packed_item array, input, is_url;
    if (*at == end)
        return 0;
    const uint8_t *in = packed_read_kind(*at, end, PACKED_ARRAY, &array);
    in = packed_read_kind(in, end, PACKED_NATURAL, &input);
    in = packed_read_kind(in, end, PACKED_BOOLEAN, &is_url);
    if (in)
        in = reference_text_read(in, end, &out->where, &out->where_bytes);
    if (in)
        in = reference_text_read(in, end, &out->name, &out->name_bytes);
    if (!in || array.u.count != 4 || input.u.natural == 0 || input.u.natural > INPUT_COUNT_MAX ||
        out->where_bytes == 0)
        return -EBADMSG;
    out->input = (uint32_t)input.u.natural;
    out->is_url = is_url.u.boolean;
    *at = in;
    return 1;
}
