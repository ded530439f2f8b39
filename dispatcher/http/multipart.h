/* SPDX-License-Identifier: MIT */
/*
 * multipart.h - a multipart/form-data body (RFC 7578) taken apart as its bytes arrive.
 *
 *     --B CRLF Content-Disposition: form-data; name="a" CRLF CRLF data CRLF --B-- CRLF
 *
 * Nothing is allocated, and of data nothing is kept: it comes back as spans of the bytes that were
 * fed, or of the delimiter, where what looked like one was none. What comes before the first
 * boundary or behind the last one is refused: no client of forms sends any. Feed until the result
 * is MULTIPART_MORE or MULTIPART_COMPLETE.
 */
#ifndef DISPATCHER_MULTIPART_H
#define DISPATCHER_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_syntax.h"
#include "millrace/check.h"

#define MULTIPART_BOUNDARY_BYTES_MAX 70u
#define MULTIPART_HEAD_BYTES_MAX 4096u /* of one part */
#define MULTIPART_PART_COUNT_MAX 64u

enum multipart_result {
    MULTIPART_MORE = 0, /* all was consumed, and the body goes on */
    MULTIPART_PART,     /* a part begins, of which multipart_disposition() says what it is */
    MULTIPART_DATA,     /* a span of it */
    MULTIPART_PART_END,
    MULTIPART_COMPLETE, /* all was consumed, and the body may end here */
    MULTIPART_RESULT_COUNT
};

/* One body; owned by whom it is for. */
struct multipart {
    char delimiter[MULTIPART_BOUNDARY_BYTES_MAX + 4]; /* CR LF "--" and the boundary */
    uint8_t delimiter_bytes;
    uint8_t matched; /* bytes of the delimiter that were seen */
    uint8_t state;   /* enum multipart_state */
    uint8_t part_count;
    uint16_t head_bytes;
    uint16_t line_start; /* in head */
    char head[MULTIPART_HEAD_BYTES_MAX];
};

/* Begins a body whose Content-Type this is. 0; -415: it is no multipart/form-data; -400: with no
 * boundary, or one that cannot be; with `reason` one sentence. */
int multipart_init(struct multipart *body, struct http_text content_type,
                   const char **reason) MUST_USE;

/* Takes the next step in `count` bytes. An enum multipart_result, or -400 with `reason` one
 * sentence, and so again from then on. */
int multipart_feed(struct multipart *body, const char *bytes, size_t count, size_t *consumed,
                   struct http_text *data, const char **reason) MUST_USE;

/* The Content-Disposition of the part that began last: lies in `body` until its next
 * head; empty: it has none. */
struct http_text multipart_disposition(const struct multipart *body);

/* Whether the last boundary was seen. */
bool multipart_is_complete(const struct multipart *body);

#endif
