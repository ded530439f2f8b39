/* SPDX-License-Identifier: MIT */
/*
 * test_run_request.c - what a run request may say, what its inputs become, and each refusal's
 * words.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/inputs/run_request.h"
#include "dispatcher/text/json_scan.h"
#include "dispatcher/text/run_class.h"
#include "millrace/limits.h"
#include "tests/unit/dispatcher/edge.h"
#include "tests/unit/dispatcher/requests.h"

/* ---- the envelope ---------------------------------------------------------------------------- */

static void the_envelope_of_a_plain_request_is_read(void **state)
{
    (void)state;
    struct run_request request =
        parsed("{\"pipeline\":\"my_user/my_pipeline:v1\",\"inputs\":[{\"type\":\"string\","
               "\"value\":\"hello there\"},{\"type\":\"integer\",\"value\":5}]}");
    assert_string_equal(request.pipeline, "my_user/my_pipeline:v1");
    assert_false(request.async_run);
    assert_false(request.wait_for_resources);
    assert_false(request.final_line);
    run_request_finish(&request);
    run_request_finish(&request); /* zero is fine */
}

static void everything_but_the_inputs_may_be_left_out_or_null(void **state)
{
    (void)state;
    struct run_request request = parsed("{\"inputs\":[]}");
    assert_null(request.pipeline);
    run_request_finish(&request);
    request = parsed("{\"inputs\":[],\"pipeline\":null,\"async_run\":null,"
                     "\"wait_for_resources\":null,\"stream_options\":null}");
    assert_null(request.pipeline);
    assert_false(request.async_run);
    assert_false(request.wait_for_resources);
    assert_false(request.final_line);
    run_request_finish(&request);
}

static void every_flag_is_read(void **state)
{
    (void)state;
    struct run_request request = parsed("{\"inputs\":[],\"async_run\":true}");
    assert_true(request.async_run);
    assert_false(request.wait_for_resources);
    assert_false(request.final_line);
    run_request_finish(&request);
    request = parsed("{\"inputs\":[],\"async_run\":false,\"wait_for_resources\":true}");
    assert_false(request.async_run);
    assert_true(request.wait_for_resources);
    assert_false(request.final_line);
    run_request_finish(&request);
    request = parsed("{\"inputs\":[],\"stream_options\":{\"final_line\":true,\"other\":1}}");
    assert_true(request.final_line);
    run_request_finish(&request);
    request = parsed("{\"inputs\":[],\"stream_options\":{\"final_line\":null}}");
    assert_false(request.final_line);
    run_request_finish(&request);
}

static void what_a_run_is_scheduled_by_is_read(void **state)
{
    (void)state;
    struct run_request request = parsed("{\"inputs\":[]}");
    assert_int_equal(request.scheduling.class, RUN_CLASS_NONE);
    assert_null(request.scheduling.tenant);
    assert_null(request.scheduling.affinity);
    run_request_finish(&request);
    request = parsed("{\"inputs\":[],\"scheduling\":{\"class\":\"batch\",\"tenant\":\"a\"}}");
    assert_int_equal(request.scheduling.class, RUN_CLASS_BATCH);
    assert_string_equal(request.scheduling.tenant, "a");
    assert_null(request.scheduling.affinity);
    run_request_finish(&request);
    request = parsed("{\"inputs\":[],\"scheduling\":{\"class\":9,\"affinity\":\"\xc3\xa9\"}}");
    assert_int_equal(request.scheduling.class, 9);
    assert_string_equal(request.scheduling.affinity, "\xc3\xa9");
    run_request_finish(&request);
}

static void unknown_members_are_passed_over(void **state)
{
    (void)state;
    struct run_request request =
        parsed("{\"run_id\":5,\"callback_url\":[1],\"PIPELINE\":1,\"inputs\":[{\"type\":\"file\","
               "\"value\":null,\"file_name\":null,\"file_path\":null,\"file_url\":null}]}");
    assert_null(request.pipeline);
    run_request_finish(&request);
}

static void assert_invalid_bytes(const char *body, size_t bytes, const char *detail)
{
    struct run_request request;
    struct api_error error;
    memset(&request, 0xa5, sizeof(request));
    struct run_request before = request;
    assert_int_equal(parse_bytes(&request, body, bytes, &error), -EINVAL);
    assert_memory_equal(&request, &before, sizeof(request)); /* untouched */
    assert_int_equal(error.status, 422);
    assert_false(error.is_result);
    assert_string_equal(error.detail, detail);
    struct json_error wrong;
    assert_int_equal(json_scan(error.detail, strlen(error.detail), NULL, &wrong), 0);
}

