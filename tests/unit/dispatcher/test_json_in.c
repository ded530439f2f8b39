/* SPDX-License-Identifier: MIT */
/*
 * test_json_in.c - what JSON is and where it stops being it; and that the tree has lost nothing.
 *
 * Every text ends at an edge.
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

#include "dispatcher/text/json_in.h"
#include "dispatcher/text/json_scan.h"
#include "millrace/limits.h"
#include "tests/unit/dispatcher/edge.h"

static int parse(struct json_document **out, const char *text, size_t bytes,
                 struct json_error *error)
{
    struct edge edge = edge_copy(text, bytes);
    int rc = json_in_parse(out, edge.bytes, bytes, error);
    edge_destroy(&edge);
    return rc;
}

static struct json_document *accepted(const char *text, size_t bytes)
{
    struct json_document *document = NULL;
    struct json_error error = {0};
    if (parse(&document, text, bytes, &error) != 0)
        fail_msg("%.60s: %s at %zu", text, error.message, error.offset);
    return document;
}

static void assert_accepted(const char *text)
{
    json_in_destroy(accepted(text, strlen(text)));
}

/* Refused at this byte, for a reason with these words. */
static void assert_refused_bytes(const char *text, size_t bytes, size_t offset, const char *words)
{
    struct json_document *document = NULL;
    struct json_error error = {0};
    assert_int_equal(parse(&document, text, bytes, &error), -EINVAL);
    assert_null(document);
    if (error.offset != offset || strstr(error.message, words) == NULL)
        fail_msg("%.60s: \"%s\" at %zu", text, error.message, error.offset);
}

static void assert_refused(const char *text, size_t offset, const char *words)
{
    assert_refused_bytes(text, strlen(text), offset, words);
}

/* ---- the grammar ----------------------------------------------------------------------------- */

static void json_is_accepted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1.5",
        "-0.0",
        "1e5",
        "1E+5",
        "1e-5",
        "1.25e10",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "{\"a\":[]}",
        " \t\r\n1 \t\r\n",
        "[1,2,3]",
        "[ 1 , 2 ]",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\\u00e9\\u20AC\"",
        "\"\\ud83c\\udfb5\"",
        "\"\x7f\"",
        "\"\xc3\xa9\xe2\x82\xac\"",
        "{\"\":1}",
        "{\"a\":{\"a\":1},\"A\":2}",
        "123456789012345678",
        "0.1e0",
        "0e0",
        "[0,0]",
        "\"long enough for whole words to be passed over\"",
        "{\"a\":null,\"b\":[true,false]}",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_accepted(texts[i]);
}

static void what_is_not_json_is_refused_where_it_goes_wrong(void **state)
{
    (void)state;
    assert_refused("", 0, "a value was expected");
    assert_refused("  ", 2, "a value was expected");
    assert_refused("\xef\xbb\xbf[]", 0, "byte order mark");
    assert_refused("[1,]", 3, "a value was expected");
    assert_refused("[,1]", 1, "a value was expected");
    assert_refused("[1 2]", 3, "',' or ']'");
    assert_refused("[1", 2, "',' or ']'");
    assert_refused("[1}", 2, "',' or ']'");
    assert_refused("{\"a\":1]", 6, "',' or '}'");
    assert_refused("{\"a\":1,}", 7, "a key");
    assert_refused("{a:1}", 1, "a key");
    assert_refused("{1:1}", 1, "a key");
    assert_refused("{\"a\" 1}", 5, "':'");
    assert_refused("{\"a\":}", 5, "a value was expected");
    assert_refused("1 x", 2, "text follows");
    assert_refused("{}{}", 2, "text follows");
    assert_refused("1\n\n2", 3, "text follows");
    assert_refused("nul", 0, "a value was expected");
    assert_refused("nulll", 4, "text follows");
    assert_refused("True", 0, "a value was expected");
    assert_refused("NaN", 0, "a value was expected");
    assert_refused("Infinity", 0, "a value was expected");
    assert_refused("'a'", 0, "a value was expected");
    assert_refused("/**/1", 0, "a value was expected");
    assert_refused("[1,\v2]", 3, "a value was expected");
    assert_refused("[1,\xc2\xa0"
                   "2]",
                   3, "a value was expected");
    assert_refused_bytes("[1\0]", 4, 2, "',' or ']'");
    assert_refused_bytes("1\0", 2, 1, "text follows");
    assert_refused("]", 0, "a value was expected");
}

