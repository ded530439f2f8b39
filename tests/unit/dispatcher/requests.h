/* SPDX-License-Identifier: MIT */
/*
 * requests.h - run requests for tests: parsed, and refused with the words that are expected.
 */
#ifndef TEST_REQUESTS_H
#define TEST_REQUESTS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/inputs/run_request.h"
#include "tests/unit/dispatcher/edge.h"

#define RUN_ID "run_0123456789abcdef0123456789abcdef"

static inline int parse_bytes(struct run_request *out, const char *body, size_t bytes,
                              struct api_error *error)
{
    struct edge edge = edge_copy(body, bytes);
    int rc = run_request_parse(out, edge.bytes, bytes, error);
    edge_destroy(&edge); /* the request keeps nothing of it */
    return rc;
}

static inline struct run_request parsed(const char *body)
{
    struct run_request request;
    struct api_error error;
    if (parse_bytes(&request, body, strlen(body), &error) != 0)
        fail_msg("%s: %s", body, error.detail);
    return request;
}

/* Packs the inputs: 0, or a failure with `error`. */
static inline int pack_inputs(const char *inputs, const struct variables *variables,
                              struct run_payload *out, struct api_error *error)
{
    size_t room = strlen(inputs) + 32;
    char *body = malloc(room);
    assert_non_null(body);
    snprintf(body, room, "{\"inputs\":%s}", inputs);
    struct run_request request = parsed(body);
    free(body);
    *out = (struct run_payload){0};
    int rc = run_request_pack(&request, variables, RUN_ID, out, error);
    run_request_finish(&request);
    return rc;
}

static inline struct run_payload packed_inputs(const char *inputs,
                                               const struct variables *variables)
{
    struct run_payload payload;
    struct api_error error;
    if (pack_inputs(inputs, variables, &payload, &error) != 0)
        fail_msg("%s: %s", inputs, error.message);
    return payload;
}

static inline void assert_input_error(const char *inputs, const struct variables *variables,
                                      const char *message)
{
    struct run_payload payload;
    struct api_error error;
    assert_int_equal(pack_inputs(inputs, variables, &payload, &error), -EINVAL);
    assert_null(payload.memory);
    assert_int_equal(error.status, 400);
    assert_true(error.is_result);
    assert_int_equal(error.type, ERROR_INPUT);
    assert_string_equal(error.message, message);
}

static inline struct variables variables_of(struct input_variable *inputs, uint32_t count)
{
    return (struct variables){.inputs = inputs, .input_count = count};
}

#endif
