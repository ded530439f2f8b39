/* SPDX-License-Identifier: MIT */
/*
 * test_warm_up_inputs.c - inputs of a configuration are read as those of a request are, or refused
 * in one line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/inputs/warm_up_inputs.h"
#include "tests/unit/dispatcher/allocs.h"

#include <cmocka.h>

#define WORD "[{\"type\":\"string\",\"value\":\"hi\"}]"

static char reason[WARM_UP_REASON_BYTES];

static struct input_variable inputs[] = {{.type = MR_STRING}};
static const struct variables variables = {.input_count = 1, .inputs = inputs};

static void is_refused(const char *text, const char *why)
{
    assert_int_equal(warm_up_inputs_check(text, reason), -EINVAL);
    if (!strstr(reason, why))
        fail_msg("%s: \"%s\"", text, reason);
}

static void what_a_request_has_is_packed_for_a_worker(void **state)
{
    (void)state;
    struct run_payload payload = {0};
    static const char packed[] = "\x92\xab" WARM_UP_RUN_ID "\x91\xa2hi";
    assert_int_equal(warm_up_inputs_check(WORD, reason), 0);
    assert_int_equal(warm_up_inputs_pack(WORD, &variables, &payload, reason), 0);
    assert_int_equal(payload.bytes, sizeof packed - 1);
    assert_memory_equal(payload.memory, packed, payload.bytes);
    free(payload.memory);
}

static void what_no_request_has_is_refused_in_one_line(void **state)
{
    (void)state;
    is_refused("", "it is no JSON: ");
    is_refused("[", "it is no JSON: ");
    is_refused("null", "it is the list that a run has as its inputs, like ");
    is_refused("[],\"async_run\":true", "it is no JSON: ");
    is_refused("[5]", "inputs, 0: value is not a valid dict");
    is_refused("[{\"type\":\"string\"},{\"type\":\"word\"}]",
               "inputs, 1, type: value is not a valid enumeration member");
}

static void what_the_pipeline_does_not_take_is_refused_likewise(void **state)
{
    (void)state;
    struct run_payload payload = {0};
    assert_int_equal(warm_up_inputs_pack("[]", &variables, &payload, reason), -EINVAL);
    assert_string_equal(reason, "the pipeline takes 1 input, got 0");
    assert_int_equal(
        warm_up_inputs_pack("[{\"type\":\"integer\",\"value\":5}]", &variables, &payload, reason),
        -EINVAL);
    assert_non_null(strstr(reason, "input 1 must be "));
    assert_null(payload.memory);
}

static void a_file_is_refused(void **state)
{
    (void)state;
    struct run_payload payload = {0};
    inputs[0].type = MR_FILE;
    int rc = warm_up_inputs_pack("[{\"type\":\"file\",\"value\":null,\"file_path\":\"a.txt\"}]",
                                 &variables, &payload, reason);
    inputs[0].type = MR_STRING;
    assert_int_equal(rc, -EINVAL);
    assert_null(payload.memory);
}

static void without_memory_nothing_is_kept(void **state)
{
    (void)state;
    int rc = -ENOMEM;
    for (unsigned i = 0; rc == -ENOMEM; i++) {
        struct run_payload payload = {0};
        allocs_left = i;
        rc = warm_up_inputs_pack(WORD, &variables, &payload, reason);
        allocs_left = UINT_MAX;
        assert_true(i < 1000);
        if (rc < 0)
            assert_string_equal(reason, "no memory");
        free(payload.memory);
    }
    assert_int_equal(rc, 0);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_has_is_packed_for_a_worker),
        cmocka_unit_test(what_no_request_has_is_refused_in_one_line),
        cmocka_unit_test(what_the_pipeline_does_not_take_is_refused_likewise),
        cmocka_unit_test(a_file_is_refused),
        cmocka_unit_test(without_memory_nothing_is_kept),
    };
    return cmocka_run_group_tests_name("warm_up_inputs", tests, NULL, NULL);
}