static void numbers_follow_the_grammar(void **state)
{
    (void)state;
    assert_refused("01", 0, "begin with 0");
    assert_refused("-01", 1, "begin with 0");
    assert_refused("00", 0, "begin with 0");
    assert_refused("1.", 2, "a digit");
    assert_refused("1.e5", 2, "a digit");
    assert_refused("[1.]", 3, "a digit");
    assert_refused(".5", 0, "a value was expected");
    assert_refused("+1", 0, "a value was expected");
    assert_refused("-", 1, "a digit");
    assert_refused("--1", 1, "a digit");
    assert_refused("1e", 2, "a digit");
    assert_refused("1e+", 3, "a digit");
    assert_refused("1.5e", 4, "a digit");
    assert_refused("0x10", 1, "text follows");
    assert_refused("[1-2]", 2, "',' or ']'");
    assert_refused("1e5.5", 3, "text follows");
}

static void strings_follow_the_grammar(void **state)
{
    (void)state;
    assert_refused("\"a", 0, "not closed");
    assert_refused("[\"abcdefghijkl", 1, "not closed");
    assert_refused("\"a\nb\"", 2, "control character");
    assert_refused("\"abcdefgh\x1f\"", 9, "control character");
    assert_refused_bytes("\"a\0b\"", 5, 2, "control character");
    assert_refused("\"\\x\"", 1, "escape");
    assert_refused("\"\\", 1, "escape");
    assert_refused("\"\\u12", 1, "escape");
    assert_refused("\"\\u12g4\"", 1, "escape");
    assert_refused("\"\\U0041\"", 1, "escape");
    assert_refused_bytes("\"\\\0\"", 4, 1, "escape");
    assert_refused("\"\\ud800\"", 1, "surrogate");
    assert_refused("\"\\ud800x\"", 1, "surrogate");
    assert_refused("\"\\ud800\\n\"", 1, "surrogate");
    assert_refused("\"\\ud800\\u0041\"", 1, "surrogate");
    assert_refused("\"\\ud800\\ud800\"", 1, "surrogate");
    assert_refused("\"\\udc00\"", 1, "surrogate");
    assert_refused("\"\\udfff\\ud800\"", 1, "surrogate");
    assert_refused("{\"a\\u0000b\":1}", 1, "key cannot hold");
    static const char *const bad[] = {
        "\xff", "\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xc3"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char text[32];
        snprintf(text, sizeof(text), "[\"ab%s\"]", bad[i]);
        assert_refused(text, 4, "UTF-8");
        snprintf(text, sizeof(text), "{\"ab%s\":1}", bad[i]);
        assert_refused(text, 4, "UTF-8");
        snprintf(text, sizeof(text), "[%s]", bad[i]);
        assert_refused(text, 1, "a value was expected");
    }
}

static void the_grammar_alone_allows_what_no_tree_can_carry(void **state)
{
    (void)state;
    static const char text[] =
        "{\"\\u0000\":[18446744073709551616,1e999,\"\\u0000\","
        "0.00000000000000000000000000000000000000000000000000000000000000001]}";
    struct edge edge = edge_copy(text, sizeof(text) - 1);
    struct json_error error = {0};
    assert_int_equal(json_scan(edge.bytes, edge.count, NULL, &error), 0);
    assert_int_equal(json_scan(edge.bytes, edge.count - 1, NULL, &error), -EINVAL);
    assert_int_equal(error.offset, edge.count - 1);
    edge_destroy(&edge);
}

