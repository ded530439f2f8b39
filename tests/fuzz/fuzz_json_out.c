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
#include "tests/unit/dispatcher/edge.h"

#define DATA_BYTES_MAX (256u * 1024) /* fewer values than json_scan() takes */
#define OUTPUT_COUNT 4
#define FILE_COUNT 4u
#define FILES_NAMED_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct edge room;

/* There are a few files, of each of which as much is said as may be. */
static size_t write_file(void *owner, uint32_t number, char *out)
{
    static const char head[] = "{\"name\":\"", tail[] = "\"}";
    const size_t bytes = JSON_FILE_OBJECT_BYTES_MAX;
    (void)owner;
    if (number >= FILE_COUNT)
        return 0;
    memset(out, 'a', bytes);
    memcpy(out, head, sizeof head - 1);
    memcpy(out + bytes - (sizeof tail - 1), tail, sizeof tail - 1);
    return bytes;
}

static const struct json_files files = {.write = write_file};

/* Room of `bytes` that ends at the edge. */
static char *room_of(size_t bytes)
{
    if (room.map == NULL)
        room = edge_create(json_out_bound(DATA_BYTES_MAX, OUTPUT_COUNT) +
                           (size_t)FILES_NAMED_MAX * JSON_FILE_BYTES_MAX);
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
    const size_t file_count = json_out_file_count(payload, bytes);
    size_t bound = json_out_bound(bytes, output_count) + file_count * JSON_FILE_BYTES_MAX;
    if (file_count > FILES_NAMED_MAX)
        return;
    char *out = room_of(bound);
    int64_t result =
        json_out_outputs(payload, bytes, output_count, file_count > 0 ? &files : NULL, out);
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
    int64_t result = json_out_value(payload, bytes, NULL, &consumed, &type, out);
    if (result < 0)
        return;
    mr_assert(consumed > 0);
    mr_assert(consumed <= bytes);
    mr_assert(type != NULL);
    check_json(out, (size_t)result);
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
    check_text(data + 1, bytes - 1, data[0]);
    check_text(data + 1, bytes - 1, json_out_bound(bytes, 0));
    return 0;
}