static void assert_invalid(const char *body, const char *detail)
{
    assert_invalid_bytes(body, strlen(body), detail);
}

static void text_that_is_not_json_is_refused_with_its_offset(void **state)
{
    (void)state;
    assert_invalid("", "[{\"loc\":[\"body\"],\"msg\":\"field required\","
                       "\"type\":\"value_error.missing\"}]");
    assert_invalid("{\"inputs\":[}", "[{\"loc\":[\"body\",11],\"msg\":\"a value was expected\","
                                     "\"type\":\"value_error.jsondecode\"}]");
    assert_invalid("[1,\"\xff\"]", "[{\"loc\":[\"body\",4],\"msg\":\"the text is not UTF-8\","
                                   "\"type\":\"value_error.jsondecode\"}]");
    assert_invalid("{\"inputs\":[],\"a\\\"\":1,\"a\\\"\":2}",
                   "[{\"loc\":[\"body\"],\"msg\":\"the key \\\"a\\\"\\\" occurs twice in one "
                   "object\",\"type\":\"value_error.jsondecode\"}]");
    assert_invalid_bytes("{\"inputs\":[]}\0", 14,
                         "[{\"loc\":[\"body\",13],\"msg\":\"text follows after the value\","
                         "\"type\":\"value_error.jsondecode\"}]");
}

static void members_of_the_wrong_shape_are_refused_by_place(void **state)
{
    (void)state;
    assert_invalid("[]", "[{\"loc\":[\"body\"],\"msg\":\"value is not a valid dict\","
                         "\"type\":\"type_error.dict\"}]");
    assert_invalid("{}", "[{\"loc\":[\"body\",\"inputs\"],\"msg\":\"field required\","
                         "\"type\":\"value_error.missing\"}]");
    assert_invalid("{\"inputs\":null}",
                   "[{\"loc\":[\"body\",\"inputs\"],\"msg\":\"none is not an allowed value\","
                   "\"type\":\"type_error.none.not_allowed\"}]");
    assert_invalid("{\"inputs\":{}}",
                   "[{\"loc\":[\"body\",\"inputs\"],\"msg\":\"value is not a valid list\","
                   "\"type\":\"type_error.list\"}]");
    assert_invalid("{\"inputs\":[],\"pipeline\":5}",
                   "[{\"loc\":[\"body\",\"pipeline\"],\"msg\":\"str type expected\","
                   "\"type\":\"type_error.str\"}]");
    assert_invalid("{\"inputs\":[],\"pipeline\":\"a\\u0000b\"}",
                   "[{\"loc\":[\"body\",\"pipeline\"],\"msg\":\"a name cannot hold \\\\u0000\","
                   "\"type\":\"value_error\"}]");
    assert_invalid("{\"inputs\":[],\"async_run\":\"yes\"}",
                   "[{\"loc\":[\"body\",\"async_run\"],\"msg\":\"value could not be parsed to a "
                   "boolean\",\"type\":\"type_error.bool\"}]");
    assert_invalid(
        "{\"inputs\":[],\"wait_for_resources\":1}",
        "[{\"loc\":[\"body\",\"wait_for_resources\"],\"msg\":\"value could not be parsed "
        "to a boolean\",\"type\":\"type_error.bool\"}]");
    assert_invalid("{\"inputs\":[],\"stream_options\":[]}",
                   "[{\"loc\":[\"body\",\"stream_options\"],\"msg\":\"value is not a valid dict\","
                   "\"type\":\"type_error.dict\"}]");
    assert_invalid(
        "{\"inputs\":[],\"stream_options\":{\"final_line\":\"x\"}}",
        "[{\"loc\":[\"body\",\"stream_options\",\"final_line\"],\"msg\":\"value could not "
        "be parsed to a boolean\",\"type\":\"type_error.bool\"}]");
}

static void inputs_of_the_wrong_shape_are_refused_by_index(void **state)
{
    (void)state;
    static const char permitted[] =
        "[{\"loc\":[\"body\",\"inputs\",1,\"type\"],\"msg\":\"value is not a valid enumeration "
        "member; permitted: 'integer', 'string', 'fp', 'dictionary', 'boolean', 'none', 'array', "
        "'pkl', 'file', 'stream'\",\"type\":\"type_error.enum\"}]";
    assert_invalid("{\"inputs\":[{\"type\":\"none\"},5]}",
                   "[{\"loc\":[\"body\",\"inputs\",1],\"msg\":\"value is not a valid dict\","
                   "\"type\":\"type_error.dict\"}]");
    assert_invalid("{\"inputs\":[{\"value\":5}]}",
                   "[{\"loc\":[\"body\",\"inputs\",0,\"type\"],\"msg\":\"field required\","
                   "\"type\":\"value_error.missing\"}]");
    assert_invalid("{\"inputs\":[{\"type\":\"none\"},{\"type\":\"text\",\"value\":\"a\"}]}",
                   permitted);
    assert_invalid("{\"inputs\":[{\"type\":\"none\"},{\"type\":null,\"value\":\"a\"}]}", permitted);
    assert_invalid("{\"inputs\":[{\"type\":\"none\"},{\"type\":\"\",\"value\":\"a\"}]}", permitted);
}