static void every_truncation_of_a_text_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\u00e9\":[1.5e-3,-20,\"\\ud83c\\udfb5 \xe2\x82\xac\",true,"
                               "null,{}],\"b\":\"plain text, eight by eight\"}";
    for (size_t bytes = 0; bytes < sizeof(text) - 1; bytes++) {
        struct json_document *document = NULL;
        struct json_error error = {0};
        assert_int_equal(parse(&document, text, bytes, &error), -EINVAL);
        assert_true(error.offset <= bytes);
    }
    assert_accepted(text);
}

static char *nested(size_t depth, char open, char close)
{
    char *text = malloc(2 * depth + 1);
    assert_non_null(text);
    memset(text, open, depth);
    memset(text + depth, close, depth);
    text[2 * depth] = '\0';
    return text;
}

static void nesting_is_looked_at_down_to_the_limit(void **state)
{
    (void)state;
    char *text = nested(JSON_DEPTH_MAX, '[', ']');
    assert_accepted(text);
    free(text);
    text = nested(JSON_DEPTH_MAX + 1, '[', ']');
    assert_refused(text, JSON_DEPTH_MAX, "nested too deeply");
    free(text);
    text = nested(1000000, '[', ']');
    assert_refused(text, JSON_DEPTH_MAX, "nested too deeply");
    free(text);
    /* Arrays and objects in turn: each closing bracket must be the right one. */
    char mixed[] = "[{\"a\":[{\"b\":[{\"c\":[]}]}]}]";
    assert_accepted(mixed);
    for (size_t i = 0; i < sizeof(mixed) - 1; i++) {
        struct json_document *document = NULL;
        struct json_error error = {0};
        char kept = mixed[i];
        if (kept != ']' && kept != '}')
            continue;
        mixed[i] = kept == ']' ? '}' : ']';
        assert_int_equal(parse(&document, mixed, strlen(mixed), &error), -EINVAL);
        mixed[i] = kept;
    }
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    size_t values = JSON_VALUE_COUNT_MAX;
    char *text = malloc(2 * values + 2);
    assert_non_null(text);
    for (size_t i = 0; i < values; i++)
        memcpy(text + 2 * i, ",1", 2);
    text[0] = '[';
    text[2 * values] = ']';
    /* The array is one too many. */
    assert_refused_bytes(text, 2 * values + 1, 2 * (values - 1) + 1, "too many values");
    text[2 * values - 2] = ']';
    json_in_destroy(accepted(text, 2 * values - 1));
    free(text);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static struct json_number number(const char *text)
{
    struct json_document *document = accepted(text, strlen(text));
    struct json_number value = json_in_number(document, json_in_root(document));
    json_in_destroy(document);
    return value;
}

static void assert_integer(const char *text, int64_t expected)
{
    struct json_number value = number(text);
    assert_int_equal(value.kind, JSON_TOKEN_INTEGER);
    assert_true(value.u.integer == expected);
}

static void integers_are_exact_over_64_bits(void **state)
{
    (void)state;
    assert_integer("0", 0);
    assert_integer("-0", 0);
    assert_integer("9007199254740993", INT64_C(9007199254740993));
    assert_integer("-9007199254740993", -INT64_C(9007199254740993));
    assert_integer("9223372036854775807", INT64_MAX);
    assert_integer("-9223372036854775808", INT64_MIN);
    struct json_number value = number("9223372036854775808");
    assert_int_equal(value.kind, JSON_TOKEN_NATURAL);
    assert_true(value.u.natural == (uint64_t)INT64_MAX + 1);
    value = number("18446744073709551615");
    assert_int_equal(value.kind, JSON_TOKEN_NATURAL);
    assert_true(value.u.natural == UINT64_MAX);
}

static void integers_beyond_64_bits_are_refused_and_never_rounded(void **state)
{
    (void)state;
    assert_refused("18446744073709551616", 0, "2^64-1");
    assert_refused("[0, -9223372036854775809]", 4, "-2^63");
    assert_refused("99999999999999999999", 0, "2^64-1");
    char digits[101];
    memset(digits, '1', 100);
    digits[100] = '\0';
    assert_refused(digits, 0, "2^64-1");
}

static void assert_fp(const char *text, double expected)
{
    struct json_number value = number(text);
    assert_int_equal(value.kind, JSON_TOKEN_FP);
    assert_memory_equal(&value.u.fp, &expected, sizeof(expected));
}

static void numbers_with_a_fraction_or_exponent_are_doubles(void **state)
{
    (void)state;
    assert_fp("1.0", 1.0);
    assert_fp("-0.0", -0.0);
    assert_fp("1e2", 100.0);
    assert_fp("0.1", 0.1);
    assert_fp("1.7976931348623157e308", 1.7976931348623157e308);
    assert_fp("5e-324", 5e-324);
    assert_fp("1e-400", 0.0);
    assert_fp("9007199254740993.0", 9007199254740992.0);
    /* The longest number, 63 characters; cJSON would cut a longer one. */
    assert_fp("0.1000000000000000055511151231257827021181583404541015625000000", 0.1);
    assert_refused("[0.10000000000000000555111512312578270211815834045410156250000000]", 1,
                   "63 characters");
}

static void doubles_that_would_be_infinite_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"[1, 1e309]", "[1, -1e309]", "[1, 1e999999]"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct json_document *document = NULL;
        struct json_error error = {0};
        assert_int_equal(parse(&document, texts[i], strlen(texts[i]), &error), -EINVAL);
        assert_non_null(strstr(error.message, "too large"));
        assert_int_equal(error.offset, 4);
    }
}

