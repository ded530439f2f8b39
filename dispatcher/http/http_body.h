/* SPDX-License-Identifier: MIT */
/*
 * http_body.h - a request's body taken out of its framing, chunked or by length, as bytes arrive.
 *
 * Nothing is copied or kept: data comes back as spans of the bytes that were fed. Feed until the
 * result is not HTTP_BODY_DATA:
 *
 *     do {
 *         rc = http_body_feed(&body, bytes, count, &consumed, &data, &reason);
 *         ... take data; step over `consumed` bytes ...
 *     } while (rc == HTTP_BODY_DATA);
 */
#ifndef DISPATCHER_HTTP_BODY_H
#define DISPATCHER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_parse.h"
#include "dispatcher/http/http_syntax.h"
#include "millrace/check.h"

enum http_body_result {
    HTTP_BODY_MORE = 0, /* everything fed was consumed and the body goes on */
    HTTP_BODY_DATA,     /* one span of the body; feed what is left */
    HTTP_BODY_COMPLETE, /* the body ended; bytes behind it were not consumed */
    HTTP_BODY_RESULT_COUNT
};

/* Owned by the connection, one body at a time. */
struct http_body {
    uint64_t left; /* of the current chunk, or of the length */
    uint64_t room; /* what the limit still allows */
    struct http_scan trailers;
    uint16_t extension_bytes; /* of the current chunk */
    uint8_t size_digits;      /* of the current chunk */
    uint8_t state;            /* enum http_body_state */
};

/* Begins the body that `head` announces, of at most `limit` bytes: of data and of chunk extensions.
 * 0, or -413 when the announced length is already beyond it. */
int http_body_init(struct http_body *body, const struct http_head *head, uint64_t limit,
                   const char **reason) MUST_USE;

/* Takes the next span out of `count` bytes (0 is fine). Returns an enum http_body_result, or a
 * negative status (400, 413, 431) with `reason` one sentence, and so again from then on: the
 * framing is lost. *consumed and *data are set when the result is not negative; data is empty
 * unless it is HTTP_BODY_DATA. A complete body stays complete and consumes nothing. */
int http_body_feed(struct http_body *body, const char *bytes, size_t count, size_t *consumed,
                   struct http_text *data, const char **reason) MUST_USE;

/* Whether that has said so. */
bool http_body_is_complete(const struct http_body *body);

#endif