static void every_word_for_types_is_known(void **state)
{
    (void)state;
    static const char *const words[] = {"integer", "string", "fp",  "dictionary", "boolean",
                                        "none",    "array",  "pkl", "file",       "stream"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"inputs\":[{\"type\":\"%s\"}]}", words[i]);
        struct run_request request = parsed(body);
        run_request_finish(&request);
    }
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* The payload without [run id, and the array's header, which are checked here. */
static struct edge packed(const char *inputs, const struct variables *variables)
{
    struct run_payload packed = packed_inputs(inputs, variables);
    uint8_t *payload = packed.memory;
    size_t bytes = packed.bytes + packed.reference_bytes;
    size_t head = 3 + strlen(RUN_ID);
    assert_true(bytes > head);
    assert_memory_equal(payload, "\x92\xd9\x24" RUN_ID, head);
    assert_int_equal(payload[head], 0x90 | variables->input_count);
    struct edge edge = edge_copy(payload + head + 1, bytes - head - 1);
    free(payload);
    return edge;
}

static void assert_packed(const char *inputs, const struct variables *variables,
                          const char *expected, size_t bytes)
{
    struct edge edge = packed(inputs, variables);
    assert_int_equal(edge.count, bytes);
    assert_memory_equal(edge.bytes, expected, bytes);
    edge_destroy(&edge);
}

static void values_fit_types_by_what_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *phrase;
        const char *fits; /* one letter for each type, in the order of enum mr_type */
    } values[] = {
        {"\"a\"", "a string", "s------"},  {"\"\"", "a string", "s------"},
        {"5", "an integer", "-if----"},    {"18446744073709551615", "an integer", "-if----"},
        {"-0", "an integer", "-if----"},   {"1.0", "a float", "--f----"},
        {"1e2", "a float", "--f----"},     {"true", "a boolean", "-i-b---"},
        {"false", "a boolean", "-i-b---"}, {"null", "null", "----n--"},
        {"[]", "an array", "-----a-"},     {"{}", "a dictionary", "------d"},
    };
    static const char *const wanted[] = {"a string", "an integer", "a number",    "a boolean",
                                         "null",     "an array",   "a dictionary"};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        for (size_t type = 0; type < ARRAY_COUNT(wanted); type++) {
            struct input_variable input = {.type = (enum mr_type)type};
            struct variables variables = variables_of(&input, 1);
            char inputs[100];
            char message[100];
            /* The word for the type is not what is looked at. */
            snprintf(inputs, sizeof(inputs), "[{\"type\":\"stream\",\"value\":%s}]",
                     values[i].json);
            snprintf(message, sizeof(message), "input 1 must be %s, got %s", wanted[type],
                     values[i].phrase);
            if (values[i].fits[type] == '-') {
                assert_input_error(inputs, &variables, message);
            } else {
                struct edge edge = packed(inputs, &variables);
                edge_destroy(&edge);
            }
        }
    }
}

