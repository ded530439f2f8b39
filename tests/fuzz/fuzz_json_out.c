/* SPDX-License-Identifier: MIT */
/*
 * fuzz_json_out.c - whatever a worker writes as a chunk: within the bound, and JSON or refused.
 *
 * The first byte says how many outputs are expected; the rest is the payload. The room for the text
 * is exactly the bound and ends where a page begins that cannot be touched.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/json_out.h"
#include "dispatcher/text/json_scan.h"
#include "dispatcher/text/packed.h"
#include "dispatcher/text/packed_files.h"
#include "tests/unit/dispatcher/edge.h"

#define DATA_BYTES_MAX (256u * 1024) /* fewer values than json_scan() takes */
#define OUTPUT_COUNT 4
#define FILES_BYTES_MAX 4096u /* each six of which may become a hundred */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct edge room;

/* Room of `bytes` that ends at the edge. */
static char *room_of(size_t bytes)
{
    if (room.map == NULL)
        room = edge_create(json_out_bound(DATA_BYTES_MAX, OUTPUT_COUNT));
    mr_assert(bytes <= room.count);
    return (char *)room.bytes + room.count - bytes;
}

static void check_json(const char *text, size_t bytes)
{
    struct json_error error;
    mr_assert(memchr(text, '\n', bytes) == NULL);
    mr_assert(memchr(text, '\r', bytes) == NULL);
    mr_assert(json_scan(text, bytes, NULL, &error) == 0);
}

static void check_outputs(const uint8_t *payload, size_t bytes, size_t output_count)
{
    size_t bound = json_out_bound(bytes, output_count);
    char *out = room_of(bound);
    int64_t result = json_out_outputs(payload, bytes, output_count, out);
    if (result < 0) {
        mr_assert(result == -EILSEQ || result == -ELOOP || result == -EBADMSG);
        return;
    }
    mr_assert(result > 0);
    mr_assert((size_t)result <= bound);
    char *list = malloc((size_t)result + 2);
    mr_assert(list != NULL);
    list[0] = '[';
    memcpy(list + 1, out, (size_t)result);
    list[result + 1] = ']';
    check_json(list, (size_t)result + 2);
    free(list);
}

static void check_value(const uint8_t *payload, size_t bytes)
{
    char *out = room_of(json_out_bound(bytes, 0));
    size_t consumed = 0;
    const char *type = NULL;
    int64_t result = json_out_value(payload, bytes, &consumed, &type, out);
    if (result < 0)
        return;
    mr_assert(consumed > 0);
    mr_assert(consumed <= bytes);
    mr_assert(type != NULL);
    check_json(out, (size_t)result);
}

/* There are four, of names that are no text either. */
static bool find_file(void *owner, uint32_t number, struct packed_file *out)
{
    (void)owner;
    *out = (struct packed_file){"a \"b\"\xff", "path", "url", number};
    return number < 4;
}

/* With its files written out a value is one that can be read to its end. */
static void check_files(const uint8_t *payload, size_t bytes)
{
    const struct packed_files files = {.find = find_file};
    struct text expanded = {0};
    size_t consumed;
    if (bytes <= FILES_BYTES_MAX &&
        packed_files_expand(payload, bytes, &files, &consumed, &expanded) == 0) {
        mr_assert(consumed > 0);
        mr_assert(consumed <= bytes);
        mr_assert(packed_file_count((const uint8_t *)expanded.bytes, expanded.count) == 0);
        const uint8_t *start = (const uint8_t *)expanded.bytes;
        mr_assert(packed_skip(start, start + expanded.count) == start + expanded.count);
    }
    text_finish(&expanded);
}

static void check_text(const uint8_t *text, size_t bytes, size_t room_bytes)
{
    char *out = room_of(room_bytes);
    size_t written = json_out_text((const char *)text, bytes, out, room_bytes);
    mr_assert(written <= room_bytes);
    mr_assert((written == 0) == (room_bytes < 8));
    if (written > 0)
        check_json(out, written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || bytes > DATA_BYTES_MAX)
        return 0;
    check_outputs(data + 1, bytes - 1, 1 + data[0] % OUTPUT_COUNT);
    check_value(data + 1, bytes - 1);
    check_files(data + 1, bytes - 1);
    check_text(data + 1, bytes - 1, data[0]);
    check_text(data + 1, bytes - 1, json_out_bound(bytes, 0));
    return 0;
}
