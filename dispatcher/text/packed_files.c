/* SPDX-License-Identifier: MIT */
/* packed_files.c - msgpack is copied, but for the files in it. */
#include "dispatcher/text/packed_files.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "dispatcher/text/packed.h"
#include "millrace/protocol.h"

bool packed_is_file(const uint8_t *bytes, size_t count)
{
    return count >= CHUNK_FILE_BYTES && memcmp(bytes, CHUNK_FILE_HEAD, CHUNK_FILE_HEAD_BYTES) == 0;
}

static bool packed_is_mark(const uint8_t *bytes, size_t count)
{
    return count >= CHUNK_EXHAUSTED_BYTES &&
           memcmp(bytes, CHUNK_EXHAUSTED, CHUNK_EXHAUSTED_BYTES) == 0;
}

size_t packed_file_count(const uint8_t *payload, size_t bytes)
{
    const uint8_t *in = payload, *end = payload + bytes;
    size_t count = 0;
    while (in && in < end) {
        struct packed_item item;
        const size_t left = (size_t)(end - in);
        if (packed_is_file(in, left)) {
            count++;
            in += CHUNK_FILE_BYTES;
        } else if (packed_is_mark(in, left)) {
            in += CHUNK_EXHAUSTED_BYTES;
        } else {
            in = packed_read(in, end, &item);
        }
    }
    return in ? count : 0;
}

static void packed_add_text(struct text *out, const char *text)
{
    const size_t bytes = strlen(text);
    const uint16_t length = htobe16((uint16_t)bytes);
    mr_assert(bytes <= UINT16_MAX);
    text_add_bytes(out, "\xda", 1);
    text_add_bytes(out, (const char *)&length, sizeof length);
    text_add_bytes(out, text, bytes);
}

static void packed_add_natural(struct text *out, uint64_t natural)
{
    const uint64_t number = htobe64(natural);
    text_add_bytes(out, "\xcf", 1);
    text_add_bytes(out, (const char *)&number, sizeof number);
}

static int packed_add_file(struct text *out, const uint8_t *in, const struct packed_files *files)
{
    const uint32_t number = (uint32_t)packed_number(in + CHUNK_FILE_HEAD_BYTES, VALUE_FILE_BYTES);
    struct packed_file file;
    if (!files->find(files->owner, number, &file))
        return -EBADMSG;
    text_add_bytes(out, "\x83", 1);
    packed_add_text(out, "type");
    packed_add_text(out, "file");
    packed_add_text(out, "value");
    text_add_bytes(out, "\xc0", 1);
    packed_add_text(out, "file");
    text_add_bytes(out, "\x84", 1);
    packed_add_text(out, "name");
    packed_add_text(out, file.name);
    packed_add_text(out, "path");
    packed_add_text(out, file.path);
    packed_add_text(out, "size");
    packed_add_natural(out, file.bytes);
    packed_add_text(out, "url");
    packed_add_text(out, file.url);
    return 0;
}

int packed_files_expand(const uint8_t *bytes, size_t count, const struct packed_files *files,
                        size_t *consumed, struct text *out)
{
    const uint8_t *in = bytes, *end = bytes + count;
    const uint8_t *copied = bytes; /* up to here */
    for (uint64_t left = 1; left > 0; left--) {
        struct packed_item item;
        if (packed_is_file(in, (size_t)(end - in))) {
            text_add_bytes(out, (const char *)copied, (size_t)(in - copied));
            int rc = packed_add_file(out, in, files);
            if (rc < 0)
                return rc;
            in += CHUNK_FILE_BYTES;
            copied = in;
            continue;
        }
        in = packed_read(in, end, &item);
        if (!in)
            return -EBADMSG;
        if (item.kind == PACKED_ARRAY)
            left += item.u.count;
        else if (item.kind == PACKED_MAP)
            left += 2 * (uint64_t)item.u.count;
    }
    text_add_bytes(out, (const char *)copied, (size_t)(in - copied));
    *consumed = (size_t)(in - bytes);
    return out->failed ? -ENOMEM : 0;
}
