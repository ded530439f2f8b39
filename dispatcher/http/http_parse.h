/* SPDX-License-Identifier: MIT */
/*
 * http_parse.h - a request's head becomes its meaning; whatever is ambiguous is refused.
 *
 * Pure functions over the caller's bytes: nothing is allocated, copied or kept. Statuses are those
 * of RFC 9110; what is accepted and what is not is a table in
 * tests/unit/dispatcher/test_http_parse.c, and why in docs/decisions/0006-own-http-parser.md.
 */
#ifndef DISPATCHER_HTTP_PARSE_H
#define DISPATCHER_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_syntax.h"
#include "millrace/check.h"
#include "millrace/limits.h"

enum http_method {
    HTTP_METHOD_OTHER = 0, /* well-formed, but none of these; names are case-sensitive */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_TRACE,
    HTTP_METHOD_COUNT
};

/* One parsed head. It is large, but needed only until the request is understood, so one serves the
 * whole loop. Every text lies in the bytes that were parsed, but for a `path` that an absolute
 * target left out: that one is constant. */
struct http_head {
    enum http_method method;
    unsigned minor; /* HTTP/1.0 or HTTP/1.1 */
    bool keep_alive;
    bool expect_continue; /* the client holds its body back until 100 or a final status */
    bool chunked;         /* never together with has_length */
    bool has_length;
    bool content_encoded; /* Content-Encoding names something other than identity */
    uint64_t content_length;

    struct http_text method_text;
    struct http_text target; /* as sent */
    struct http_text path;   /* begins with '/', or is "*" for OPTIONS; still percent-encoded */
    struct http_text query;  /* after '?', without it; bytes == NULL when there is none */
    struct http_text host;   /* of the target, else of the Host field; empty in HTTP/1.0 without */

    uint32_t header_count;
    struct http_header headers[HTTP_HEADER_COUNT_MAX];
};

/* Parses the head that begins at `bytes`, of which `count` bytes have arrived; when more have, it
 * is called again with the same scan and the same bytes (at any address) in front. Returns the
 * bytes of the head (> 0), 0 when more are needed, or a negative status with `reason` one sentence.
 * `out` is meaningful only after a result above 0. */
int http_parse_head(struct http_scan *scan, const char *bytes, size_t count, struct http_head *out,
                    const char **reason) MUST_USE;

/* The first field of this name, or NULL. */
const struct http_header *http_head_find(const struct http_head *head, const char *lower_case_name);

/* Does an Accept field name this media type itself, whatever its parameters? Wildcards and q are
 * not considered: this is for clients that ask for a format, not for negotiation. */
bool http_head_accepts(const struct http_head *head, const char *lower_case_type);

/* The credentials of "Authorization: Bearer ...". False when there are none, when they are not
 * visible ASCII without spaces, or when the field is repeated. */
bool http_head_bearer(const struct http_head *head, struct http_text *token);

/* The value of the first "name=value" of a query, as it was sent. */
bool http_query_find(struct http_text query, const char *name, struct http_text *value);

/* Writes `text` with its percent escapes resolved to `out`, which has room for text.count bytes.
 * Returns the bytes written, or -EINVAL for a malformed escape or one of a control byte. */
int64_t http_percent_decode(struct http_text text, char *out) MUST_USE;

#endif
