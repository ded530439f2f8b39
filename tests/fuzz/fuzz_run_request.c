/* SPDX-License-Identifier: MIT */
/*
 * fuzz_run_request.c - any body: refused in valid JSON, or packed so that a worker can read it.
 */
#include <errno.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/inputs/file_reference.h"
#include "dispatcher/inputs/input.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/text/json_scan.h"
#include "dispatcher/text/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_detail(const struct api_error *error)
{
    struct json_error wrong;
    mr_assert(error->status == 422);
    mr_assert(!error->is_result);
    mr_assert(json_scan(error->detail, strlen(error->detail), NULL, &wrong) == 0);
}

static void check_payload(const uint8_t *payload, size_t bytes, uint32_t input_count)
{
    msgpack_unpacked unpacked;
    size_t offset = 0;
    mr_assert(packed_is_sound(payload, bytes, PACKED_DEPTH_MAX));
    msgpack_unpacked_init(&unpacked);
    mr_assert(msgpack_unpack_next(&unpacked, (const char *)payload, bytes, &offset) ==
              MSGPACK_UNPACK_SUCCESS);
    mr_assert(offset == bytes);
    mr_assert(unpacked.data.type == MSGPACK_OBJECT_ARRAY);
    mr_assert(unpacked.data.via.array.size == 2);
    mr_assert(unpacked.data.via.array.ptr[0].type == MSGPACK_OBJECT_STR);
    mr_assert(unpacked.data.via.array.ptr[1].type == MSGPACK_OBJECT_ARRAY);
    mr_assert(unpacked.data.via.array.ptr[1].via.array.size == input_count);
    msgpack_unpacked_destroy(&unpacked);
}

/* Whatever a client names its files, the loop can read it. */
static void check_references(const uint8_t *at, size_t bytes)
{
    const uint8_t *end = at + bytes;
    struct file_reference reference;
    uint32_t count = 0;
    int rc;
    while ((rc = file_reference_next(&at, end, &reference)) > 0)
        count++;
    mr_assert(rc == 0 && count <= RUN_FILE_COUNT_MAX);
}

static void check_pack(const struct run_request *request, const struct variables *variables)
{
    struct api_error error;
    struct run_payload payload = {0};
    int rc = run_request_pack(request, variables, "run_0", &payload, &error);
    mr_assert(rc == 0 || rc == -EINVAL);
    if (rc < 0) {
        mr_assert(error.status == 400);
        mr_assert(error.is_result);
        mr_assert(error.message[0] != '\0');
        mr_assert(payload.memory == NULL);
        return;
    }
    check_payload(payload.memory, payload.bytes, variables->input_count);
    check_references(payload.memory + payload.bytes, payload.reference_bytes);
    free(payload.memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char title[] = "title";
    static uint8_t default_msgpack[] = {0x05};
    static char image[] = "image", *file_keys[] = {image};
    struct input_variable inputs[] = {
        {.type = MR_STRING, .title = title},
        {.type = MR_INTEGER},
        {.type = MR_FILE, .optional = true},
        {.type = MR_DICTIONARY, .optional = true},
        {.type = MR_DICTIONARY, .optional = true, .file_key_count = 1, .file_keys = file_keys},
        {.type = MR_ARRAY, .optional = true},
        {.type = MR_FP, .optional = true, .default_msgpack = default_msgpack, .default_bytes = 1},
        {.type = MR_BOOLEAN, .optional = true},
        {.type = MR_NONE, .optional = true},
    };
    struct run_request request;
    struct api_error error;
    int rc = run_request_parse(&request, (const char *)data, bytes, &error);
    mr_assert(rc == 0 || rc == -EINVAL);
    if (rc < 0) {
        check_detail(&error);
        return 0;
    }
    for (uint32_t first = 0; first < ARRAY_COUNT(inputs); first++) {
        struct variables variables = {.inputs = inputs + first,
                                      .input_count = (uint32_t)ARRAY_COUNT(inputs) - first};
        check_pack(&request, &variables);
        variables.input_count = 1;
        check_pack(&request, &variables);
    }
    run_request_finish(&request);
    return 0;
}
