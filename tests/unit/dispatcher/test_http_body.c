/* SPDX-License-Identifier: MIT */
/*
 * test_http_body.c - bodies come out of their framing as they were put in, however they arrive.
 *
 * Every body here is fed whole, byte by byte and in all two-way splits, each piece ending at an
 * inaccessible page; data, result and the number of bytes consumed must be the same.
 */
#include "dispatcher/http/http_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/edge.h"

#define T(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define LIMIT 64u
#define OUT_BYTES_MAX 65536u

struct decoded {
    int rc;
    const char *reason;
    size_t consumed;
    size_t count;
    char bytes[OUT_BYTES_MAX];
};

static struct edge piece;
static struct decoded whole, pieces;
static const struct http_head chunked_head = {.chunked = true};

/* Feeds one piece until it is used up or the body is over. */
static void feed_piece(struct http_body *body, struct decoded *out, const char *bytes, size_t count)
{
    const char *at = (char *)piece.bytes + piece.count - count;
    size_t fed = 0;
    memcpy((char *)piece.bytes + piece.count - count, bytes, count);
    do {
        size_t consumed = SIZE_MAX;
        struct http_text data = {NULL, SIZE_MAX};
        out->rc = http_body_feed(body, at + fed, count - fed, &consumed, &data, &out->reason);
        if (out->rc < 0)
            return;
        assert_in_range(consumed, 0, count - fed);
        assert_int_equal(out->rc == HTTP_BODY_DATA, data.bytes > 0);
        if (data.bytes) {
            assert_true(data.data >= at + fed);
            assert_true(data.data + data.bytes <= at + fed + consumed);
            assert_in_range(out->count + data.bytes, 0, OUT_BYTES_MAX);
            memcpy(out->bytes + out->count, data.data, data.bytes);
        }
        out->count += data.bytes;
        fed += consumed;
        out->consumed += consumed;
    } while (out->rc == HTTP_BODY_DATA);
    if (out->rc == HTTP_BODY_MORE)
        assert_int_equal(fed, count);
}

static void decode_in_pieces(struct decoded *out, const struct http_head *head, uint64_t limit,
                             struct http_text bytes, size_t first, size_t step)
{
    struct http_body body;
    out->count = 0;
    out->consumed = 0;
    out->reason = NULL;
    out->rc = http_body_init(&body, head, limit, &out->reason);
    assert_int_equal(out->rc, 0);
    size_t fed = 0;
    for (size_t next = first; out->rc == HTTP_BODY_MORE; next = step) {
        const size_t count = next < bytes.bytes - fed ? next : bytes.bytes - fed;
        feed_piece(&body, out, bytes.data + fed, count);
        fed += count;
        if (fed == bytes.bytes)
            break;
    }
    /* What ended stays ended, what was refused stays refused. */
    if (out->rc != HTTP_BODY_MORE) {
        struct http_text data;
        size_t consumed;
        const char *reason;
        const int rc = http_body_feed(&body, "1\r\n", 3, &consumed, &data, &reason);
        assert_int_equal(rc < 0, out->rc < 0);
        if (rc >= 0) {
            assert_int_equal(rc, HTTP_BODY_COMPLETE);
            assert_int_equal(consumed, 0);
        }
    }
}

static void assert_same_decoded(const struct decoded *a, const struct decoded *b)
{
    assert_int_equal(a->rc, b->rc);
    if (a->rc < 0) {
        assert_string_equal(a->reason, b->reason);
        return;
    }
    assert_int_equal(a->consumed, b->consumed);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->bytes, b->bytes, a->count);
}

static int decode_all_ways(const struct http_head *head, uint64_t limit, struct http_text bytes)
{
    decode_in_pieces(&whole, head, limit, bytes, bytes.bytes, bytes.bytes);
    decode_in_pieces(&pieces, head, limit, bytes, 0, 1);
    assert_same_decoded(&whole, &pieces);
    const size_t stride = bytes.bytes < 1024 ? 1 : 61;
    for (size_t cut = 0; cut <= bytes.bytes; cut += stride) {
        decode_in_pieces(&pieces, head, limit, bytes, cut, bytes.bytes);
        assert_same_decoded(&whole, &pieces);
    }
    return whole.rc;
}

