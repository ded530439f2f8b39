/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http_parse.c - a request head means the same however it arrives, and whatever it is.
 *
 * Input: four bytes that say where to cut, then what a client sent.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/http_parse.h"

#define CUT_BYTES 4u
#define EVERY_BYTE_COUNT_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct outcome {
    int rc;
    const char *reason;
    const char *bytes;
    size_t arrived;
    struct http_head head;
};

static struct outcome whole, pieces;

/* Feeds the first cuts[0], cuts[1], ... bytes, each time from memory of their own that ends where
 * they do. The last one stays, for the texts of the head. */
static char *parse_prefixes(struct outcome *out, const char *bytes, const size_t *cuts,
                            size_t count)
{
    struct http_scan scan = {0};
    char *memory = NULL;
    out->rc = 0;
    for (size_t i = 0; i < count && out->rc == 0; i++) {
        free(memory);
        memory = malloc(cuts[i]);
        mr_assert(memory || cuts[i] == 0);
        if (cuts[i])
            memcpy(memory, bytes, cuts[i]);
        out->bytes = memory;
        out->arrived = cuts[i];
        out->reason = NULL;
        out->rc = http_parse_head(&scan, memory, cuts[i], &out->head, &out->reason);
    }
    return memory;
}

static void check_same_text(struct http_text a, struct http_text b)
{
    mr_assert(a.bytes == b.bytes);
    mr_assert((a.data == NULL) == (b.data == NULL));
    mr_assert(a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static void check_same_head(const struct http_head *a, const struct http_head *b)
{
    mr_assert(a->method == b->method);
    mr_assert(a->minor == b->minor);
    mr_assert(a->keep_alive == b->keep_alive);
    mr_assert(a->expect_continue == b->expect_continue);
    mr_assert(a->chunked == b->chunked);
    mr_assert(a->has_length == b->has_length);
    mr_assert(a->content_encoded == b->content_encoded);
    mr_assert(a->content_length == b->content_length);
    check_same_text(a->method_text, b->method_text);
    check_same_text(a->target, b->target);
    check_same_text(a->path, b->path);
    check_same_text(a->query, b->query);
    check_same_text(a->host, b->host);
    mr_assert(a->header_count == b->header_count);
    for (uint32_t i = 0; i < a->header_count; i++) {
        check_same_text(a->headers[i].name, b->headers[i].name);
        check_same_text(a->headers[i].value, b->headers[i].value);
    }
}

static void check_refusal(const struct outcome *outcome)
{
    static const int statuses[] = {400, 414, 417, 431, 501, 505};
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++)
        is_known |= outcome->rc == -statuses[i];
    mr_assert(is_known);
    mr_assert(outcome->reason && strlen(outcome->reason) > 10);
}

/* Every text lies in the head and holds no byte that could end a line elsewhere. */
static void check_text(const struct outcome *outcome, struct http_text text)
{
    mr_assert(text.data >= outcome->bytes);
    mr_assert(text.data + text.bytes <= outcome->bytes + outcome->rc);
    for (size_t i = 0; i < text.bytes; i++)
        mr_assert((unsigned char)text.data[i] >= ' ' || text.data[i] == '\t');
}

static void check_head(const struct outcome *outcome)
{
    const struct http_head *head = &outcome->head;
    mr_assert((size_t)outcome->rc <= outcome->arrived);
    mr_assert((size_t)outcome->rc <= HTTP_HEAD_BYTES_MAX);
    mr_assert(memcmp(outcome->bytes + outcome->rc - 4, "\r\n\r\n", 4) == 0);
    mr_assert(head->method < HTTP_METHOD_COUNT);
    mr_assert(head->minor <= 1);
    mr_assert(!(head->chunked && head->has_length));
    mr_assert(!(head->chunked && head->minor == 0));
    mr_assert(head->has_length || head->content_length == 0);
    mr_assert(head->host.bytes > 0 || head->minor == 0);
    mr_assert(head->method_text.bytes > 0 && head->target.bytes > 0 && head->path.bytes > 0);
    mr_assert(head->path.data[0] == '/' || head->method == HTTP_OPTIONS);
    mr_assert(head->header_count <= HTTP_HEADER_COUNT_MAX);

    check_text(outcome, head->method_text);
    check_text(outcome, head->target);
    if (head->query.data)
        check_text(outcome, head->query);
    if (head->host.data)
        check_text(outcome, head->host);
    for (uint32_t i = 0; i < head->header_count; i++) {
        mr_assert(head->headers[i].name.bytes > 0);
        check_text(outcome, head->headers[i].name);
        check_text(outcome, head->headers[i].value);
    }
}

/* Written out plainly and read again, the head is the same. */
static void check_rewritten(const struct outcome *outcome)
{
    static char text[2 * HTTP_HEAD_BYTES_MAX];
    static struct http_head again;
    const struct http_head *head = &outcome->head;
    struct http_scan scan = {0};
    const char *reason;

    int at =
        snprintf(text, sizeof(text), "%.*s %.*s HTTP/1.%u\r\n", (int)head->method_text.bytes,
                 head->method_text.data, (int)head->target.bytes, head->target.data, head->minor);
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct http_header *header = &head->headers[i];
        at +=
            snprintf(text + at, sizeof(text) - (size_t)at, "%.*s:%.*s\r\n", (int)header->name.bytes,
                     header->name.data, (int)header->value.bytes, header->value.data);
    }
    at += snprintf(text + at, sizeof(text) - (size_t)at, "\r\n");
    mr_assert(at <= outcome->rc);
    mr_assert(http_parse_head(&scan, text, (size_t)at, &again, &reason) == at);
    check_same_head(head, &again);
}