static void numbers_find_their_nodes_wherever_they_stand(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,\"x\",2.5,{\"b\":3,\"c\":[]},\"\\u0000\",true,4],\"d\":5}";
    struct json_document *document = accepted(text, sizeof(text) - 1);
    const cJSON *root = json_in_root(document);
    const cJSON *list = cJSON_GetObjectItem(root, "a");
    const cJSON *inner = cJSON_GetArrayItem(list, 3);
    assert_true(json_in_number(document, cJSON_GetArrayItem(list, 0)).u.integer == 1);
    assert_true(json_in_number(document, cJSON_GetArrayItem(list, 2)).u.fp == 2.5);
    assert_true(json_in_number(document, cJSON_GetObjectItem(inner, "b")).u.integer == 3);
    assert_true(json_in_number(document, cJSON_GetArrayItem(list, 6)).u.integer == 4);
    assert_true(json_in_number(document, cJSON_GetObjectItem(root, "d")).u.integer == 5);
    assert_int_equal(json_in_string_bytes(document, cJSON_GetArrayItem(list, 1)), 1);
    assert_int_equal(json_in_string_bytes(document, cJSON_GetArrayItem(list, 4)), 1);
    json_in_destroy(document);
}

/* ---- strings --------------------------------------------------------------------------------- */

static void assert_string(const char *json, const char *expected, size_t bytes)
{
    struct json_document *document = accepted(json, strlen(json));
    const cJSON *root = json_in_root(document);
    assert_int_equal(json_in_string_bytes(document, root), bytes);
    /* cJSON writes all decoded bytes; that it does so beyond a NUL is what this rests on. */
    assert_memory_equal(root->valuestring, expected, bytes);
    assert_int_equal(root->valuestring[bytes], '\0');
    json_in_destroy(document);
}

