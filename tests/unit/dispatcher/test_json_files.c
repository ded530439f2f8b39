/* SPDX-License-Identifier: MIT */
/* test_json_files.c - files among values become what is said of them, wherever they stand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/text/json_out.h"
#include "tests/unit/dispatcher/edge.h"

#define FILE_0 "\xd6\x01\x00\x00\x00\x00"
#define FILE_1 "\xd6\x01\x00\x00\x00\x01"
#define SHOWN(number) "{\"type\":\"file\",\"value\":null,\"file\":{\"n\":" #number "}}"

/* There are two. */
static size_t write_file(void *owner, uint32_t number, char *out)
{
    uint32_t *shown = owner;
    if (number > 1)
        return 0;
    *shown += 1;
    return (size_t)snprintf(out, JSON_FILE_OBJECT_BYTES_MAX, "{\"n\":%u}", number);
}

/* The longest that may be. */
static size_t write_long_file(void *owner, uint32_t number, char *out)
{
    (void)owner, (void)number;
    memset(out, ' ', JSON_FILE_OBJECT_BYTES_MAX);
    out[0] = '{';
    out[JSON_FILE_OBJECT_BYTES_MAX - 1] = '}';
    return JSON_FILE_OBJECT_BYTES_MAX;
}

/* What becomes of msgpack with so many outputs, in room that is just enough. */
static int64_t outputs_of(const char *bytes, size_t count, size_t output_count,
                          const struct json_files *files, char **text)
{
    struct edge in = edge_copy(bytes, count);
    const size_t named = json_out_file_count(in.bytes, count);
    struct edge out =
        edge_create(json_out_bound(count, output_count) + named * JSON_FILE_BYTES_MAX);
    const int64_t result = json_out_outputs(in.bytes, count, output_count, files, out.bytes);
    *text = strndup(out.bytes, result > 0 ? (size_t)result : 0);
    assert_non_null(*text);
    edge_destroy(&in);
    edge_destroy(&out);
    return result;
}

#define ASSERT_OUTPUTS(bytes, output_count, expected)                                              \
    do {                                                                                           \
        uint32_t shown = 0;                                                                        \
        char *text;                                                                                \
        const struct json_files files = {&shown, write_file};                                      \
        assert_true(outputs_of(bytes, sizeof(bytes) - 1, output_count, &files, &text) > 0);        \
        assert_string_equal(text, expected);                                                       \
        assert_int_equal(shown, json_out_file_count((const uint8_t *)(bytes), sizeof(bytes) - 1)); \
        free(text);                                                                                \
    } while (0)

static void a_file_stands_for_itself_as_an_output_and_within_a_value(void **state)
{
    (void)state;
    ASSERT_OUTPUTS("\x91" FILE_1, 1, SHOWN(1));
    ASSERT_OUTPUTS("\x92" FILE_0 "\x05", 2,
                   SHOWN(0) ",{\"type\":\"integer\",\"value\":5,\"file\":null}");
    ASSERT_OUTPUTS("\x91\x92" FILE_0 FILE_1, 1,
                   "{\"type\":\"array\",\"value\":[" SHOWN(0) "," SHOWN(1) "],\"file\":null}");
    ASSERT_OUTPUTS("\x91\x82\xa1"
                   "a" FILE_1 "\xa1"
                   "b\x91" FILE_1,
                   1,
                   "{\"type\":\"dictionary\",\"value\":{\"a\":" SHOWN(1) ",\"b\":[" SHOWN(
                       1) "]},\"file\":null}");
    ASSERT_OUTPUTS("\x92\xd4\x00\x00" FILE_0, 2,
                   "{\"type\":\"none\",\"value\":null,\"file\":null}," SHOWN(0));
}

static void assert_refused(const char *bytes, size_t count, const struct json_files *files)
{
    char *text;
    assert_int_equal(outputs_of(bytes, count, 1, files, &text), -EBADMSG);
    free(text);
}

static void a_file_that_is_not_there_and_one_in_the_place_of_a_key_are_refused(void **state)
{
    uint32_t shown = 0;
    const struct json_files files = {&shown, write_file};
    (void)state;
#define REFUSED(bytes, files) assert_refused(bytes, sizeof(bytes) - 1, files)
    REFUSED("\x91" FILE_0, NULL);
    REFUSED("\x91\x91" FILE_0, NULL);
    REFUSED("\x91\xd6\x01\x00\x00\x00\x02", &files);
    REFUSED("\x91\x91\xd6\x01\xff\xff\xff\xff", &files);
    REFUSED("\x91\x81" FILE_0 "\x01", &files);
    REFUSED("\x91\xd6\x02\x00\x00\x00\x00", &files);
    REFUSED("\x91\xd6\x01\x00\x00\x00", &files);
    REFUSED("\x91\xd4\x01\x00", &files);
#undef REFUSED
    assert_int_equal(shown, 0);
}

static void the_longest_that_may_be_said_of_files_fits(void **state)
{
    const struct json_files files = {NULL, write_long_file};
    char *text;
    (void)state;
    assert_true(outputs_of("\x91\x92" FILE_0 FILE_1, 14, 1, &files, &text) >
                2 * (int64_t)JSON_FILE_OBJECT_BYTES_MAX);
    free(text);
}

static void one_value_that_is_a_file_has_its_wrapper(void **state)
{
    uint32_t shown = 0;
    const struct json_files files = {&shown, write_file};
    char out[JSON_FILE_BYTES_MAX + 256];
    const char *type;
    size_t consumed;
    (void)state;
    int64_t bytes =
        json_out_value((const uint8_t *)FILE_1 "\x05", 7, &files, &consumed, &type, out);
    assert_int_equal(bytes, strlen(SHOWN(1)));
    assert_memory_equal(out, SHOWN(1), (size_t)bytes);
    assert_int_equal(consumed, 6);
    assert_ptr_equal(type, json_out_file_type);
}

static void files_are_counted_and_what_looks_like_one_is_not(void **state)
{
    (void)state;
#define COUNT(bytes) json_out_file_count((const uint8_t *)(bytes), sizeof(bytes) - 1)
    assert_int_equal(COUNT("\x91" FILE_0), 1);
    assert_int_equal(COUNT("\x92\xd4\x00\x00\x93" FILE_0 "\x01" FILE_1), 2);
    assert_int_equal(COUNT("\x91\xcd\xd6\x01"), 0);
    assert_int_equal(COUNT("\x91\xc4\x06" FILE_0), 0);
    assert_int_equal(COUNT("\x91\xc1" FILE_0), 0);
#undef COUNT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_stands_for_itself_as_an_output_and_within_a_value),
        cmocka_unit_test(a_file_that_is_not_there_and_one_in_the_place_of_a_key_are_refused),
        cmocka_unit_test(the_longest_that_may_be_said_of_files_fits),
        cmocka_unit_test(one_value_that_is_a_file_has_its_wrapper),
        cmocka_unit_test(files_are_counted_and_what_looks_like_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
