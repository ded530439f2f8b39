/* SPDX-License-Identifier: MIT */
/*
 * test_http_parse.c - which request heads are accepted as what, and which are refused, and where.
 */
#include "dispatcher/http/http_parse.h"

#include "tests/unit/dispatcher/http_ways.h"

/* Rows of the tables leave out what is usual. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define T(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* `wrong` begins with the byte at which the refusal must come, neither earlier nor later. */
static const struct refusal {
    int status;
    struct http_text before;
    struct http_text wrong;
} refusals[] = {
    /* what is no HTTP at all */
    {400, T(""), T("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")}, /* a TLS ClientHello */
    {400, T(""), T("\x80\x2e\x01\x00\x02")},                         /* SSL 2 */
    {400, T(""), T("\0\0\0\0")},
    {400, T(""), T("\n")},
    {400, T(""), T(" GET / HTTP/1.1\r\n")},
    {400, T(""), T("{\"pipeline\":null}")},
    {400, T("\r"), T("\r\n")},
    {400, T("\r\n"), T("\n")},
    {400, T("SSH-2.0-OpenSSH_9.2p1"), T("\r\n")},
    {400, T("*1"), T("\r\n$4\r\nPING\r\n")},
    {400, T("PROXY TCP4 "), T("127.0.0.1 127.0.0.1 1 2\r\n")},
    /* the method */
    {400, T("GET"), T("\r\n")},
    {400, T("GET"), T("\t/ HTTP/1.1\r\n")},
    {400, T("GET"), T(":/ HTTP/1.1\r\n")},
    {400, T("G"), T("\0T / HTTP/1.1\r\n")},
    {400, T("G"), T("\xc3\x89T / HTTP/1.1\r\n")},
    {400, T("GET"), T("/ HTTP/1.1\r\n")},
    {501, T("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"), T("G / HTTP/1.1\r\n")},
    {501, T("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r"), T("\n")},
    /* the target */
    {400, T("GET "), T(" / HTTP/1.1\r\n")},
    {400, T("GET "), T("\r\n")},
    {400, T("GET "), T("#f HTTP/1.1\r\n")},
    {400, T("GET /a"), T("#f HTTP/1.1\r\n")},
    {400, T("GET /"), T("\t HTTP/1.1\r\n")},
    {400, T("GET /a"), T("\0 HTTP/1.1\r\n")},
    {400, T("GET /a"), T("\x7f HTTP/1.1\r\n")},
    {400, T("GET /caf"), T("\xc3\xa9 HTTP/1.1\r\n")},
    {400, T("GET /"), T("\r\n")}, /* HTTP/0.9 */
    {400, T("GET /"), T("\n")},
    {400, T("GET * HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET a/b HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET a:80 HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET http:/a HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET http:// HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET http:///a HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    {400, T("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r"), T("\n")},
    /* the version */
    {400, T("GET / "), T(" HTTP/1.1\r\n")},
    {400, T("GET / "), T("\r\n")},
    {400, T("GET / "), T("http/1.1\r\n")},
    {400, T("GET / HTTP"), T("S/1.1\r\n")},
    {400, T("GET / HTTP/"), T("x.1\r\n")},
    {400, T("GET / HTTP/1"), T(",1\r\n")},
    {400, T("GET / HTTP/1"), T("1\r\n")},
    {400, T("GET / HTTP/1."), T("\r\n")},
    {400, T("GET / HTTP/1.1"), T("0\r\n")},
    {400, T("GET / HTTP/1.1"), T(" \r\n")},
    {400, T("GET / HTTP/1.1"), T("\n")},
    {400, T("GET / HTTP/1.1\r"), T("Host: a\r\n")},
    {505, T("GET / HTTP/1."), T("2\r\n")},
    {505, T("GET / HTTP/"), T("3.0\r\n")},
    {505, T("GET / HTTP/"), T("0.9\r\n")},
    {505, T("PRI * HTTP/"), T("2.0\r\n\r\nSM\r\n\r\n")}, /* HTTP/2 with prior knowledge */
    /* field lines */
    {400, T("GET / HTTP/1.1\r\n"), T(" Host: a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\n"), T(":a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\n"), T("\nHost: a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost"), T(" : a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost"), T("\t: a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost"), T("\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost"), T("\0: a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nH"), T("\xc3\xb6st: a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost"), T("(x): a\r\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a"), T("\n\r\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a\r"), T("\r\n\r\n")},
    {400, T(GET "X: a\r"), T("b\r\n\r\n")},
    {400, T(GET "X: a"), T("\0b\r\n\r\n")},
    {400, T(GET "X: a"), T("\x0b\r\n\r\n")},
    {400, T(GET "X: a"), T("\x1b[2J\r\n\r\n")},
    {400, T(GET "X: a"), T("\x7f\r\n\r\n")},
    {400, T(GET "X: a\r\n"), T(" folded\r\n\r\n")},
    {400, T(GET "X: a\r\n"), T("\tfolded\r\n\r\n")},
    {400, T(GET "X:\r\n"), T(" \r\n\r\n")},
    {400, T(GET "\r"), T("\r\n")},
    {400, T(GET), T("\n")},
    /* Host */
    {400, T("GET / HTTP/1.1\r\n\r"), T("\n")},
    {400, T("GET http://a/ HTTP/1.1\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nX-Host: a\r\n\r"), T("\n")},
    {400, T(GET "Host: a\r\n\r"), T("\n")},
    {400, T(GET10 "Host: a\r\nHOST: b\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost:\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a b\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a, b\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a/b\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: u@a\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a:b:1\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a:65536\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: a:-1\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: :80\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: [::1\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: []\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: [::g]:80\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: [::1]80\r\n\r"), T("\n")},
    {400, T("GET / HTTP/1.1\r\nHost: \xff\r\n\r"), T("\n")},
    /* Content-Length */
    {400, T(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 5\r\ncontent-length: 6\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 5, 5\r\n\r"), T("\n")},
    {400, T(POST "Content-Length:\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: +5\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: -5\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 1 2\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 0x5\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 5.0\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 5;\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: \"5\"\r\n\r"), T("\n")},
    {400,
     T(POST "Content-Length: \xc2\xa0"
            "5\r\n\r"),
     T("\n")},
    {400, T(POST "Content-Length: 9223372036854775808\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 18446744073709551621\r\n\r"), T("\n")},
    {400, T(POST "Content-Length: 99999999999999999999999999\r\n\r"), T("\n")},
    {400, T(POST "Content-Length"), T(" : 5\r\n\r\n")},
    /* Transfer-Encoding, alone and beside a length: the smuggler's tools */
    {400, T(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r"), T("\n0\r\n\r\nG")},
    {400, T(POST "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r"), T("\n0\r\n\r\nG")},
    {400, T(POST "transfer-encoding: chunked\r\ncontent-length: 0\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding: chunked, chunked\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding: chunked, gzip\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding: chunked,\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding: , chunked\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding:\r\n\r"), T("\n")},
    {400, T(POST10 "Transfer-Encoding: chunked\r\n\r"), T("\n")},
    {400, T(POST "Transfer-Encoding"), T(" : chunked\r\n\r\n")},
    {400, T(POST "Transfer-Encoding:"),
     T("\x0b"
       "chunked\r\n\r\n")},
    {400, T(POST "Transfer-Encoding: chunked"), T("\n\r\n")},
    {400, T(POST "Transfer-Encoding:\r\n"), T(" chunked\r\n\r\n")},
    {400, T(POST "X: y"), T("\nTransfer-Encoding: chunked\r\n\r\n")},
    {400, T(POST "X: y\r"), T("Transfer-Encoding: chunked\r\n\r\n")},
    {501, T(POST "Transfer-Encoding: gzip, chunked\r\n\r"), T("\n")},
    {501, T(POST "Transfer-Encoding: identity\r\n\r"), T("\n")},
    {501, T(POST "Transfer-Encoding: xchunked\r\n\r"), T("\n")},
    {501, T(POST "Transfer-Encoding: chunked;q=1\r\n\r"), T("\n")},
    {501, T(POST "Transfer-Encoding: \"chunked\"\r\n\r"), T("\n")},
    {501, T(POST "Transfer-Encoding: chunked \xc2\xa0\r\n\r"), T("\n")},
    /* Expect */
    {417, T(POST "Expect: 200-ok\r\n\r"), T("\n")},
    {417, T(POST "Expect: 100-continue, 100-continue\r\n\r"), T("\n")},
    {417, T(POST "Expect:\r\n\r"), T("\n")},
};

static void wrong_heads_are_refused_with_their_status_at_their_first_wrong_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct refusal *refusal = &refusals[i];
        char bytes[1024];
        assert_true(refusal->before.bytes + refusal->wrong.bytes <= sizeof(bytes));
        memcpy(bytes, refusal->before.data, refusal->before.bytes);
        memcpy(bytes + refusal->before.bytes, refusal->wrong.data, refusal->wrong.bytes);

        const int before = parse_all_ways((struct http_text){bytes, refusal->before.bytes});
        const int at = parse_all_ways((struct http_text){bytes, refusal->before.bytes + 1});
        const size_t count = refusal->before.bytes + refusal->wrong.bytes;
        const int all = parse_all_ways((struct http_text){bytes, count});
        if (before != 0 || at != -refusal->status || all != at)
            fail_msg("row %zu, \"%.*s\": %d before, %d at the byte, %d at the end", i,
                     (int)refusal->before.bytes, bytes, before, at, all);
        assert_true(strlen(whole.reason) > 10);
    }
}

/* HTTP/1.1, kept alive, path "/", no query and host "a", unless a row says otherwise. */
static const struct acceptance {
    const char *bytes;
    enum http_method method;
    const char *path, *query, *host;
    uint64_t content_length;
    bool is_1_0, closes, expect_continue, chunked, has_length, content_encoded;
} acceptances[] = {
    {GET "\r\n", HTTP_GET},
    {"\r\n\r\n\r\n\r\n" GET "\r\n", HTTP_GET},
    {"HEAD / HTTP/1.1\r\nhost:a\r\n\r\n", HTTP_HEAD},
    {"PUT / HTTP/1.1\r\nHOST: \t a \t\r\n\r\n", HTTP_PUT},
    {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_DELETE},
    {"PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_PATCH},
    {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_TRACE},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_METHOD_OTHER},
    {"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_METHOD_OTHER},
    /* targets */
    {"GET /a/b?c=d?e&f HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "/a/b", "c=d?e&f"},
    {"GET /? HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "/", ""},
    {"GET //a/../%2e%00{|}\\^\" HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "//a/../%2e%00{|}\\^\""},
    {"GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "/c", "d", "b:80"},
    {"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "/", NULL, "b"},
    {"GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_GET, "/", "c", "b"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OPTIONS, "*"},
    {"OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OPTIONS, "*", NULL, "b"},
    {"OPTIONS http://b?c HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OPTIONS, "/", "c", "b"},
    {"OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OPTIONS, "/", NULL, "b"},
    /* hosts */
    {"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", HTTP_GET, .host = "[::1]:8080"},
    {"GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n\r\n", HTTP_GET, .host = "[::ffff:1.2.3.4]"},
    {"GET / HTTP/1.1\r\nHost: my_box-1.local:65535\r\n\r\n", HTTP_GET,
     .host = "my_box-1.local:65535"},
    {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", HTTP_GET, .host = "a:"},
    /* connections */
    {GET10 "\r\n", HTTP_GET, .host = "", .is_1_0 = true, .closes = true},
    {GET10 "Host: a\r\nConnection: Keep-Alive\r\n\r\n", HTTP_GET, .is_1_0 = true},
    {GET10 "Host: a\r\nConnection: keep-alive, close\r\n\r\n", HTTP_GET, .is_1_0 = true,
     .closes = true},
    {GET "Connection: close\r\n\r\n", HTTP_GET, .closes = true},
    {GET "Connection: TE\r\nConnection: x, CLOSE\r\n\r\n", HTTP_GET, .closes = true},
    {GET "Connection: close\r\nConnection: x\r\n\r\n", HTTP_GET, .closes = true},
    {GET "Connection: keep-alive, Upgrade\r\n\r\n", HTTP_GET},
    {GET "Connection: closed\r\n\r\n", HTTP_GET},
    /* bodies */
    {POST "Content-Length: 0\r\n\r\n", HTTP_POST, .has_length = true},
    {POST "CONTENT-LENGTH:\t137 \r\n\r\n", HTTP_POST, .has_length = true, .content_length = 137},
    {POST "Content-Length: 0009223372036854775807\r\n\r\n", HTTP_POST, .has_length = true,
     .content_length = INT64_MAX},
    {POST "Content_Length: 5\r\nX-Content-Length: 6\r\n\r\n", HTTP_POST},
    {POST10 "Host: a\r\nContent-Length: 5\r\n\r\n", HTTP_POST, .has_length = true,
     .content_length = 5, .is_1_0 = true, .closes = true},
    {POST "Transfer-Encoding: chunked\r\n\r\n", HTTP_POST, .chunked = true},
    {POST "transfer-encoding:\tChunKed \t\r\n\r\n", HTTP_POST, .chunked = true},
    {POST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n", HTTP_POST, .has_length = true,
     .content_length = 5, .expect_continue = true},
    {POST "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_POST, .chunked = true,
     .expect_continue = true},
    {GET "Expect: 100-continue\r\n\r\n", HTTP_GET},
    {POST10 "Host: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", HTTP_POST,
     .has_length = true, .content_length = 5, .is_1_0 = true, .closes = true},
    {POST "Content-Encoding: gzip\r\n\r\n", HTTP_POST, .content_encoded = true},
    {POST "Content-Encoding: identity\r\nContent-Encoding: br\r\n\r\n", HTTP_POST,
     .content_encoded = true},
    {POST "Content-Encoding: br\r\nContent-Encoding: gzip\r\n\r\n", HTTP_POST,
     .content_encoded = true},
    {POST "Content-Encoding: Identity\r\n\r\n", HTTP_POST},
};

static void assert_accepted(const struct acceptance *row, const struct http_head *head)
{
    assert_int_equal(head->method, row->method);
    assert_text(head->path, row->path ? row->path : "/");
    assert_text(head->host, row->host ? row->host : "a");
    assert_int_equal(head->query.data == NULL, row->query == NULL);
    if (row->query)
        assert_text(head->query, row->query);
    assert_int_equal(head->minor, row->is_1_0 ? 0 : 1);
    assert_int_equal(head->keep_alive, !row->closes);
    assert_int_equal(head->expect_continue, row->expect_continue);
    assert_int_equal(head->chunked, row->chunked);
    assert_int_equal(head->has_length, row->has_length);
    assert_int_equal(head->content_length, row->content_length);
    assert_int_equal(head->content_encoded, row->content_encoded);
}

static void right_heads_are_accepted_as_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(acceptances); i++) {
        const int rc = parse_text(acceptances[i].bytes);
        if (rc != (int)strlen(acceptances[i].bytes))
            fail_msg("row %zu, \"%s\": %d, %s", i, acceptances[i].bytes, rc, whole.reason);
        assert_accepted(&acceptances[i], &whole.head);
    }
}

static void bytes_behind_a_head_are_left_alone(void **state)
{
    static const char *const tails[] = {"\n", "\0", GET "\r\n", "{\"inputs\":[]}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(acceptances); i++) {
        const size_t head_bytes = strlen(acceptances[i].bytes);
        for (size_t k = 0; k < ARRAY_COUNT(tails); k++) {
            char bytes[512];
            const size_t tail_bytes = strlen(tails[k]) + 1;
            memcpy(bytes, acceptances[i].bytes, head_bytes);
            memcpy(bytes + head_bytes, tails[k], tail_bytes);
            const struct http_text text = {bytes, head_bytes + tail_bytes};
            assert_int_equal(parse_all_ways(text), head_bytes);
            assert_accepted(&acceptances[i], &whole.head);
        }
    }
}

static void the_request_of_curl_is_taken_apart(void **state)
{
    (void)state;
    assert_true(parse_text("POST /v4/runs/stream?x=1 HTTP/1.1\r\nHost: localhost:8080\r\n"
                           "User-Agent: curl/7.88.1\r\nAccept: */*\r\nX-Empty:\r\n"
                           "Authorization: Bearer token-1\r\nX-Name: J\xc3\xbcrgen\tM. \r\n\r\n") >
                0);
    const struct http_head *head = &whole.head;
    assert_text(head->method_text, "POST");
    assert_text(head->target, "/v4/runs/stream?x=1");
    assert_int_equal(head->header_count, 6);
    assert_text(head->headers[1].name, "User-Agent");
    assert_text(head->headers[1].value, "curl/7.88.1");
    assert_ptr_equal(http_head_find(head, "user-agent"), &head->headers[1]);
    assert_int_equal(http_head_find(head, "x-empty")->value.bytes, 0);
    assert_text(http_head_find(head, "x-name")->value, "J\xc3\xbcrgen\tM.");
    assert_null(http_head_find(head, "user-agen"));
    assert_null(http_head_find(head, "user-agents"));
}

static void a_head_that_was_refused_stays_refused_even_when_what_follows_is_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        static const char right[] = GET "\r\n";
        struct http_scan scan = {0};
        char bytes[1024];
        size_t count = refusals[i].before.bytes;
        memcpy(bytes, refusals[i].before.data, count);
        assert_int_equal(http_parse_head(&scan, bytes, count, &whole.head, &whole.reason), 0);
        bytes[count++] = refusals[i].wrong.data[0];
        const int rc = http_parse_head(&scan, bytes, count, &whole.head, &whole.reason);
        assert_int_equal(rc, -refusals[i].status);

        /* As if the byte had not been there, and as if everything had begun anew. */
        memcpy(bytes + count - 1, right, sizeof(right));
        count += sizeof(right);
        assert_true(http_parse_head(&scan, bytes, count, &whole.head, &whole.reason) < 0);
        memcpy(bytes + count, right, sizeof(right));
        count += sizeof(right);
        assert_true(http_parse_head(&scan, bytes, count, &whole.head, &whole.reason) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_heads_are_refused_with_their_status_at_their_first_wrong_byte),
        cmocka_unit_test(right_heads_are_accepted_as_what_they_say),
        cmocka_unit_test(bytes_behind_a_head_are_left_alone),
        cmocka_unit_test(the_request_of_curl_is_taken_apart),
        cmocka_unit_test(a_head_that_was_refused_stays_refused_even_when_what_follows_is_right),
    };
    return cmocka_run_group_tests(tests, ways_setup, ways_teardown);
}