static void strings_keep_every_byte_beyond_a_nul(void **state)
{
    (void)state;
    assert_string("\"\\u0000\"", "\0", 1);
    assert_string("\"a\\u0000bcd\\u0000\"", "a\0bcd\0", 6);
    assert_string("\"\\u0000\\u0000\\u0000\"", "\0\0\0", 3);
    assert_string("\"\\u0000\xe2\x82\xac\\u20ac\\n\\/\\ud83c\\udfb5\"",
                  "\0\xe2\x82\xac\xe2\x82\xac\n/\xf0\x9f\x8e\xb5", 13);
    assert_string("\"\\u0000\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
                  "\0\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 12);
    assert_string("\"plain\"", "plain", 5);
    assert_string("\"\"", "", 0);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void assert_double_key(const char *text, const char *key)
{
    struct json_document *document = NULL;
    struct json_error error = {0};
    assert_int_equal(parse(&document, text, strlen(text), &error), -EINVAL);
    assert_true(error.offset == JSON_OFFSET_NONE);
    assert_non_null(strstr(error.message, key));
    assert_non_null(strstr(error.message, "twice"));
}

static void the_same_key_twice_is_refused(void **state)
{
    (void)state;
    assert_double_key("{\"a\":1,\"a\":2}", "\"a\"");
    assert_double_key("{\"a\":1,\"\\u0061\":2}", "\"a\"");
    assert_double_key("[{\"x\":{\"b\":1,\"c\":1,\"b\":1}}]", "\"b\"");
    assert_double_key("{\"\":1,\"\":2}", "\"\"");
    assert_accepted("[{\"a\":1},{\"a\":2}]");
    assert_accepted("{\"a\":{\"a\":{\"a\":1}}}");
}

static void a_hundred_thousand_keys_are_compared_in_bounded_time(void **state)
{
    (void)state;
    const size_t count = 100000;
    size_t room = count * 24 + 64;
    char *text = malloc(room);
    assert_non_null(text);
    size_t bytes = 0;
    text[bytes++] = '{';
    for (size_t i = 0; i < count; i++)
        bytes += (size_t)snprintf(text + bytes, room - bytes, "\"key%zu\":%zu,", i, i);
    size_t end = bytes - 1;
    memcpy(text + end, "}", 2);
    alarm(10);
    assert_accepted(text);
    snprintf(text + end, room - end, ",\"key31415\":1}");
    assert_double_key(text, "\"key31415\"");
    alarm(60);
    free(text);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int allocations_left;

static void *allocate_some(size_t bytes)
{
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void the_failure_of_each_allocation_of_the_tree_is_reported(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,\"two\",{\"three\":3.5}],\"b\":null}";
    cJSON_Hooks hooks = {.malloc_fn = allocate_some, .free_fn = free};
    cJSON_InitHooks(&hooks);
    int enough = 0;
    for (;; enough++) {
        struct json_document *document = NULL;
        struct json_error error = {0};
        allocations_left = enough;
        int rc = parse(&document, text, sizeof(text) - 1, &error);
        json_in_destroy(document);
        if (rc == 0)
            break;
        assert_int_equal(rc, -ENOMEM);
        assert_null(document);
    }
    cJSON_InitHooks(NULL);
    assert_true(enough > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_accepted),
        cmocka_unit_test(what_is_not_json_is_refused_where_it_goes_wrong),
        cmocka_unit_test(numbers_follow_the_grammar),
        cmocka_unit_test(strings_follow_the_grammar),
        cmocka_unit_test(the_grammar_alone_allows_what_no_tree_can_carry),
        cmocka_unit_test(every_truncation_of_a_text_is_refused),
        cmocka_unit_test(nesting_is_looked_at_down_to_the_limit),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(integers_are_exact_over_64_bits),
        cmocka_unit_test(integers_beyond_64_bits_are_refused_and_never_rounded),
        cmocka_unit_test(numbers_with_a_fraction_or_exponent_are_doubles),
        cmocka_unit_test(doubles_that_would_be_infinite_are_refused),
        cmocka_unit_test(numbers_find_their_nodes_wherever_they_stand),
        cmocka_unit_test(strings_keep_every_byte_beyond_a_nul),
        cmocka_unit_test(the_same_key_twice_is_refused),
        cmocka_unit_test(a_hundred_thousand_keys_are_compared_in_bounded_time),
        cmocka_unit_test(the_failure_of_each_allocation_of_the_tree_is_reported),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
