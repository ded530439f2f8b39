/* SPDX-License-Identifier: MIT */
/*
 * test_variables.c - what a HELLO may say, what comes of it, and what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/inputs/variables.h"
#include "dispatcher/text/json_scan.h"
#include "millrace/protocol.h"
#include "tests/unit/dispatcher/edge.h"
#include "tests/unit/dispatcher/hello.h"

static int parse(struct variables *out, const struct hello *hello, char *reason,
                 size_t reason_bytes)
{
    struct edge edge = edge_copy(hello->buffer.data, hello->buffer.size);
    int rc = variables_parse(out, edge.bytes, edge.count, reason, reason_bytes);
    edge_destroy(&edge);
    return rc;
}

static struct variables accepted(struct hello *hello)
{
    struct variables variables;
    char reason[200] = "";
    if (parse(&variables, hello, reason, sizeof(reason)) != 0)
        fail_msg("%s", reason);
    hello_finish(hello);
    return variables;
}

/* Refused, for a reason with these words. Takes the hello over. */
static void assert_refused(struct hello *hello, const char *words)
{
    struct variables variables;
    char reason[200] = "";
    memset(&variables, 0xa5, sizeof(variables));
    struct variables before = variables;
    assert_int_equal(parse(&variables, hello, reason, sizeof(reason)), -EBADMSG);
    assert_memory_equal(&variables, &before, sizeof(before)); /* untouched */
    if (strstr(reason, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", reason, words);
    hello_finish(hello);
}

static void add_stream_output(struct hello *hello)
{
    hello_list(hello, "outputs", 1);
    msgpack_pack_map(&hello->packer, 1);
    hello_word(hello, "type", "stream");
}

/* A body whose one input has `fields` fields, which the caller adds before finish_input(). */
static void begin_input(struct hello *hello, const char *type, size_t fields)
{
    hello_init(hello);
    hello_begin(hello, "p");
    hello_list(hello, "inputs", 1);
    msgpack_pack_map(&hello->packer, fields + 1);
    hello_word(hello, "type", type);
}

/* An input of this type with one string field. */
static void input_with(struct hello *hello, const char *type, const char *key, const char *value)
{
    begin_input(hello, type, 1);
    hello_word(hello, key, value);
    add_stream_output(hello);
}

/* ---- accepted -------------------------------------------------------------------------------- */

static void a_pipeline_is_described_as_the_api_shows_it(void **state)
{
    (void)state;
    struct hello hello;
    hello_init(&hello);
    hello_begin(&hello, "my_pipeline");
    hello_list(&hello, "inputs", 2);
    msgpack_pack_map(&hello.packer, 4);
    hello_word(&hello, "type", "string");
    hello_flag(&hello, "optional", false);
    hello_word(&hello, "title", "input_data");
    hello_word(&hello, "description", "what to \"say\"\n\xc3\xa9");
    msgpack_pack_map(&hello.packer, 9);
    hello_word(&hello, "type", "integer");
    hello_flag(&hello, "optional", true);
    hello_word(&hello, "default", " 5\n");
    hello_word(&hello, "examples", "[1,\n{\"a\":2}]");
    hello_word(&hello, "choices", "[1, 5]");
    hello_word(&hello, "gt", "-18446744073709551615.5");
    hello_word(&hello, "le", "100");
    hello_count(&hello, "min_length", 0);
    hello_count(&hello, "max_length", UINT64_MAX);
    hello_list(&hello, "outputs", 2);
    msgpack_pack_map(&hello.packer, 1);
    hello_word(&hello, "type", "string");
    msgpack_pack_map(&hello.packer, 1);
    hello_word(&hello, "type", "stream");

    struct variables variables = accepted(&hello);
    assert_string_equal(variables.name, "my_pipeline");
    assert_int_equal(variables.input_count, 2);
    assert_int_equal(variables.inputs[0].type, MR_STRING);
    assert_false(variables.inputs[0].optional);
    assert_string_equal(variables.inputs[0].title, "input_data");
    assert_null(variables.inputs[0].default_msgpack);
    assert_int_equal(variables.inputs[1].type, MR_INTEGER);
    assert_true(variables.inputs[1].optional);
    assert_null(variables.inputs[1].title);
    assert_int_equal(variables.inputs[1].default_bytes, 1);
    assert_int_equal(variables.inputs[1].default_msgpack[0], 5);
    assert_int_equal(variables.output_count, 2);
    assert_int_equal(variables.outputs[0].type, MR_STRING);
    assert_int_equal(variables.outputs[1].type, MR_STREAM);
    assert_true(variables.has_stream);
    assert_string_equal(
        variables.json,
        "{\"input_variables\":["
        "{\"type\":\"string\",\"optional\":false,\"title\":\"input_data\","
        "\"description\":\"what to \\\"say\\\"\\n\xc3\xa9\"},"
        "{\"type\":\"integer\",\"optional\":true,\"default\": 5 ,\"examples\":[1, {\"a\":2}],"
        "\"choices\":[1, 5],\"gt\":-18446744073709551615.5,\"le\":100,\"min_length\":0,"
        "\"max_length\":18446744073709551615}],"
        "\"output_variables\":[{\"type\":\"string\"},{\"type\":\"stream\"}]}");
    struct json_error error;
    assert_int_equal(json_scan(variables.json, strlen(variables.json), NULL, &error), 0);
    variables_finish(&variables);
    variables_finish(&variables); /* zero is fine */
}

static void a_pipeline_without_inputs_is_fine(void **state)
{
    (void)state;
    struct hello hello;
    hello_init(&hello);
    hello_begin(&hello, "p");
    hello_list(&hello, "inputs", 0);
    hello_list(&hello, "outputs", 1);
    msgpack_pack_map(&hello.packer, 2);
    hello_word(&hello, "type", "none");
    hello_word(&hello, "of a later version", "passed over");
    struct variables variables = accepted(&hello);
    assert_int_equal(variables.input_count, 0);
    assert_false(variables.has_stream);
    assert_string_equal(variables.json,
                        "{\"input_variables\":[],\"output_variables\":[{\"type\":\"none\"}]}");
    variables_finish(&variables);
}

static void every_type_has_its_word(void **state)
{
    (void)state;
    static const char *const words[MR_TYPE_COUNT] = {
        [MR_STRING] = "string",         [MR_INTEGER] = "integer", [MR_FP] = "fp",
        [MR_BOOLEAN] = "boolean",       [MR_NONE] = "none",       [MR_ARRAY] = "array",
        [MR_DICTIONARY] = "dictionary", [MR_STREAM] = "stream",   [MR_FILE] = "file",
    };
    for (int type = 0; type < MR_TYPE_COUNT; type++) {
        if (type == MR_STREAM)
            continue;
        struct hello hello;
        begin_input(&hello, words[type], 0);
        add_stream_output(&hello);
        struct variables variables = accepted(&hello);
        assert_int_equal(variables.inputs[0].type, type);
        assert_string_equal(variables_type_name((enum mr_type)type), words[type]);
        variables_finish(&variables);
    }
    assert_string_equal(variables_type_name(MR_STREAM), "stream");
}

static void defaults_of_every_type_are_packed(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *json;
        const char *packed;
        size_t bytes;
    } cases[] = {
        {"string", "\"a\\u0000\"",
         "\xa2"
         "a\0",
         3},
        {"integer", "-1", "\xff", 1},
        {"integer", "true", "\xc3", 1},
        {"fp", "1.5", "\xcb\x3f\xf8\0\0\0\0\0\0", 9},
        {"fp", "2", "\x02", 1},
        {"boolean", "false", "\xc2", 1},
        {"none", "null", "\xc0", 1},
        {"array", "[[]]", "\x91\x90", 2},
        {"dictionary", "{\"a\":null}",
         "\x81\xa1"
         "a\xc0",
         4},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct hello hello;
        input_with(&hello, cases[i].type, "default", cases[i].json);
        struct variables variables = accepted(&hello);
        assert_int_equal(variables.inputs[0].default_bytes, cases[i].bytes);
        assert_memory_equal(variables.inputs[0].default_msgpack, cases[i].packed, cases[i].bytes);
        variables_finish(&variables);
    }
}

static void the_largest_number_of_variables_is_accepted_and_one_more_refused(void **state)
{
    (void)state;
    for (size_t more = 0; more < 3; more++) {
        struct hello hello;
        size_t inputs = INPUT_COUNT_MAX + (more == 1);
        size_t outputs = OUTPUT_COUNT_MAX + (more == 2);
        hello_init(&hello);
        hello_begin(&hello, "p");
        hello_list(&hello, "inputs", inputs);
        for (size_t i = 0; i < inputs; i++) {
            msgpack_pack_map(&hello.packer, 1);
            hello_word(&hello, "type", "string");
        }
        hello_list(&hello, "outputs", outputs);
        for (size_t i = 0; i < outputs; i++) {
            msgpack_pack_map(&hello.packer, 1);
            hello_word(&hello, "type", "string");
        }
        if (more > 0) {
            assert_refused(&hello,
                           more == 1 ? "inputs has 65 elements" : "outputs has 65 elements");
            continue;
        }
        struct variables variables = accepted(&hello);
        assert_int_equal(variables.input_count, INPUT_COUNT_MAX);
        assert_int_equal(variables.output_count, OUTPUT_COUNT_MAX);
        variables_finish(&variables);
    }
}

/* Keys may be of any kind. */
static void the_first_value_of_a_key_counts_and_other_keys_are_passed_over(void **state)
{
    (void)state;
    struct hello hello;
    hello_init(&hello);
    msgpack_pack_map(&hello.packer, 8);
    msgpack_pack_array(&hello.packer, 2); /* a key */
    hello_text(&hello, "protocol");
    hello_text(&hello, "name");
    msgpack_pack_map(&hello.packer, 1); /* and its value */
    hello_word(&hello, "name", "inside");
    msgpack_pack_nil(&hello.packer);
    hello_text(&hello, "name");
    msgpack_pack_bin(&hello.packer, 4);
    msgpack_pack_bin_body(&hello.packer, "name", 4);
    hello_text(&hello, "of a binary key");
    hello_count(&hello, "protocol", PROTOCOL_VERSION);
    hello_word(&hello, "name", "first");
    hello_word(&hello, "name", "second");
    hello_list(&hello, "inputs", 0);
    hello_list(&hello, "outputs", 1);
    msgpack_pack_map(&hello.packer, 2);
    hello_word(&hello, "type", "fp");
    hello_word(&hello, "type", "nothing");
    struct variables variables = accepted(&hello);
    assert_string_equal(variables.name, "first");
    assert_int_equal(variables.outputs[0].type, MR_FP);
    variables_finish(&variables);
}

static void variables_are_equal_when_clients_could_not_tell_them_apart(void **state)
{
    (void)state;
    struct hello hello;
    input_with(&hello, "string", "title", "a");
    struct variables a = accepted(&hello);
    input_with(&hello, "string", "title", "a");
    struct variables same = accepted(&hello);
    input_with(&hello, "string", "title", "b");
    struct variables other = accepted(&hello);
    assert_true(variables_equal(&a, &same));
    assert_false(variables_equal(&a, &other));
    variables_finish(&a);
    variables_finish(&same);
    variables_finish(&other);
}

/* ---- refused --------------------------------------------------------------------------------- */

static void fields_of_the_wrong_kind_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *key;
        const char *value;
        const char *words;
    } cases[] = {
        {"text", "title", "a", "input 1: type is not one of the words"},
        {"stream", "title", "a", "input 1: an input cannot be a stream"},
        {"string", "optional", "true", "input 1: optional is not a boolean"},
        {"string", "title", "\xff", "input 1: title is not UTF-8"},
        {"string", "description", "\xed\xa0\x80", "description is not UTF-8"},
        {"string", "default", "abc", "default is not JSON"},
        {"string", "default", "", "default is not JSON"},
        {"string", "default", "5", "default must be a string, is an integer"},
        {"integer", "default", "1.0", "default must be an integer, is a float"},
        {"string", "default", "null", "default must be a string, is null"},
        {"integer", "default", "1e999", "default is not JSON: a number is too large"},
        {"string", "examples", "[1", "examples is not JSON"},
        {"string", "choices", "{}", "choices is not an array"},
        {"dictionary", "schema", "[]", "input 1: schema is not an object"},
        {"dictionary", "schema", "{\"a\":1,\"a\":1}", "schema is not JSON"},
        {"dictionary", "schema", "{", "schema is not JSON"},
        {"integer", "gt", "\"5\"", "gt is not a number"},
        {"integer", "multiple_of", "0x5", "multiple_of is not JSON"},
        {"integer", "min_length", "5", "min_length is not a count"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct hello hello;
        input_with(&hello, cases[i].type, cases[i].key, cases[i].value);
        assert_refused(&hello, cases[i].words);
    }
}

