/* SPDX-License-Identifier: MIT */
/*
 * test_run_request_files.c - files among the inputs of a request: what names one, what stands for
 * it, and each refusal's words.
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

#include "dispatcher/inputs/file_reference.h"
#include "dispatcher/text/text.h"
#include "millrace/limits.h"
#include "tests/unit/dispatcher/requests.h"

/* What the inputs name, in their order: "1 id file_1 photo.jpg; ...". */
static void assert_files(const char *inputs, const struct variables *variables,
                         const char *expected_payload, size_t expected_bytes, const char *expected)
{
    struct run_payload payload = packed_inputs(inputs, variables);
    struct file_reference reference;
    char said[1024] = "";
    const size_t head = 4 + strlen(RUN_ID);
    assert_int_equal(payload.bytes, head + expected_bytes);
    assert_memory_equal(payload.memory + head, expected_payload, expected_bytes);
    struct edge edge = edge_copy(payload.memory + payload.bytes, payload.reference_bytes);
    const uint8_t *at = edge.bytes, *end = at + edge.count;
    int rc;
    while ((rc = file_reference_next(&at, end, &reference)) > 0)
        snprintf(said + strlen(said), sizeof said - strlen(said), "%u %s %.*s %.*s; ",
                 reference.input, reference.is_url ? "url" : "id", (int)reference.where_bytes,
                 reference.where, (int)reference.name_bytes, reference.name);
    assert_int_equal(rc, 0);
    assert_string_equal(said, expected);
    edge_destroy(&edge);
    free(payload.memory);
}

static char image_key[] = "image", mask_key[] = "mask", *image_keys[] = {image_key, mask_key};
static struct input_variable file_inputs[] = {
    {.type = MR_FILE},
    {.type = MR_DICTIONARY, .optional = true, .file_key_count = 2, .file_keys = image_keys},
};

static void a_file_is_named_by_its_path_or_its_url(void **state)
{
    (void)state;
    const struct variables variables = variables_of(file_inputs, 1);
    assert_files("[{\"type\":\"file\",\"value\":null,\"file_name\":\"a.png\",\"file_path\":"
                 "\"file_1\",\"file_url\":null}]",
                 &variables, "\xd6\x01\0\0\0\0", 6, "1 id file_1 a.png; ");
    assert_files("[{\"type\":\"file\",\"file_path\":\"file_1\",\"file_url\":\"http://x/a\"}]",
                 &variables, "\xd6\x01\0\0\0\0", 6, "1 url http://x/a ; ");
    assert_files("[{\"type\":\"file\",\"file_path\":\"https://x/a\"}]", &variables,
                 "\xd6\x01\0\0\0\0", 6, "1 url https://x/a ; ");
}

static void a_dictionary_names_files_where_its_schema_has_them(void **state)
{
    (void)state;
    const struct variables variables = variables_of(file_inputs, 2);
    assert_files(
        "[{\"type\":\"file\",\"file_path\":\"file_1\"},{\"type\":\"dictionary\",\"value\":"
        "{\"n\":{\"file_path\":\"x\"},\"image\":{\"type\":\"file\",\"file_path\":\"file_2\"},"
        "\"mask\":null}}]",
        &variables,
        "\xd6\x01\0\0\0\0"
        "\x83\xa1n\x81\xa9"
        "file_path\xa1x\xa5image\xd6\x01\0\0\0\x01\xa4mask\xc0",
        40, "1 id file_1 ; 2 id file_2 ; ");
}

static void what_names_no_file_is_refused(void **state)
{
    (void)state;
    static struct input_variable text = {.type = MR_STRING};
    const struct variables one = variables_of(file_inputs, 1), two = variables_of(file_inputs, 2),
                           string = variables_of(&text, 1);
    assert_input_error("[{\"type\":\"file\",\"value\":\"x\"}]", &one,
                       "A file must either have a path or url attribute (input 1)");
    assert_input_error("[{\"type\":\"file\",\"file_path\":5}]", &one,
                       "input 1: file_path must be a string, got an integer");
    assert_input_error("[{\"type\":\"file\",\"file_path\":\"a\\u0000b\"}]", &one,
                       "input 1: file_path holds a NUL");
    assert_input_error("[{\"type\":\"string\",\"value\":\"file_1\"}]", &one,
                       "input 1 must be a file, got a string");
    assert_input_error("[{\"type\":\"file\",\"file_path\":\"file_1\"}]", &string,
                       "input 1 must be a string, got a file");
    assert_input_error("[{\"type\":\"file\",\"file_path\":\"file_1\"},{\"type\":\"dictionary\","
                       "\"value\":{\"image\":\"x\"}}]",
                       &two, "input 2, \"image\" must be a file, got a string");
    assert_input_error("[{\"type\":\"file\",\"file_path\":\"file_1\"},{\"type\":\"dictionary\","
                       "\"value\":{\"image\":{}}}]",
                       &two,
                       "A file must either have a path or url attribute (input 2, \"image\")");
}

static void no_more_files_are_named_than_a_run_may_have(void **state)
{
    (void)state;
    struct input_variable inputs[INPUT_COUNT_MAX];
    struct text body = {0};
    for (size_t i = 0; i < INPUT_COUNT_MAX; i++)
        inputs[i] = file_inputs[i == 0 ? 1 : 0];
    const struct variables variables = variables_of(inputs, INPUT_COUNT_MAX);
    text_add(&body, "[{\"type\":\"dictionary\",\"value\":{\"image\":{\"file_path\":\"a\"},"
                    "\"mask\":{\"file_path\":\"a\"}}}");
    for (size_t i = 1; i < INPUT_COUNT_MAX; i++)
        text_add(&body, ",{\"type\":\"file\",\"file_path\":\"a\"}");
    text_add(&body, "]%c", 0);
    assert_input_error(body.bytes, &variables, "the inputs name more than 64 files");
    text_finish(&body);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_named_by_its_path_or_its_url),
        cmocka_unit_test(a_dictionary_names_files_where_its_schema_has_them),
        cmocka_unit_test(what_names_no_file_is_refused),
        cmocka_unit_test(no_more_files_are_named_than_a_run_may_have),
    };
    return cmocka_run_group_tests_name("run_request_files", tests, NULL, NULL);
}
