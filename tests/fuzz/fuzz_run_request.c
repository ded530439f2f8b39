/* SPDX-License-Identifier: MIT */
/*
 * fuzz_run_request.c - any body: refused in valid JSON, or packed so that a worker can read it.
 */
#include <errno.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static void check_pack(const struct run_request *request, const struct variables *variables)
{
    struct api_error error;
    uint8_t *payload = NULL;
    size_t bytes;
    int rc = run_request_pack(request, variables, "run_0", &payload, &bytes, &error);
    mr_assert(rc == 0 || rc == -EINVAL);
    if (rc < 0) {
        mr_assert(error.status == 400);
        mr_assert(error.is_result);
        mr_assert(error.message[0] != '\0');
        mr_assert(payload == NULL);
        return;
    }
    check_payload(payload, bytes, variables->input_count);
    free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char title[] = "title";
    static uint8_t default_msgpack[] = {0x05};
    struct input_variable inputs[] = {
        {.type = MR_STRING, .title = title},
        {.type = MR_INTEGER},
        {.type = MR_DICTIONARY, .optional = true},
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
