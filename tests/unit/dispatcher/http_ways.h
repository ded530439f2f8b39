/* SPDX-License-Identifier: MIT */
/*
 * http_ways.h - parses a request head in every way it can arrive and demands the same result.
 *
 * Whole, byte by byte and in all two-way splits, from memory that ends at an inaccessible page and
 * moves between the pieces.
 */
#ifndef TESTS_UNIT_DISPATCHER_HTTP_WAYS_H
#define TESTS_UNIT_DISPATCHER_HTTP_WAYS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/http/http_parse.h"
#include "tests/unit/dispatcher/edge.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define GET10 "GET / HTTP/1.0\r\n"
#define POST10 "POST / HTTP/1.0\r\n"

struct outcome {
    int rc;
    const char *reason;
    struct http_head head;
};

static struct edge whole_bytes, piece_bytes;
static struct outcome whole, pieces;

/* A copy that ends at the edge, good until the next one in the same memory. */
static inline const char *ways_copy(struct edge *memory, const char *bytes, size_t count)
{
    char *copy = (char *)memory->bytes + memory->count - count;
    if (count)
        memcpy(copy, bytes, count);
    return copy;
}

static inline void parse_in_pieces(struct outcome *out, struct edge *memory, struct http_text bytes,
                                   size_t first, size_t step)
{
    struct http_scan scan = {0};
    out->rc = 0;
    out->reason = NULL;
    for (size_t count = first; out->rc == 0; count += step) {
        const size_t arrived = count < bytes.bytes ? count : bytes.bytes;
        const char *copy = ways_copy(memory, bytes.data, arrived);
        out->rc = http_parse_head(&scan, copy, arrived, &out->head, &out->reason);
        if (arrived == bytes.bytes)
            break;
    }
}

static inline void assert_same_text(struct http_text a, struct http_text b)
{
    assert_int_equal(a.bytes, b.bytes);
    assert_int_equal(a.data == NULL, b.data == NULL);
    if (a.bytes)
        assert_memory_equal(a.data, b.data, a.bytes);
}

static inline void assert_same_outcome(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->rc, b->rc);
    if (a->rc < 0)
        assert_ptr_equal(a->reason, b->reason);
    if (a->rc <= 0)
        return;
    assert_int_equal(a->head.method, b->head.method);
    assert_int_equal(a->head.minor, b->head.minor);
    assert_int_equal(a->head.keep_alive, b->head.keep_alive);
    assert_int_equal(a->head.expect_continue, b->head.expect_continue);
    assert_int_equal(a->head.chunked, b->head.chunked);
    assert_int_equal(a->head.has_length, b->head.has_length);
    assert_int_equal(a->head.content_encoded, b->head.content_encoded);
    assert_int_equal(a->head.content_length, b->head.content_length);
    assert_same_text(a->head.method_text, b->head.method_text);
    assert_same_text(a->head.target, b->head.target);
    assert_same_text(a->head.path, b->head.path);
    assert_same_text(a->head.query, b->head.query);
    assert_same_text(a->head.host, b->head.host);
    assert_int_equal(a->head.header_count, b->head.header_count);
    for (uint32_t i = 0; i < a->head.header_count; i++) {
        assert_same_text(a->head.headers[i].name, b->head.headers[i].name);
        assert_same_text(a->head.headers[i].value, b->head.headers[i].value);
    }
}

/* Leaves the outcome in `whole`; its texts are good until the next call. */
static inline int parse_all_ways(struct http_text bytes)
{
    parse_in_pieces(&whole, &whole_bytes, bytes, bytes.bytes, 1);
    parse_in_pieces(&pieces, &piece_bytes, bytes, 0, 1);
    assert_same_outcome(&whole, &pieces);
    /* Every split of what people send; of the heads made to be large, some. */
    const size_t stride = bytes.bytes < 1024 ? 1 : 61;
    for (size_t cut = 0; cut <= bytes.bytes; cut += stride) {
        parse_in_pieces(&pieces, &piece_bytes, bytes, cut, bytes.bytes);
        assert_same_outcome(&whole, &pieces);
    }
    return whole.rc;
}

static inline int parse_text(const char *text)
{
    return parse_all_ways((struct http_text){text, strlen(text)});
}

static inline void assert_text(struct http_text text, const char *expected)
{
    assert_int_equal(text.bytes, strlen(expected));
    assert_memory_equal(text.data, expected, text.bytes);
}

static inline int ways_setup(void **state)
{
    (void)state;
    alarm(60);
    whole_bytes = edge_create(2 * HTTP_HEAD_BYTES_MAX);
    piece_bytes = edge_create(2 * HTTP_HEAD_BYTES_MAX);
    return 0;
}

static inline int ways_teardown(void **state)
{
    (void)state;
    edge_destroy(&whole_bytes);
    edge_destroy(&piece_bytes);
    return 0;
}

#endif