static void assert_body(const struct http_head *head, const char *bytes, const char *expected,
                        const char *behind)
{
    const struct http_text text = {bytes, strlen(bytes)};
    const int rc = decode_all_ways(head, LIMIT, text);
    if (rc != HTTP_BODY_COMPLETE)
        fail_msg("\"%s\": %d, %s", bytes, rc, rc < 0 ? whole.reason : "more is needed");
    assert_int_equal(whole.count, strlen(expected));
    assert_memory_equal(whole.bytes, expected, whole.count);
    assert_string_equal(bytes + whole.consumed, behind);
}

static void a_body_without_length_is_empty_and_complete_at_once(void **state)
{
    const struct http_head none = {0}, zero = {.has_length = true};
    (void)state;
    assert_body(&none, "", "", "");
    assert_body(&none, "GET / HTTP/1.1\r\n", "", "GET / HTTP/1.1\r\n");
    assert_body(&zero, "GET / HTTP/1.1\r\n", "", "GET / HTTP/1.1\r\n");
}

static void a_body_with_length_ends_there(void **state)
{
    const struct http_head five = {.has_length = true, .content_length = 5};
    (void)state;
    assert_body(&five, "hello", "hello", "");
    assert_body(&five, "helloGET / HTTP/1.1\r\n", "hello", "GET / HTTP/1.1\r\n");
    assert_int_equal(decode_all_ways(&five, LIMIT, (struct http_text)T("hell")), HTTP_BODY_MORE);
}

static void a_length_beyond_the_limit_is_a_413_before_any_byte(void **state)
{
    struct http_body body;
    const char *reason = NULL;
    struct http_head head = {.has_length = true, .content_length = LIMIT};
    (void)state;
    assert_int_equal(http_body_init(&body, &head, LIMIT, &reason), 0);
    head.content_length = LIMIT + 1;
    assert_int_equal(http_body_init(&body, &head, LIMIT, &reason), -413);
    assert_non_null(reason);
    head.content_length = INT64_MAX;
    assert_int_equal(http_body_init(&body, &head, LIMIT, &reason), -413);
}

