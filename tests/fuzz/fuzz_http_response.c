/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http_response.c - a response head means the same however it arrives, and whatever it is.
 *
 * Input: two bytes that say where to cut, then what a server sent.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/http_response.h"

#define CUT_BYTES 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct http_response whole, pieces;

static void check_response(const struct http_response *response, const char *bytes, int head_bytes)
{
    mr_assert(response->status >= 100 && response->status <= 999);
    mr_assert(response->minor <= 1);
    mr_assert(!(response->chunked && response->has_length));
    mr_assert(response->header_count <= HTTP_HEADER_COUNT_MAX);
    for (uint32_t i = 0; i < response->header_count; i++) {
        const struct http_header *header = &response->headers[i];
        mr_assert(header->name.data > bytes && header->name.bytes > 0);
        mr_assert(header->value.data > header->name.data + header->name.bytes);
        mr_assert(header->value.data + header->value.bytes < bytes + head_bytes);
    }
}

static void check_same_response(void)
{
    mr_assert(whole.status == pieces.status);
    mr_assert(whole.minor == pieces.minor);
    mr_assert(whole.keep_alive == pieces.keep_alive);
    mr_assert(whole.chunked == pieces.chunked);
    mr_assert(whole.has_length == pieces.has_length);
    mr_assert(whole.content_length == pieces.content_length);
    mr_assert(whole.header_count == pieces.header_count);
    mr_assert(
        memcmp(whole.headers, pieces.headers, whole.header_count * sizeof(whole.headers[0])) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < CUT_BYTES)
        return 0;
    const size_t count = bytes - CUT_BYTES;
    const size_t cut = (data[0] | data[1] * 256u) % (count + 1);
    char *copy = malloc(count);
    mr_assert(copy || count == 0);
    if (count)
        memcpy(copy, data + CUT_BYTES, count);

    /* What the parser leaves unset would differ. */
    memset(&whole, 0, sizeof(whole));
    memset(&pieces, 1, sizeof(pieces));
    struct http_scan scan;
    const char *reason = NULL, *reason_again = NULL;
    http_scan_init_response(&scan);
    const int rc = http_parse_response_head(&scan, copy, count, &whole, &reason);
    mr_assert(rc <= (int)count);
    mr_assert(rc >= 0 || strlen(reason) > 10);
    if (rc > 0)
        check_response(&whole, copy, rc);

    http_scan_init_response(&scan);
    int again = http_parse_response_head(&scan, copy, cut, &pieces, &reason_again);
    if (again == 0)
        again = http_parse_response_head(&scan, copy, count, &pieces, &reason_again);
    mr_assert(again == rc);
    mr_assert(reason == reason_again);
    if (rc > 0)
        check_same_response();
    free(copy);
    return 0;
}