static void values_are_packed_as_given(void **state)
{
    (void)state;
    struct input_variable inputs[] = {{.type = MR_INTEGER}, {.type = MR_FP}, {.type = MR_STRING}};
    struct variables variables = variables_of(inputs, 3);
    assert_packed("[{\"type\":\"integer\",\"value\":true},{\"type\":\"fp\",\"value\":2},"
                  "{\"type\":\"string\",\"value\":\"a\\u0000b\"}]",
                  &variables,
                  "\xc3\x02\xa3"
                  "a\0b",
                  6);
    assert_packed("[{\"type\":\"integer\",\"value\":-9223372036854775808},"
                  "{\"type\":\"fp\",\"value\":2.0},{\"type\":\"string\",\"value\":\"\"}]",
                  &variables, "\xd3\x80\0\0\0\0\0\0\0\xcb\x40\0\0\0\0\0\0\0\xa0", 19);
    assert_packed(
        "[{\"type\":\"integer\",\"value\":18446744073709551615},"
        "{\"type\":\"fp\",\"value\":9007199254740993},{\"type\":\"string\",\"value\":\"\"}]",
        &variables, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xcf\0\x20\0\0\0\0\0\x01\xa0", 19);
}

static void messages_name_the_input_by_index_and_title(void **state)
{
    (void)state;
    char title[] = "max_tokens";
    struct input_variable inputs[] = {{.type = MR_STRING}, {.type = MR_INTEGER, .title = title}};
    struct variables variables = variables_of(inputs, 2);
    assert_input_error(
        "[{\"type\":\"string\",\"value\":\"a\"},{\"type\":\"integer\",\"value\":\"5\"}]",
        &variables, "input 2 (\"max_tokens\") must be an integer, got a string");
    inputs[1].optional = true;
    assert_input_error(
        "[{\"type\":\"string\",\"value\":\"a\"},{\"type\":\"integer\",\"value\":1.0}]", &variables,
        "input 2 (\"max_tokens\") must be an integer or null, got a float");
    assert_input_error("[{\"type\":\"string\"},{\"type\":\"integer\",\"value\":1}]", &variables,
                       "input 1 must be a string, got null");
}

static void null_stands_for_the_default_where_it_is_allowed(void **state)
{
    (void)state;
    uint8_t five[] = {5};
    struct input_variable input = {.type = MR_INTEGER, .optional = true};
    struct variables variables = variables_of(&input, 1);
    assert_packed("[{\"type\":\"none\",\"value\":null}]", &variables, "\xc0", 1);
    assert_packed("[{\"type\":\"integer\"}]", &variables, "\xc0", 1);
    input.default_msgpack = five;
    input.default_bytes = 1;
    assert_packed("[{\"type\":\"none\",\"value\":null}]", &variables, "\x05", 1);
    assert_packed("[{\"type\":\"integer\",\"value\":7}]", &variables, "\x07", 1);
    input.optional = false;
    assert_input_error("[{\"type\":\"none\",\"value\":null}]", &variables,
                       "input 1 must be an integer, got null");
}

static void the_number_of_inputs_must_be_the_pipelines(void **state)
{
    (void)state;
    struct input_variable inputs[] = {{.type = MR_NONE}, {.type = MR_NONE}};
    struct variables variables = variables_of(inputs, 2);
    assert_input_error("[]", &variables, "the pipeline takes 2 inputs, got 0");
    assert_input_error("[{\"type\":\"none\"}]", &variables, "the pipeline takes 2 inputs, got 1");
    assert_input_error("[{\"type\":\"none\"},{\"type\":\"none\"},{\"type\":\"none\"}]", &variables,
                       "the pipeline takes 2 inputs, got 3");
    variables.input_count = 1;
    assert_input_error("[]", &variables, "the pipeline takes 1 input, got 0");
    variables.input_count = 0;
    assert_input_error("[{\"type\":\"none\"}]", &variables, "the pipeline takes 0 inputs, got 1");
}

static void inputs_at_the_end_may_be_left_out_when_something_stands_for_them(void **state)
{
    (void)state;
    uint8_t nine[] = {9};
    struct input_variable inputs[] = {
        {.type = MR_INTEGER, .optional = true},
        {.type = MR_INTEGER},
        {.type = MR_INTEGER, .default_msgpack = nine, .default_bytes = 1},
        {.type = MR_INTEGER, .optional = true},
    };
    struct variables variables = variables_of(inputs, 4);
    assert_packed("[{\"type\":\"integer\",\"value\":1},{\"type\":\"integer\",\"value\":2}]",
                  &variables, "\x01\x02\x09\xc0", 4);
    assert_packed("[{\"type\":\"integer\",\"value\":1},{\"type\":\"integer\",\"value\":2},"
                  "{\"type\":\"integer\",\"value\":3}]",
                  &variables, "\x01\x02\x03\xc0", 4);
    /* The first is optional, but the second is not at the end. */
    assert_input_error("[{\"type\":\"integer\",\"value\":1}]", &variables,
                       "the pipeline takes 2 to 4 inputs, got 1");
}

static void pickles_and_files_are_refused_with_the_reason(void **state)
{
    (void)state;
    char title[] = "object";
    struct input_variable input = {.type = MR_STRING, .title = title};
    struct variables variables = variables_of(&input, 1);
    assert_input_error(
        "[{\"type\":\"pkl\",\"value\":\"gASV\"}]", &variables,
        "input 1 (\"object\") is a pickled object, which is not accepted: reading one "
        "can run any code");
    assert_input_error("[{\"type\":\"file\",\"value\":null,\"file_path\":\"a\"}]", &variables,
                       "input 1 (\"object\") must be a string, got a file");
}

static void deep_values_are_refused(void **state)
{
    (void)state;
    struct input_variable input = {.type = MR_ARRAY};
    struct variables variables = variables_of(&input, 1);
    for (size_t depth = 30; depth <= 100; depth += depth == 30 ? 1 : 69) {
        char inputs[256];
        int count = snprintf(inputs, sizeof(inputs), "[{\"type\":\"array\",\"value\":");
        memset(inputs + count, '[', depth);
        memset(inputs + (size_t)count + depth, ']', depth);
        memcpy(inputs + (size_t)count + 2 * depth, "}]", 3);
        if (depth == 30) {
            struct edge edge = packed(inputs, &variables);
            assert_int_equal(edge.count, 30);
            edge_destroy(&edge);
        } else {
            assert_input_error(inputs, &variables, "input 1 is nested deeper than 30 containers");
        }
    }
}

static void ten_megabytes_are_packed(void **state)
{
    (void)state;
    const size_t bytes = 10 * 1024 * 1024;
    struct input_variable input = {.type = MR_STRING};
    struct variables variables = variables_of(&input, 1);
    char *inputs = malloc(bytes + 100);
    assert_non_null(inputs);
    int count = snprintf(inputs, 100, "[{\"type\":\"string\",\"value\":\"");
    memset(inputs + count, 'x', bytes);
    memcpy(inputs + (size_t)count + bytes, "\"}]", 4);
    struct edge edge = packed(inputs, &variables);
    assert_int_equal(edge.count, bytes + 5);
    edge_destroy(&edge);
    free(inputs);
}

static void inputs_that_are_too_large_together_are_refused(void **state)
{
    (void)state;
    const size_t bytes = VALUE_BYTES_MAX / 2;
    struct input_variable inputs[] = {{.type = MR_STRING}, {.type = MR_STRING}};
    struct variables variables = variables_of(inputs, 2);
    char *text = malloc(2 * bytes + 200);
    assert_non_null(text);
    size_t count = (size_t)snprintf(text, 100, "[{\"type\":\"string\",\"value\":\"");
    memset(text + count, 'x', bytes);
    count += bytes;
    count += (size_t)snprintf(text + count, 100, "\"},{\"type\":\"string\",\"value\":\"");
    memset(text + count, 'x', bytes);
    memcpy(text + count + bytes, "\"}]", 4);
    assert_input_error(text, &variables, "the inputs are larger than 67108864 bytes");
    free(text);
}

static void long_titles_do_not_push_the_message_out(void **state)
{
    (void)state;
    char title[400];
    char expected[512];
    memset(title, 't', sizeof(title) - 1);
    title[sizeof(title) - 1] = '\0';
    struct input_variable input = {.type = MR_STRING, .title = title};
    struct variables variables = variables_of(&input, 1);
    snprintf(expected, sizeof(expected), "input 1 (\"%.100s\") must be a string, got an integer",
             title);
    assert_input_error("[{\"type\":\"string\",\"value\":1}]", &variables, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_envelope_of_a_plain_request_is_read),
        cmocka_unit_test(everything_but_the_inputs_may_be_left_out_or_null),
        cmocka_unit_test(every_flag_is_read),
        cmocka_unit_test(unknown_members_are_passed_over),
        cmocka_unit_test(what_a_run_is_scheduled_by_is_read),
        cmocka_unit_test(text_that_is_not_json_is_refused_with_its_offset),
        cmocka_unit_test(members_of_the_wrong_shape_are_refused_by_place),
        cmocka_unit_test(inputs_of_the_wrong_shape_are_refused_by_index),
        cmocka_unit_test(every_word_for_types_is_known),
        cmocka_unit_test(values_fit_types_by_what_they_are),
        cmocka_unit_test(values_are_packed_as_given),
        cmocka_unit_test(messages_name_the_input_by_index_and_title),
        cmocka_unit_test(null_stands_for_the_default_where_it_is_allowed),
        cmocka_unit_test(the_number_of_inputs_must_be_the_pipelines),
        cmocka_unit_test(inputs_at_the_end_may_be_left_out_when_something_stands_for_them),
        cmocka_unit_test(pickles_and_files_are_refused_with_the_reason),
        cmocka_unit_test(deep_values_are_refused),
        cmocka_unit_test(ten_megabytes_are_packed),
        cmocka_unit_test(inputs_that_are_too_large_together_are_refused),
        cmocka_unit_test(long_titles_do_not_push_the_message_out),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
