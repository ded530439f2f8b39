/* SPDX-License-Identifier: MIT */
/* file_text.c - values whose files are written out, and then the rest. */
#include "dispatcher/api/formats/file_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/files/file_url.h"
#include "dispatcher/staging/giving.h"
#include "dispatcher/text/json_out.h"
#include "dispatcher/text/packed.h"
#include "dispatcher/text/packed_files.h"

/* Of one value: where its files are looked for. */
struct file_text {
    const struct run *run;
    const struct answer *answer;
    char url[FILE_URL_BYTES]; /* of the last one */
};

bool file_text_is_needed(const struct run *run, const uint8_t *data, size_t bytes)
{
    const size_t count = run->given ? packed_file_count(data, bytes) : 0;
    return count > 0 && count <= GIVEN_COUNT_MAX;
}

static bool file_text_find(void *owner, uint32_t number, struct packed_file *out)
{
    struct file_text *text = owner;
    const struct file *file = giving_show(text->run->given, number);
    if (!file)
        return false;
    file_url_format(file->files, text->answer->base, file->about.id, text->url);
    *out = (struct packed_file){.name = file->about.name,
                                .path = file->about.id,
                                .url = text->url,
                                .bytes = file->about.bytes};
    return true;
}

int file_text_expand(const struct answer *answer, const struct run *run, const uint8_t *data,
                     size_t bytes, size_t *consumed, bool *is_file, struct text *out)
{
    struct file_text text = {.run = run, .answer = answer};
    const struct packed_files files = {&text, file_text_find};
    *is_file = packed_is_file(data, bytes);
    out->count = 0;
    return packed_files_expand(data, bytes, &files, consumed, out);
}

int output_text_add(struct text *out, const uint8_t *data, size_t bytes, bool is_file,
                    size_t *consumed)
{
    const char *type;
    char head[48];
    char *room = text_reserve(out, json_out_bound(bytes, 1));
    if (!room)
        return -ENOMEM;
    int64_t written = json_out_value(data, bytes, consumed, &type, room);
    if (written < 0)
        return (int)written;
    out->count += (size_t)written;
    if (is_file)
        return 0;
    /* What is in front of the value is known by now. */
    const int head_bytes = snprintf(head, sizeof head, "{\"type\":\"%s\",\"value\":", type);
    memmove(room + head_bytes, room, (size_t)written);
    memcpy(room, head, (size_t)head_bytes);
    out->count += (size_t)head_bytes;
    text_add(out, ",\"file\":null}");
    return 0;
}

int file_text_outputs(const struct answer *answer, const struct run *run, const uint8_t *data,
                      size_t bytes, struct text *out)
{
    const uint8_t *in = data, *end = data + bytes;
    struct packed_item list;
    struct text packed = {0};
    int rc = 0;
    in = packed_read(in, end, &list);
    if (!in || list.kind != PACKED_ARRAY || list.u.count != answer->output_count)
        return -EBADMSG;
    for (uint32_t i = 0; rc == 0 && i < list.u.count; i++) {
        size_t expanded, consumed = CHUNK_EXHAUSTED_BYTES;
        bool is_file;
        if (i > 0)
            text_add(out, ",");
        if (json_out_is_exhausted(in, (size_t)(end - in))) {
            text_add(out, "{\"type\":\"none\",\"value\":null,\"file\":null}");
        } else {
            rc =
                file_text_expand(answer, run, in, (size_t)(end - in), &consumed, &is_file, &packed);
            if (rc == 0)
                rc = output_text_add(out, (const uint8_t *)packed.bytes, packed.count, is_file,
                                     &expanded);
        }
        in += rc == 0 ? consumed : 0;
    }
    text_finish(&packed);
    if (rc == 0 && in != end)
        rc = -EBADMSG;
    return rc == 0 && out->failed ? -ENOMEM : rc;
}
