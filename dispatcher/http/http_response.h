/* SPDX-License-Identifier: MIT */
/*
 * http_response.h - a response's head as a client reads it; for load tools and tests.
 *
 * The counterpart of http_parse.h: the same scan, the same strictness, nothing allocated.
 */
#ifndef DISPATCHER_HTTP_RESPONSE_H
#define DISPATCHER_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_syntax.h"
#include "millrace/check.h"
#include "millrace/limits.h"

/* Every text lies in the bytes that were parsed. */
struct http_response {
    unsigned status; /* 100 .. 999 */
    unsigned minor;  /* HTTP/1.0 or HTTP/1.1 */
    bool keep_alive;
    bool chunked; /* never together with has_length; neither: the body ends with the connection */
    bool has_length;
    uint64_t content_length;

    uint32_t header_count;
    struct http_header headers[HTTP_HEADER_COUNT_MAX];
};

/* Parses the head that begins at `bytes`, like http_parse_head(), with a scan that
 * http_scan_init_response() began. Returns the bytes of the head (> 0), 0 when more are needed, or
 * a negative number with `reason` one sentence. `out` is meaningful only after a result above 0. */
int http_parse_response_head(struct http_scan *scan, const char *bytes, size_t count,
                             struct http_response *out, const char **reason) MUST_USE;

#endif
