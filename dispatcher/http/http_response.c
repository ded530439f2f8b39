/* SPDX-License-Identifier: MIT */
/*
 * http_response.c - a response's head as a client reads it; for load tools and tests.
 */
#include "dispatcher/http/http_response.h"

#include <string.h>

static void http_response_split_head(const struct http_scan *scan, struct http_text text,
                                     struct http_response *out);
static int http_response_judge_fields(struct http_response *out, const char **reason);

int http_parse_response_head(struct http_scan *scan, const char *bytes, size_t count,
                             struct http_response *out, const char **reason)
{
    const uint32_t seen = scan->offset;
    mr_assert(count >= seen);

    int rc = http_scan_feed(scan, bytes + seen, count - seen, reason);
    if (rc <= 0)
        return rc;
    http_response_split_head(scan, (struct http_text){bytes, scan->offset}, out);
    rc = http_response_judge_fields(out, reason);
    return rc < 0 ? rc : (int)scan->offset;
}

/* "HTTP/1.1 200 OK": the scan has seen to it that the digits are where they are. */
static void http_response_split_head(const struct http_scan *scan, struct http_text text,
                                     struct http_response *out)
{
    const char *minor = text.data + strlen("HTTP/1.");
    const char *status = text.data + strlen("HTTP/1.1 ");
    const char *end = memchr(status, '\n', text.bytes - strlen("HTTP/1.1 "));
    mr_assert(end);

    out->minor = *minor == '1';
    out->status = (unsigned)((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    out->header_count = scan->field_count;
    struct http_text rest = {end + 1, text.bytes - (size_t)(end + 1 - text.data)};
    for (uint32_t i = 0; i < out->header_count; i++)
        http_header_next(&rest, &out->headers[i]);
}

static int http_response_judge_fields(struct http_response *out, const char **reason)
{
    bool close = false, keep_alive = false;
    out->chunked = false;
    out->has_length = false;
    out->content_length = 0;
    for (uint32_t i = 0; i < out->header_count; i++) {
        const struct http_header *header = &out->headers[i];
        if (http_text_matches(header->name, "content-length")) {
            if (out->has_length || !http_text_number(header->value, &out->content_length))
                return http_refuse(reason, -400, "Content-Length is not one number of bytes");
            out->has_length = true;
        } else if (http_text_matches(header->name, "transfer-encoding")) {
            if (out->chunked || !http_text_matches(header->value, "chunked"))
                return http_refuse(reason, -501, "chunked is the only transfer coding known");
            out->chunked = true;
        } else if (http_text_matches(header->name, "connection")) {
            close |= http_list_has(header->value, "close");
            keep_alive |= http_list_has(header->value, "keep-alive");
        }
    }
    if (out->chunked && out->has_length)
        return http_refuse(reason, -400, "both Content-Length and Transfer-Encoding");
    out->keep_alive = !close && (out->minor == 1 || keep_alive);
    return 0;
}
