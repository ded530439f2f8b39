/* SPDX-License-Identifier: MIT */
/*
 * test_http_response.c - heads of responses, whole and in every two pieces.
 */
#include "dispatcher/http/http_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/edge.h"

#define T(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define OK "HTTP/1.1 200 OK\r\n"

static struct http_response response;

/* The result of the bytes in one piece, after it was the same in every two pieces. */
static int parse_all_ways(struct http_text bytes)
{
    int rc = 0;
    for (size_t cut = 0; cut <= bytes.bytes; cut++) {
        struct edge first = edge_copy(bytes.data, cut);
        struct edge all = edge_copy(bytes.data, bytes.bytes);
        struct http_scan scan;
        const char *reason = NULL;
        http_scan_init_response(&scan);
        int again = http_parse_response_head(&scan, first.bytes, cut, &response, &reason);
        if (again == 0)
            again = http_parse_response_head(&scan, all.bytes, bytes.bytes, &response, &reason);
        if (cut > 0)
            assert_int_equal(again, rc);
        if (again < 0)
            assert_true(strlen(reason) > 10);
        rc = again;
        edge_destroy(&first);
        edge_destroy(&all);
    }
    /* The texts of the response are in memory that went with the last copy: read them anew. */
    if (rc > 0) {
        struct http_scan scan;
        const char *reason;
        http_scan_init_response(&scan);
        rc = http_parse_response_head(&scan, bytes.data, bytes.bytes, &response, &reason);
    }
    return rc;
}

static int parse_text(const char *text)
{
    return parse_all_ways((struct http_text){text, strlen(text)});
}

static const struct http_header *field(const char *lower_case_name)
{
    return http_header_find(response.headers, response.header_count, NULL, lower_case_name);
}

static void a_streams_head_is_taken_apart_and_its_body_left_alone(void **state)
{
    static const char head[] = OK "Content-Type: application/x-ndjson\r\n"
                                  "Transfer-Encoding: chunked\r\nX-Empty:\r\n\r\n";
    char bytes[256];
    (void)state;
    const int count = snprintf(bytes, sizeof(bytes), "%s5\r\nhello\r\n", head);
    assert_int_equal(parse_all_ways((struct http_text){bytes, (size_t)count}), strlen(head));
    assert_int_equal(response.status, 200);
    assert_int_equal(response.minor, 1);
    assert_true(response.chunked);
    assert_false(response.has_length);
    assert_true(response.keep_alive);
    assert_int_equal(response.header_count, 3);
    assert_true(http_text_equals(field("content-type")->value, "application/x-ndjson"));
    assert_int_equal(field("x-empty")->value.bytes, 0);
    assert_null(field("x"));
}

static void statuses_reasons_and_connections_are_read(void **state)
{
    (void)state;
    assert_true(parse_text("HTTP/1.1 100 Continue\r\n\r\n") > 0);
    assert_int_equal(response.status, 100);
    assert_int_equal(response.header_count, 0);

    assert_true(parse_text("HTTP/1.1 404\r\nContent-Length: 12\r\nConnection: close\r\n\r\n") > 0);
    assert_int_equal(response.status, 404);
    assert_true(response.has_length);
    assert_int_equal(response.content_length, 12);
    assert_false(response.keep_alive);

    assert_true(parse_text("HTTP/1.0 999 \r\n\r\n") > 0);
    assert_int_equal(response.status, 999);
    assert_int_equal(response.minor, 0);
    assert_false(response.keep_alive);

    assert_true(parse_text("HTTP/1.0 200 a b \xc3\xa9\r\nconnection: x, Keep-Alive\r\n\r\n") > 0);
    assert_true(response.keep_alive);
}

static void wrong_responses_are_refused_at_their_first_wrong_byte(void **state)
{
    static const struct {
        struct http_text before, wrong;
    } rows[] = {
        {T(""), T("\r\n")},
        {T(""), T("GET / HTTP/1.1\r\n")},
        {T("HTTP/"), T("2 200\r\n")},
        {T("HTTP/1.1"), T("0 200\r\n")},
        {T("HTTP/1.1 "), T("099 a\r\n")},
        {T("HTTP/1.1 20"), T(" OK\r\n")},
        {T("HTTP/1.1 200"), T("0 OK\r\n")},
        {T("HTTP/1.1 200"), T("\n")},
        {T("HTTP/1.1 200 O"), T("\0K\r\n")},
        {T("HTTP/1.1 200 OK"), T("\n\r\n")},
        {T(OK "X"), T(" : a\r\n\r\n")},
        {T(OK "Content-Length: 1\r\nContent-Length: 1\r\n\r"), T("\n")},
        {T(OK "Content-Length: x\r\n\r"), T("\n")},
        {T(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r"), T("\n")},
        {T(OK "Transfer-Encoding: gzip\r\n\r"), T("\n")},
        {T(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r"), T("\n")},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char bytes[256];
        memcpy(bytes, rows[i].before.data, rows[i].before.bytes);
        memcpy(bytes + rows[i].before.bytes, rows[i].wrong.data, rows[i].wrong.bytes);
        const size_t before = rows[i].before.bytes, all = before + rows[i].wrong.bytes;
        if (parse_all_ways((struct http_text){bytes, before}) != 0 ||
            parse_all_ways((struct http_text){bytes, before + 1}) >= 0 ||
            parse_all_ways((struct http_text){bytes, all}) >= 0)
            fail_msg("row %zu, \"%.*s\"", i, (int)all, bytes);
    }
}

static int setup(void **state)
{
    (void)state;
    alarm(60);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_streams_head_is_taken_apart_and_its_body_left_alone),
        cmocka_unit_test(statuses_reasons_and_connections_are_read),
        cmocka_unit_test(wrong_responses_are_refused_at_their_first_wrong_byte),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
