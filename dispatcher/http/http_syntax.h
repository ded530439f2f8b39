/* SPDX-License-Identifier: MIT */
/*
 * http_syntax.h - the bytes of an HTTP/1.1 head: a resumable scan that refuses the first wrong one.
 *
 * One table of states drives request heads, response heads and trailer sections. The scan looks at
 * each byte once, however the bytes arrive, and knows nothing of what a field means; http_parse and
 * http_response split a head once it is whole, http_body discards its trailers.
 */
#ifndef DISPATCHER_HTTP_SYNTAX_H
#define DISPATCHER_HTTP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

/* A span of the caller's bytes, not NUL-terminated. */
struct http_text {
    const char *data;
    size_t bytes;
};

/* One field line; the value has no white space around it. */
struct http_header {
    struct http_text name;
    struct http_text value;
};

/* How far a head was looked at. Zero is "a request head, from its first byte". Owned by what the
 * bytes arrive on, and good for one head: zero it again for the next. */
struct http_scan {
    uint32_t offset;      /* bytes looked at */
    uint32_t mark;        /* offset at which the method or the target began */
    uint16_t field_count; /* field lines begun */
    uint8_t state;        /* enum http_scan_state */
    uint8_t empty_lines;  /* before the first line */
};

/* How every refusal here is made: "return http_refuse(reason, -400, "...");". */
static inline int http_refuse(const char **reason, int status, const char *sentence)
{
    *reason = sentence;
    return status;
}

/* Looks at `count` bytes that follow those seen before. Returns how many of them belong to the head
 * (> 0) when it ends among them, 0 when all were looked at and it goes on, or a negative status
 * with `reason` one sentence, and so again from then on; after the end, too. */
int http_scan_feed(struct http_scan *scan, const char *bytes, size_t count,
                   const char **reason) MUST_USE;

/* Starts a scan of a response's head, or of the field lines alone that follow a chunked body. */
void http_scan_init_response(struct http_scan *scan);
void http_scan_init_trailers(struct http_scan *scan);

/* Takes the next field line off `rest`, the part of a scanned head after its first line, in which
 * there are `field_count` of them. */
void http_header_next(struct http_text *rest, struct http_header *out);

/* The next field of this name after `previous`, or the first after NULL; NULL when there is
 * none. */
const struct http_header *http_header_find(const struct http_header *headers, uint32_t count,
                                           const struct http_header *previous,
                                           const char *lower_case_name);

/* Is the text this, byte for byte? Is it this when ASCII letters are taken as lower case? */
bool http_text_equals(struct http_text text, const char *expected);
bool http_text_matches(struct http_text text, const char *lower_case);

/* The next element of a comma-separated list, trimmed, empty ones too; false after the last. */
bool http_list_next(struct http_text *rest, struct http_text *element);

/* Does a comma-separated list name this token, in any case? */
bool http_list_has(struct http_text list, const char *lower_case_token);

/* Reads all of `text` as decimal digits. False for anything else, and beyond INT64_MAX. */
bool http_text_number(struct http_text text, uint64_t *number);

/* What a hexadecimal digit stands for, or -1. */
int http_hex_value(char digit);

#endif
