/* SPDX-License-Identifier: MIT */
/* bases.c - the last few texts, by number. */
#include "dispatcher/api/bases.h"

#include <stdio.h>
#include <string.h>

void base_format(const struct http_head *head, char out[BASE_BYTES])
{
    const struct http_header *scheme = http_head_find(head, "x-forwarded-proto");
    const bool is_secret = scheme && http_text_matches(scheme->value, "https");
    out[0] = '\0';
    if (head->host.bytes > 0 && head->host.bytes < BASE_BYTES - sizeof "https://")
        snprintf(out, BASE_BYTES, "http%s://%.*s", is_secret ? "s" : "", (int)head->host.bytes,
                 head->host.data);
}

uint64_t bases_take(struct bases *bases, const struct http_head *head)
{
    char text[BASE_BYTES];
    base_format(head, text);
    if (text[0] == '\0')
        return 0;
    for (uint64_t number = bases->count; number > 0 && bases->count - number < BASE_COUNT; number--)
        if (strcmp(bases_text(bases, number), text) == 0)
            return number;
    memcpy(bases->texts[bases->count % BASE_COUNT], text, sizeof text);
    return ++bases->count;
}

const char *bases_text(const struct bases *bases, uint64_t number)
{
    if (number == 0 || number > bases->count || bases->count - number >= BASE_COUNT)
        return "";
    return bases->texts[(number - 1) % BASE_COUNT];
}
