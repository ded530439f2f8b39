/* SPDX-License-Identifier: MIT */
/*
 * test_http_limits.c - how large a request head and its parts may be, and of which bytes.
 */
#include "dispatcher/http/http_parse.h"

#include <stdio.h>

#include "tests/unit/dispatcher/http_ways.h"

static char large[2 * HTTP_HEAD_BYTES_MAX];

/* "GET /aaa HTTP/1.1..." with a target of so many bytes. */
static struct http_text head_with_target(size_t target_bytes)
{
    const int start = snprintf(large, sizeof(large), "GET /");
    memset(large + start, 'a', target_bytes - 1);
    const size_t at = (size_t)start + target_bytes - 1;
    const int end = snprintf(large + at, sizeof(large) - at, " HTTP/1.1\r\nHost: a\r\n\r\n");
    return (struct http_text){large, at + (size_t)end};
}

static struct http_text head_of(size_t bytes)
{
    const int start = snprintf(large, sizeof(large), GET "X: ");
    memset(large + start, 'x', bytes - (size_t)start - 4);
    memcpy(large + bytes - 4, "\r\n\r\n", 4);
    return (struct http_text){large, bytes};
}

static struct http_text head_with_fields(unsigned count)
{
    size_t at = (size_t)snprintf(large, sizeof(large), GET);
    for (unsigned i = 1; i < count; i++)
        at += (size_t)snprintf(large + at, sizeof(large) - at, "X-%u: %u\r\n", i, i);
    at += (size_t)snprintf(large + at, sizeof(large) - at, "\r\n");
    return (struct http_text){large, at};
}

static void a_target_of_8_kib_is_accepted_and_one_byte_more_is_a_414(void **state)
{
    (void)state;
    struct http_text head = head_with_target(HTTP_TARGET_BYTES_MAX);
    assert_int_equal(parse_all_ways(head), head.bytes);
    assert_int_equal(whole.head.path.bytes, HTTP_TARGET_BYTES_MAX);

    head = head_with_target(HTTP_TARGET_BYTES_MAX + 1);
    assert_int_equal(parse_all_ways(head), -414);
    head.bytes = strlen("GET ") + HTTP_TARGET_BYTES_MAX;
    assert_int_equal(parse_all_ways(head), 0);
    head.bytes++;
    assert_int_equal(parse_all_ways(head), -414);
}

static void a_head_of_16_kib_is_accepted_and_one_byte_more_is_a_431(void **state)
{
    (void)state;
    struct http_text head = head_of(HTTP_HEAD_BYTES_MAX);
    assert_int_equal(parse_all_ways(head), head.bytes);

    head = head_of(HTTP_HEAD_BYTES_MAX + 1);
    assert_int_equal(parse_all_ways(head), -431);
    head.bytes = HTTP_HEAD_BYTES_MAX - 1;
    assert_int_equal(parse_all_ways(head), 0);
}

static void a_hundred_fields_are_accepted_and_one_more_is_a_431(void **state)
{
    (void)state;
    struct http_text head = head_with_fields(HTTP_HEADER_COUNT_MAX);
    assert_int_equal(parse_all_ways(head), head.bytes);
    assert_int_equal(whole.head.header_count, HTTP_HEADER_COUNT_MAX);
    assert_text(http_head_find(&whole.head, "x-99")->value, "99");

    assert_int_equal(parse_all_ways(head_with_fields(HTTP_HEADER_COUNT_MAX + 1)), -431);
}

static void a_method_of_32_bytes_is_accepted_and_one_more_is_a_501(void **state)
{
    (void)state;
    assert_true(parse_text("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
    assert_int_equal(whole.head.method, HTTP_METHOD_OTHER);
    assert_int_equal(parse_text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456"), -501);
}

static void four_empty_lines_are_skipped_and_a_fifth_is_a_400(void **state)
{
    (void)state;
    assert_true(parse_text("\r\n\r\n\r\n\r\n" GET "\r\n") > 0);
    assert_int_equal(parse_text("\r\n\r\n\r\n\r\n\r\n"), -400);
}

static void every_byte_of_a_field_value_is_judged(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char bytes[] = GET "X: a?b\r\n\r\n";
        strchr(bytes, '?')[0] = (char)byte;
        const int rc = parse_all_ways((struct http_text){bytes, sizeof(bytes) - 1});
        const bool is_accepted = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        assert_int_equal(rc, is_accepted ? (int)sizeof(bytes) - 1 : -400);
    }
}

static void every_byte_of_a_target_is_judged(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char bytes[] = "GET /a~b HTTP/1.1\r\nHost: a\r\n\r\n";
        strchr(bytes, '~')[0] = (char)byte;
        const int rc = parse_all_ways((struct http_text){bytes, sizeof(bytes) - 1});
        const bool is_accepted = byte > ' ' && byte < 0x7f && byte != '#';
        assert_int_equal(rc, is_accepted ? (int)sizeof(bytes) - 1 : -400);
    }
}

static void every_byte_of_a_name_and_of_a_method_is_judged(void **state)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char name[] = GET "a@b: c\r\n\r\n", method[] = "G@T / HTTP/1.1\r\nHost: a\r\n\r\n";
        strchr(name, '@')[0] = (char)byte;
        strchr(method, '@')[0] = (char)byte;
        const bool is_token = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                              (byte >= 'a' && byte <= 'z') || (byte && strchr(marks, byte));
        const int in_name = parse_all_ways((struct http_text){name, sizeof(name) - 1});
        assert_int_equal(in_name > 0, is_token || byte == ':');
        const int in_method = parse_all_ways((struct http_text){method, sizeof(method) - 1});
        assert_int_equal(in_method > 0, is_token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_of_8_kib_is_accepted_and_one_byte_more_is_a_414),
        cmocka_unit_test(a_head_of_16_kib_is_accepted_and_one_byte_more_is_a_431),
        cmocka_unit_test(a_hundred_fields_are_accepted_and_one_more_is_a_431),
        cmocka_unit_test(a_method_of_32_bytes_is_accepted_and_one_more_is_a_501),
        cmocka_unit_test(four_empty_lines_are_skipped_and_a_fifth_is_a_400),
        cmocka_unit_test(every_byte_of_a_field_value_is_judged),
        cmocka_unit_test(every_byte_of_a_target_is_judged),
        cmocka_unit_test(every_byte_of_a_name_and_of_a_method_is_judged),
    };
    return cmocka_run_group_tests(tests, ways_setup, ways_teardown);
}