/* In any field of this name. */
static bool is_listed(const struct http_head *head, const char *name, const char *token)
{
    const struct http_header *at = NULL;
    while ((at = http_header_find(head->headers, head->header_count, at, name)))
        if (http_list_has(at->value, token))
            return true;
    return false;
}

/* What callers ask of any head must be safe for every head. */
static void check_questions(const struct outcome *outcome)
{
    const struct http_head *head = &outcome->head;
    struct http_text found;
    static char decoded[HTTP_TARGET_BYTES_MAX];

    if (http_head_bearer(head, &found)) {
        mr_assert(found.bytes > 0);
        check_text(outcome, found);
    }
    mr_assert(http_percent_decode(head->path, decoded) <= (int64_t)head->path.bytes);
    if (http_head_accepts(head, "text/event-stream"))
        mr_assert(http_head_find(head, "accept"));
    mr_assert(head->minor == 0 || head->keep_alive == !is_listed(head, "connection", "close"));
}

static void check_prefixes(const char *bytes, const size_t *cuts, size_t count)
{
    char *memory = parse_prefixes(&pieces, bytes, cuts, count);
    mr_assert(pieces.rc == whole.rc);
    mr_assert(pieces.reason == whole.reason);
    if (whole.rc > 0)
        check_same_head(&whole.head, &pieces.head);
    free(memory);
}

static void parse_whole(const char *bytes, size_t count)
{
    struct http_scan scan = {0};
    whole.bytes = bytes;
    whole.arrived = count;
    whole.reason = NULL;
    whole.rc = http_parse_head(&scan, bytes, count, &whole.head, &whole.reason);
    if (whole.rc < 0)
        check_refusal(&whole);
    if (whole.rc > 0) {
        check_head(&whole);
        check_rewritten(&whole);
        check_questions(&whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < CUT_BYTES)
        return 0;
    const char *text = (const char *)data + CUT_BYTES;
    const size_t count = bytes - CUT_BYTES;
    const size_t a = (data[0] | data[1] * 256u) % (count + 1);
    const size_t b = (data[2] | data[3] * 256u) % (count + 1);

    /* What the parser leaves unset would differ. */
    memset(&whole, 0, sizeof(whole));
    memset(&pieces, 1, sizeof(pieces));
    parse_whole(text, count);
    check_prefixes(text, (const size_t[]){a < b ? a : b, a < b ? b : a, count}, 3);
    /* Byte by byte costs the square of the length. */
    if (count <= EVERY_BYTE_COUNT_MAX) {
        size_t every[EVERY_BYTE_COUNT_MAX + 1];
        for (size_t i = 0; i <= count; i++)
            every[i] = i;
        check_prefixes(text, every, count + 1);
    }
    return 0;
}
