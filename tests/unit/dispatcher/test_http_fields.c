/* SPDX-License-Identifier: MIT */
/*
 * test_http_fields.c - the questions callers ask of a parsed head: lists, tokens, media types.
 */
#include "dispatcher/http/http_parse.h"

#include <errno.h>

#include "tests/unit/dispatcher/http_ways.h"

static struct http_text text_of(const char *text)
{
    return (struct http_text){text, strlen(text)};
}

/* The head of a GET with these field lines, in `whole`. */
static const struct http_head *head_with(const char *fields)
{
    char bytes[1024];
    const int count = snprintf(bytes, sizeof(bytes), GET "%s\r\n", fields);
    assert_in_range(count, 1, sizeof(bytes) - 1);
    assert_int_equal(parse_all_ways((struct http_text){bytes, (size_t)count}), count);
    return &whole.head;
}

static void texts_compare_byte_for_byte_or_without_case(void **state)
{
    (void)state;
    assert_true(http_text_equals(text_of("/v4/runs"), "/v4/runs"));
    assert_false(http_text_equals(text_of("/v4/runs"), "/v4/run"));
    assert_false(http_text_equals(text_of("/v4/run"), "/v4/runs"));
    assert_false(http_text_equals(text_of("/V4/runs"), "/v4/runs"));
    assert_true(http_text_equals((struct http_text){0}, ""));

    assert_true(http_text_matches(text_of("Content-TYPE"), "content-type"));
    assert_false(http_text_matches(text_of("Content-Typ"), "content-type"));
    assert_false(http_text_matches((struct http_text){"content-typ\0", 12}, "content-type"));
    /* Bytes a careless lower-casing would take for letters. */
    assert_false(http_text_matches(text_of("@"), "`"));
    assert_false(http_text_matches(text_of("["), "{"));
    assert_false(http_text_matches(text_of("\xc0"), "\xe0"));
}

static void a_list_gives_each_element_trimmed_and_empty_ones_too(void **state)
{
    (void)state;
    static const char *const expected[] = {"a", "", "b c", ""};
    struct http_text rest = text_of(" a ,,\tb c\t, "), element;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_true(http_list_next(&rest, &element));
        assert_text(element, expected[i]);
    }
    assert_false(http_list_next(&rest, &element));

    struct http_text nothing = {0};
    assert_false(http_list_next(&nothing, &element));
}

static void a_media_type_is_accepted_when_it_is_named(void **state)
{
    static const struct {
        const char *fields;
        bool is_accepted;
    } rows[] = {
        {"Accept: text/event-stream\r\n", true},
        {"Accept: Text/Event-Stream\r\n", true},
        {"Accept: application/json;q=0.5, text/event-stream;q=0.1\r\n", true},
        {"Accept: text/event-stream ;q=1\r\n", true},
        {"Accept: a/b\r\nAccept: text/event-stream\r\n", true},
        {"Accept: */*\r\n", false},
        {"Accept: text/*\r\n", false},
        {"Accept: text/event-streams\r\n", false},
        {"Accept: text/event-strea\r\n", false},
        {"Accept: a/b;x=text/event-stream\r\n", false},
        {"Accept:\r\n", false},
        {"X-Accept: text/event-stream\r\n", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (http_head_accepts(head_with(rows[i].fields), "text/event-stream") !=
            rows[i].is_accepted)
            fail_msg("%s", rows[i].fields);
}

static void a_bearer_token_is_taken_only_when_there_is_exactly_one(void **state)
{
    static const struct {
        const char *fields, *token;
    } rows[] = {
        {"Authorization: Bearer abc.DEF-_~+/=\r\n", "abc.DEF-_~+/="},
        {"authorization: bearer   x\r\n", "x"},
        {"Authorization: BEARER Bearer\r\n", "Bearer"},
        {"Authorization: Bearer\r\n", NULL},
        {"Authorization: Bearer \r\n", NULL},
        {"Authorization: Bearerx\r\n", NULL},
        {"Authorization: Bearer\tx\r\n", NULL},
        {"Authorization: Bearer a b\r\n", NULL},
        {"Authorization: Bearer a\tb\r\n", NULL},
        {"Authorization: Bearer \xc3\xa9\r\n", NULL},
        {"Authorization: Basic YTpi\r\n", NULL},
        {"Authorization: Token x\r\n", NULL},
        {"Authorization:\r\n", NULL},
        {"Authorization: Bearer a\r\nAuthorization: Bearer a\r\n", NULL},
        {"Authorization: Basic YTpi\r\nAuthorization: Bearer a\r\n", NULL},
        {"Proxy-Authorization: Bearer a\r\n", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_text token;
        if (http_head_bearer(head_with(rows[i].fields), &token) != (rows[i].token != NULL))
            fail_msg("%s", rows[i].fields);
        if (rows[i].token)
            assert_text(token, rows[i].token);
    }
}

static void numbers_are_digits_and_fit_63_bits(void **state)
{
    static const char *const wrong[] = {
        "", "-1", "+1", " 1", "1 ", "1x", "0x1", "9223372036854775808", "99999999999999999999",
    };
    uint64_t number = 42;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_false(http_text_number(text_of(wrong[i]), &number));
    assert_int_equal(number, 42);
    assert_true(http_text_number(text_of("9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
    assert_true(http_text_number(text_of("000"), &number));
    assert_int_equal(number, 0);
}

static void percent_escapes_are_resolved_and_malformed_ones_refused(void **state)
{
    static const char *const wrong[] = {"%",    "a%2", "%2",  "%g0", "%0g",
                                        "%%41", "%00", "%0a", "%7F"};
    char out[64];
    (void)state;
    const struct http_text text = text_of("my%5Fuser%2fwords%3Av1+a%C3%A9%25");
    const int64_t bytes = http_percent_decode(text, out);
    assert_true(bytes > 0);
    assert_text((struct http_text){out, (size_t)bytes}, "my_user/words:v1+a\xc3\xa9%");
    assert_int_equal(http_percent_decode((struct http_text){0}, out), 0);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        const char *copy = ways_copy(&piece_bytes, wrong[i], strlen(wrong[i]));
        const struct http_text at_edge = {copy, strlen(wrong[i])};
        if (http_percent_decode(at_edge, out) != -EINVAL)
            fail_msg("%s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_compare_byte_for_byte_or_without_case),
        cmocka_unit_test(a_list_gives_each_element_trimmed_and_empty_ones_too),
        cmocka_unit_test(a_media_type_is_accepted_when_it_is_named),
        cmocka_unit_test(a_bearer_token_is_taken_only_when_there_is_exactly_one),
        cmocka_unit_test(numbers_are_digits_and_fit_63_bits),
        cmocka_unit_test(percent_escapes_are_resolved_and_malformed_ones_refused),
    };
    return cmocka_run_group_tests(tests, ways_setup, ways_teardown);
}
