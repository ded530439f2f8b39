/* SPDX-License-Identifier: MIT */
/* http_range.c - one range of bytes, and entity tags. */
#include "dispatcher/http/http_range.h"

#include <string.h>

static struct http_text range_trim(struct http_text text)
{
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text.data++, text.bytes--;
    while (text.bytes > 0 &&
           (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

/* All digits; a number beyond all there can be is the largest there is. */
static bool range_number(struct http_text text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        const unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9)
            return false;
        *out = *out > INT64_MAX / 10 - 1 ? INT64_MAX : *out * 10 + digit;
    }
    return text.bytes > 0;
}

static enum http_range_result range_suffix(uint64_t count, uint64_t size, struct http_range *out)
{
    if (count == 0 || size == 0)
        return HTTP_RANGE_NONE;
    out->bytes = count < size ? count : size;
    out->first = size - out->bytes;
    return HTTP_RANGE_PART;
}

enum http_range_result http_range_read(struct http_text value, uint64_t size,
                                       struct http_range *out)
{
    const struct http_text unit = {value.data, 6};
    if (value.bytes < unit.bytes || !http_text_matches(unit, "bytes="))
        return HTTP_RANGE_ALL;
    struct http_text set = range_trim((struct http_text){value.data + 6, value.bytes - 6});
    const char *dash = set.bytes > 0 ? memchr(set.data, '-', set.bytes) : NULL;
    if (!dash)
        return HTTP_RANGE_ALL;
    const struct http_text from = {set.data, (size_t)(dash - set.data)};
    const struct http_text to = {dash + 1, set.bytes - from.bytes - 1};
    uint64_t first = 0, last = INT64_MAX;
    if (from.bytes == 0)
        return range_number(to, &last) ? range_suffix(last, size, out) : HTTP_RANGE_ALL;
    if (!range_number(from, &first) || (to.bytes > 0 && !range_number(to, &last)) || last < first)
        return HTTP_RANGE_ALL; /* a comma is no digit, either: several are answered with all */
    if (first >= size)
        return HTTP_RANGE_NONE;
    *out = (struct http_range){first, (last < size ? last : size - 1) - first + 1};
    return HTTP_RANGE_PART;
}

enum http_range_result http_range_of(const struct http_head *head, const char *tag, uint64_t size,
                                     struct http_range *out)
{
    const struct http_header *range = http_head_find(head, "range");
    const struct http_header *tagged = http_head_find(head, "if-range");
    if (!range || head->method != HTTP_GET || (tagged && !http_text_equals(tagged->value, tag)) ||
        http_header_find(head->headers, head->header_count, range, "range"))
        return HTTP_RANGE_ALL;
    return http_range_read(range->value, size, out);
}

bool http_range_is_had(const struct http_head *head, const char *tag)
{
    const struct http_header *header = NULL;
    while (
        (header = http_header_find(head->headers, head->header_count, header, "if-none-match"))) {
        struct http_text rest = header->value, element;
        while (http_list_next(&rest, &element)) {
            if (element.bytes > 2 && memcmp(element.data, "W/", 2) == 0)
                element = (struct http_text){element.data + 2, element.bytes - 2};
            if (http_text_equals(element, "*") || http_text_equals(element, tag))
                return true;
        }
    }
    return false;
}