static void strings_with_a_nul_are_refused(void **state)
{
    (void)state;
    struct hello hello;
    begin_input(&hello, "string", 1);
    hello_text(&hello, "title");
    msgpack_pack_str(&hello.packer, 3);
    msgpack_pack_str_body(&hello.packer, "a\0b", 3);
    add_stream_output(&hello);
    assert_refused(&hello, "title is not UTF-8 text without NULs");
}

static void deep_defaults_are_refused(void **state)
{
    (void)state;
    char json[201];
    struct hello hello;
    memset(json, '[', 100);
    memset(json + 100, ']', 100);
    json[200] = '\0';
    input_with(&hello, "array", "default", json);
    assert_refused(&hello, "default is nested deeper than 30 containers");
}

static void a_null_default_needs_an_optional_input(void **state)
{
    (void)state;
    struct hello hello;
    begin_input(&hello, "string", 2);
    hello_flag(&hello, "optional", true);
    hello_word(&hello, "default", "null");
    add_stream_output(&hello);
    struct variables variables = accepted(&hello);
    assert_int_equal(variables.inputs[0].default_bytes, 1);
    variables_finish(&variables);
}

static void bodies_of_the_wrong_shape_are_refused(void **state)
{
    (void)state;
    struct hello hello;
    hello_init(&hello);
    assert_refused(&hello, "not one msgpack object");
    hello_init(&hello);
    msgpack_pack_nil(&hello.packer);
    assert_refused(&hello, "not a map");
    hello_init(&hello);
    msgpack_pack_map(&hello.packer, 0);
    assert_refused(&hello, "protocol");
    hello_init(&hello);
    msgpack_pack_map(&hello.packer, 1);
    hello_count(&hello, "protocol", 2);
    assert_refused(&hello, "speaks protocol 2, this is 1");
    hello_init(&hello);
    hello_begin(&hello, "");
    hello_list(&hello, "inputs", 0);
    add_stream_output(&hello);
    assert_refused(&hello, "name has not 1 to 255 bytes");
    hello_init(&hello);
    hello_begin(&hello, "p");
    hello_count(&hello, "inputs", 0);
    add_stream_output(&hello);
    assert_refused(&hello, "inputs is not an array");
    hello_init(&hello);
    hello_begin(&hello, "p");
    hello_list(&hello, "inputs", 1);
    msgpack_pack_nil(&hello.packer);
    add_stream_output(&hello);
    assert_refused(&hello, "inputs holds something that is not a map");
    hello_init(&hello);
    hello_begin(&hello, "p");
    hello_list(&hello, "inputs", 0);
    hello_list(&hello, "outputs", 0);
    assert_refused(&hello, "outputs has 0 elements, 1 to 64");
    hello_init(&hello);
    hello_begin(&hello, "p");
    hello_list(&hello, "inputs", 0);
    hello_list(&hello, "outputs", 1);
    msgpack_pack_map(&hello.packer, 0);
    assert_refused(&hello, "output 1: type is not one of the words");
}

