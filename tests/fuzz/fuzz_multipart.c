/* SPDX-License-Identifier: MIT */
/*
 * fuzz_multipart.c - a form is the same however it arrives, and its data is what lies between its
 * boundaries; names in its heads are read within their bounds.
 *
 * Input: two bytes that say where to cut, then a form with the boundary XY.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/http_parameter.h"
#include "dispatcher/http/multipart.h"

#define CHOICE_BYTES 2u
#define INPUT_BYTES_MAX 65536u
#define TYPE "multipart/form-data; boundary=XY"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct taken {
    int rc;
    size_t count; /* of data, and a byte for each part */
    uint32_t part_count;
    char bytes[2 * INPUT_BYTES_MAX];
};

static struct taken whole, pieces;
static struct multipart form;

static void take_name(void)
{
    char name[16];
    struct http_text field = multipart_disposition(&form);
    mr_assert(field.bytes <= MULTIPART_HEAD_BYTES_MAX);
    mr_assert(http_parameter_filename(field, name, sizeof name) <= (int64_t)sizeof name);
    mr_assert(http_parameter_find(field, "name", name, sizeof name) <= (int64_t)sizeof name);
}

static void take_piece(struct taken *out, const char *bytes, size_t count)
{
    char *copy = malloc(count + 1); /* of its own, so that a read beyond is seen */
    mr_assert(copy);
    memcpy(copy, bytes, count);
    char *tight = realloc(copy, count > 0 ? count : 1);
    mr_assert(tight);
    size_t at = 0;
    do {
        const char *reason;
        size_t consumed = 0;
        struct http_text data;
        out->rc = multipart_feed(&form, tight + at, count - at, &consumed, &data, &reason);
        if (out->rc < 0)
            break;
        mr_assert(consumed <= count - at);
        mr_assert((out->rc == MULTIPART_DATA) == (data.bytes > 0));
        at += consumed;
        mr_assert(out->count + data.bytes < sizeof out->bytes);
        if (data.bytes > 0)
            memcpy(out->bytes + out->count, data.data, data.bytes);
        out->count += data.bytes;
        if (out->rc == MULTIPART_PART) {
            out->part_count++;
            take_name();
        }
    } while (out->rc != MULTIPART_MORE && out->rc != MULTIPART_COMPLETE);
    mr_assert(out->rc < 0 || at == count);
    free(tight);
}

static void take(struct taken *out, const char *bytes, size_t count, size_t first, size_t step)
{
    const char *reason;
    size_t at = 0;
    out->count = 0;
    out->part_count = 0;
    out->rc = multipart_init(&form, (struct http_text){TYPE, sizeof TYPE - 1}, &reason);
    mr_assert(out->rc == 0);
    for (size_t next = first; at < count && out->rc >= 0; next = step) {
        const size_t piece = next < count - at ? next : count - at;
        take_piece(out, bytes + at, piece);
        at += piece;
    }
}

/* Each part's data, looked for in the plainest way. */
static void check_plain_reading(const char *bytes, size_t count)
{
    const char *at = bytes, *end = bytes + count, *data = whole.bytes;
    for (uint32_t i = 0; i < whole.part_count; i++) {
        at = memmem(at, (size_t)(end - at), "\r\n", 2); /* behind the boundary */
        mr_assert(at);
        const char *head_end = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        mr_assert(head_end);
        const char *next = memmem(head_end + 4, (size_t)(end - head_end) - 4, "\r\n--XY", 6);
        mr_assert(next);
        const size_t part = (size_t)(next - head_end) - 4;
        mr_assert(memcmp(data, head_end + 4, part) == 0);
        data += part;
        at = next + 6;
    }
    mr_assert(data == whole.bytes + whole.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < CHOICE_BYTES || bytes > INPUT_BYTES_MAX)
        return 0;
    const char *text = (const char *)data + CHOICE_BYTES;
    const size_t count = bytes - CHOICE_BYTES;
    take(&whole, text, count, count, count);
    take(&pieces, text, count, data[0] % 64 + 1u, data[1] % 64 + 1u);
    mr_assert(whole.rc == pieces.rc);
    mr_assert(whole.part_count == pieces.part_count);
    mr_assert(whole.count == pieces.count);
    mr_assert(memcmp(whole.bytes, pieces.bytes, whole.count) == 0);
    if (whole.rc == MULTIPART_COMPLETE)
        check_plain_reading(text, count);
    return 0;
}
