/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http_body.c - a body is the same however it arrives, and never larger than allowed.
 *
 * Input: one byte, chunked when odd; one for the limit, 16 bytes each; one for the length; two that
 * say where to cut; then what a client sent.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/http_body.h"

#define CHOICE_BYTES 5u
#define INPUT_BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct decoded {
    int rc;
    const char *reason;
    size_t consumed;
    size_t count;
    char bytes[INPUT_BYTES_MAX];
};

static struct decoded whole, pieces, plain;
static struct http_head head;

/* One piece, in memory that ends where it does. */
static void feed_piece(struct http_body *body, struct decoded *out, const char *bytes, size_t count)
{
    char *copy = malloc(count);
    mr_assert(copy || count == 0);
    if (count)
        memcpy(copy, bytes, count);
    size_t fed = 0;
    do {
        size_t consumed = 0;
        struct http_text data = {NULL, 0};
        out->rc = http_body_feed(body, copy + fed, count - fed, &consumed, &data, &out->reason);
        if (out->rc < 0)
            break;
        mr_assert(consumed <= count - fed);
        mr_assert((out->rc == HTTP_BODY_DATA) == (data.bytes > 0));
        mr_assert(data.bytes <= consumed);
        if (data.bytes) {
            mr_assert(data.data == copy + fed + consumed - data.bytes);
            memcpy(out->bytes + out->count, data.data, data.bytes);
        }
        out->count += data.bytes;
        out->consumed += consumed;
        fed += consumed;
    } while (out->rc == HTTP_BODY_DATA);
    mr_assert(out->rc != HTTP_BODY_MORE || fed == count);
    free(copy);
}

static void decode_in_pieces(struct decoded *out, uint64_t limit, const char *bytes, size_t count,
                             size_t first, size_t step)
{
    struct http_body body;
    size_t fed = 0;
    out->count = 0;
    out->consumed = 0;
    out->reason = NULL;
    out->rc = http_body_init(&body, &head, limit, &out->reason);
    for (size_t next = first; out->rc == HTTP_BODY_MORE; next = step) {
        const size_t piece = next < count - fed ? next : count - fed;
        feed_piece(&body, out, bytes + fed, piece);
        fed += piece;
        if (fed == count)
            break;
    }
}

static void check_same(const struct decoded *a, const struct decoded *b)
{
    mr_assert(a->rc == b->rc);
    mr_assert(a->reason == b->reason);
    mr_assert(a->count == b->count);
    mr_assert(memcmp(a->bytes, b->bytes, a->count) == 0);
    mr_assert(a->rc < 0 || a->consumed == b->consumed);
}

/* The most trusting reader there is agrees on what a complete chunked body holds and where it ends:
 * sizes by strtoull, lines by the next CR LF. */
static void check_plain_reading(const char *bytes)
{
    const char *at = bytes;
    const char *end = bytes + whole.consumed;
    plain.count = 0;
    for (;;) {
        const char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        mr_assert(line_end);
        const size_t size = (size_t)strtoull(at, NULL, 16);
        at = line_end + 2;
        if (size == 0)
            break;
        mr_assert(size <= (size_t)(end - at));
        memcpy(plain.bytes + plain.count, at, size);
        plain.count += size;
        at += size + 2;
    }
    while (memcmp(at, "\r\n", 2) != 0) {
        at = memmem(at, (size_t)(end - at), "\r\n", 2);
        mr_assert(at);
        at += 2;
    }
    mr_assert(at + 2 == end);
    mr_assert(plain.count == whole.count);
    mr_assert(memcmp(plain.bytes, whole.bytes, whole.count) == 0);
}

/* Whatever is put into chunks comes out of them. */
static void check_round_trip(const char *text, size_t count, size_t cut)
{
    static char chunks[6 * INPUT_BYTES_MAX];
    size_t bytes = 0;
    for (size_t at = 0; at < count;) {
        const size_t wanted = 1 + (unsigned char)text[at] % 40u;
        const size_t size = wanted < count - at ? wanted : count - at;
        bytes += (size_t)snprintf(chunks + bytes, sizeof(chunks) - bytes,
                                  size % 2 ? "%zx\r\n" : "%02zX;a\r\n", size);
        memcpy(chunks + bytes, text + at, size);
        memcpy(chunks + bytes + size, "\r\n", 2);
        bytes += size + 2;
        at += size;
    }
    memcpy(chunks + bytes, "0\r\nA: b\r\n\r\n", 11);
    bytes += 11;

    decode_in_pieces(&pieces, 3 * INPUT_BYTES_MAX, chunks, bytes, cut % bytes, bytes);
    mr_assert(pieces.rc == HTTP_BODY_COMPLETE);
    mr_assert(pieces.consumed == bytes);
    mr_assert(pieces.count == count);
    mr_assert(count == 0 || memcmp(pieces.bytes, text, count) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < CHOICE_BYTES || bytes > INPUT_BYTES_MAX)
        return 0;
    const uint64_t limit = data[1] * 16u;
    const char *text = (const char *)data + CHOICE_BYTES;
    const size_t count = bytes - CHOICE_BYTES;
    const size_t cut = (data[3] | data[4] * 256u) % (count + 1);
    head.chunked = data[0] & 1;
    head.has_length = !head.chunked;
    head.content_length = head.chunked ? 0 : data[2];

    decode_in_pieces(&whole, limit, text, count, count, 1);
    mr_assert(whole.count <= limit);
    mr_assert(whole.rc < 0 || whole.consumed <= count);
    if (whole.rc < 0) {
        mr_assert(whole.rc == -400 || whole.rc == -413 || whole.rc == -431);
        mr_assert(whole.reason && strlen(whole.reason) > 10);
    }
    if (whole.rc == HTTP_BODY_COMPLETE && head.chunked)
        check_plain_reading(text);
    if (whole.rc == HTTP_BODY_COMPLETE && head.has_length)
        mr_assert(whole.count == head.content_length && whole.consumed == whole.count);

    decode_in_pieces(&pieces, limit, text, count, cut, count);
    check_same(&whole, &pieces);
    decode_in_pieces(&pieces, limit, text, count, 0, 1);
    check_same(&whole, &pieces);

    if (head.chunked)
        check_round_trip(text, count, cut);
    return 0;
}