static void chunked_bodies_are_put_together(void **state)
{
    static const struct {
        const char *bytes, *expected, *behind;
    } rows[] = {
        {"0\r\n\r\n", "", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
        {"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello", "GET / HTTP/1.1\r\n"},
        {"0\r\n\r\n\r\n", "", "\r\n"},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", ""},
        {"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n", ""},
        {"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", ""},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""},
        {"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", ""},
        {"5;\r\nhello\r\n0;\r\n\r\n", "hello", ""},
        {"5;a=b;c=\"d e\"\t\r\nhello\r\n0;x\r\n\r\n", "hello", ""},
        {"5\r\nhello\r\n0\r\nDigest: x\r\nX: \xc3\xa9\r\n\r\nmore", "hello", "more"},
        {"0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\nhello", "", "hello"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_body(&chunked_head, rows[i].bytes, rows[i].expected, rows[i].behind);
}

/* `wrong` begins with the byte at which the refusal must come, neither earlier nor later. */
static const struct refusal {
    int status;
    struct http_text before;
    struct http_text wrong;
} refusals[] = {
    /* the size */
    {400, T(""), T("\r\n")},
    {400, T(""), T("\n")},
    {400, T(""), T(" 5\r\nhello\r\n")},
    {400, T(""), T("+5\r\nhello\r\n")},
    {400, T(""), T("-1\r\nhello\r\n")},
    {400, T(""), T(";a\r\nhello\r\n")},
    {400, T(""), T("g\r\n")},
    {400, T(""), T("\0")},
    {400, T("0"), T("x5\r\nhello\r\n")},
    {400, T("5"), T(" \r\nhello\r\n")},
    {400, T("5"), T("\t\r\nhello\r\n")},
    {400, T("5"), T(" ;a\r\nhello\r\n")},
    {400, T("5"), T(",5\r\nhello\r\n")},
    {400, T("5"), T("_5\r\nhello\r\n")},
    {400, T("5"), T("h\r\nhello\r\n")},
    {400, T("5"), T("\nhello\r\n0\r\n\r\n")},
    {400, T("5\r"), T("hello\r\n0\r\n\r\n")},
    {400, T("5\r"), T("\rhello\r\n0\r\n\r\n")},
    {400, T("5"), T("\xb5\r\n")},
    {400, T("0000000000000000"), T("0\r\n\r\n")},
    {400, T("0000000000000000"), T("5\r\nhello\r\n")},
    {413, T("4"), T("1\r\n")},
    {413, T("F"), T("FFFFFFFFFFFFFFF\r\n")},
    {413, T("00000000000005"), T("1\r\n")},
    {413, T("3f\r\n012345678901234567890123456789012345678901234567890123456789012\r\n"),
     T("2\r\nab\r\n")},
    /* the extension */
    {400, T("5;a"), T("\nhello\r\n")},
    {400, T("5;a\r"), T("\rhello\r\n")},
    {400, T("5;a\r"), T("b\r\nhello\r\n")},
    {400, T("5;a=\""), T("\n\"\r\nhello\r\n")},
    {400, T("5;a"), T("\0\r\nhello\r\n")},
    {400, T("5;a"), T("\x7f\r\nhello\r\n")},
    {400, T("5;a"), T("\xa0\r\nhello\r\n")},
    /* the data */
    {400, T("5\r\nhello"), T("0\r\n\r\n")},
    {400, T("5\r\nhello"), T("\n0\r\n\r\n")},
    {400, T("5\r\nhello"), T("!\r\n0\r\n\r\n")},
    {400, T("5\r\nhello\r"), T("0\r\n\r\n")},
    {400, T("5\r\nhello\r\n"), T("\r\n0\r\n\r\n")},
    /* the trailers */
    {400, T("0\r\n"), T("\n")},
    {400, T("0\r\n\r"), T("X")},
    {400, T("0\r\n"), T(" X: a\r\n\r\n")},
    {400, T("0\r\nX"), T(" : a\r\n\r\n")},
    {400, T("0\r\nX: a"), T("\n\r\n")},
    {400, T("0\r\nX: a\r\n"), T("\tb\r\n\r\n")},
    {400, T("0\r\nX: a"), T("\0\r\n\r\n")},
    {400, T("0\r\nGET"), T(" / HTTP/1.1\r\n\r\n")},
};

static void wrong_framing_is_refused_at_its_first_wrong_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct refusal *refusal = &refusals[i];
        char bytes[256];
        assert_true(refusal->before.bytes + refusal->wrong.bytes <= sizeof(bytes));
        memcpy(bytes, refusal->before.data, refusal->before.bytes);
        memcpy(bytes + refusal->before.bytes, refusal->wrong.data, refusal->wrong.bytes);

        struct http_text text = {bytes, refusal->before.bytes};
        const int before = decode_all_ways(&chunked_head, LIMIT, text);
        text.bytes++;
        const int at = decode_all_ways(&chunked_head, LIMIT, text);
        text.bytes = refusal->before.bytes + refusal->wrong.bytes;
        const int all = decode_all_ways(&chunked_head, LIMIT, text);
        if (before != HTTP_BODY_MORE || at != -refusal->status || all != at)
            fail_msg("row %zu, \"%.*s\": %d before, %d at the byte, %d at the end", i,
                     (int)refusal->before.bytes, bytes, before, at, all);
        assert_true(strlen(whole.reason) > 10);
    }
}

static void the_limit_is_met_exactly_over_all_chunks(void **state)
{
    (void)state;
    static const char fits[] = "20\r\n01234567890123456789012345678901\r\n"
                               "20\r\n01234567890123456789012345678901\r\n0\r\n\r\n";
    assert_int_equal(decode_all_ways(&chunked_head, 64, (struct http_text)T(fits)),
                     HTTP_BODY_COMPLETE);
    assert_int_equal(decode_all_ways(&chunked_head, 63, (struct http_text)T(fits)), -413);
    assert_int_equal(decode_all_ways(&chunked_head, 0, (struct http_text)T("0\r\n\r\n")),
                     HTTP_BODY_COMPLETE);
    assert_int_equal(decode_all_ways(&chunked_head, 0, (struct http_text)T("1\r\n")), -413);
}