static void announced_counts_reserve_no_memory(void **state)
{
    (void)state;
    static const char bomb[] = "\x81\xa6inputs\xdd\x10\x00\x00\x00";
    struct hello hello;
    hello_init(&hello);
    msgpack_sbuffer_write(&hello.buffer, bomb, sizeof(bomb) - 1);
    assert_refused(&hello, "not one msgpack object");
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct hello hello;
    input_with(&hello, "string", "title", "a");
    size_t whole = hello.buffer.size;
    for (hello.buffer.size = 0; hello.buffer.size < whole; hello.buffer.size++) {
        struct variables variables;
        char reason[20];
        assert_int_equal(parse(&variables, &hello, reason, sizeof(reason)), -EBADMSG);
        assert_true(strlen(reason) < sizeof(reason));
    }
    hello_finish(&hello);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_is_described_as_the_api_shows_it),
        cmocka_unit_test(a_pipeline_without_inputs_is_fine),
        cmocka_unit_test(every_type_has_its_word),
        cmocka_unit_test(defaults_of_every_type_are_packed),
        cmocka_unit_test(the_largest_number_of_variables_is_accepted_and_one_more_refused),
        cmocka_unit_test(the_first_value_of_a_key_counts_and_other_keys_are_passed_over),
        cmocka_unit_test(variables_are_equal_when_clients_could_not_tell_them_apart),
        cmocka_unit_test(fields_of_the_wrong_kind_are_refused_by_name),
        cmocka_unit_test(strings_with_a_nul_are_refused),
        cmocka_unit_test(deep_defaults_are_refused),
        cmocka_unit_test(a_null_default_needs_an_optional_input),
        cmocka_unit_test(bodies_of_the_wrong_shape_are_refused),
        cmocka_unit_test(announced_counts_reserve_no_memory),
        cmocka_unit_test(every_truncation_is_refused),
    };
    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