static char large[OUT_BYTES_MAX];

static void an_extension_of_256_bytes_is_accepted_and_one_more_is_a_400(void **state)
{
    (void)state;
    for (size_t extension = HTTP_CHUNK_EXTENSION_BYTES_MAX;
         extension <= HTTP_CHUNK_EXTENSION_BYTES_MAX + 1; extension++) {
        size_t at = 0;
        for (int chunk = 0; chunk < 3; chunk++) {
            large[at++] = '1';
            large[at++] = ';';
            memset(large + at, 'x', extension);
            at += extension;
            at += (size_t)snprintf(large + at, sizeof(large) - at, "\r\na\r\n");
        }
        at += (size_t)snprintf(large + at, sizeof(large) - at, "0\r\n\r\n");
        const int rc = decode_all_ways(&chunked_head, 4096, (struct http_text){large, at});
        assert_int_equal(rc,
                         extension == HTTP_CHUNK_EXTENSION_BYTES_MAX ? HTTP_BODY_COMPLETE : -400);
    }
}

static void extensions_count_towards_the_limit(void **state)
{
    static const char two[] = "1;abc\r\nx\r\n1;abc\r\nx\r\n0\r\n\r\n";
    (void)state;
    assert_int_equal(decode_all_ways(&chunked_head, 8, (struct http_text)T(two)),
                     HTTP_BODY_COMPLETE);
    assert_int_equal(decode_all_ways(&chunked_head, 7, (struct http_text)T(two)), -413);
}

static void trailers_of_4_kib_are_accepted_and_one_byte_more_is_a_431(void **state)
{
    (void)state;
    for (size_t trailer = HTTP_TRAILER_BYTES_MAX; trailer <= HTTP_TRAILER_BYTES_MAX + 1;
         trailer++) {
        memcpy(large, "0\r\nX:", 5);
        memset(large + 5, 'x', trailer - 6);
        memcpy(large + 3 + trailer - 4, "\r\n\r\n", 4);
        const struct http_text bytes = {large, 3 + trailer};
        const int rc = decode_all_ways(&chunked_head, LIMIT, bytes);
        assert_int_equal(rc, trailer == HTTP_TRAILER_BYTES_MAX ? HTTP_BODY_COMPLETE : -431);
    }
}

static void a_large_chunk_comes_as_the_spans_it_arrived_in(void **state)
{
    (void)state;
    struct http_body body;
    struct http_text data;
    size_t consumed;
    const char *reason;
    assert_int_equal(http_body_init(&body, &chunked_head, 16u << 20, &reason), 0);
    assert_int_equal(http_body_feed(&body, "1000000\r\nab", 11, &consumed, &data, &reason),
                     HTTP_BODY_DATA);
    assert_int_equal(consumed, 11);
    assert_int_equal(data.bytes, 2);
    assert_int_equal(http_body_feed(&body, large, sizeof(large), &consumed, &data, &reason),
                     HTTP_BODY_DATA);
    assert_ptr_equal(data.data, large);
    assert_int_equal(data.bytes, sizeof(large));
    assert_int_equal(http_body_feed(&body, large, 0, &consumed, &data, &reason), HTTP_BODY_MORE);
}

static int setup(void **state)
{
    (void)state;
    alarm(60);
    piece = edge_create(OUT_BYTES_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    edge_destroy(&piece);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_without_length_is_empty_and_complete_at_once),
        cmocka_unit_test(a_body_with_length_ends_there),
        cmocka_unit_test(a_length_beyond_the_limit_is_a_413_before_any_byte),
        cmocka_unit_test(chunked_bodies_are_put_together),
        cmocka_unit_test(wrong_framing_is_refused_at_its_first_wrong_byte),
        cmocka_unit_test(the_limit_is_met_exactly_over_all_chunks),
        cmocka_unit_test(an_extension_of_256_bytes_is_accepted_and_one_more_is_a_400),
        cmocka_unit_test(extensions_count_towards_the_limit),
        cmocka_unit_test(trailers_of_4_kib_are_accepted_and_one_byte_more_is_a_431),
        cmocka_unit_test(a_large_chunk_comes_as_the_spans_it_arrived_in),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
