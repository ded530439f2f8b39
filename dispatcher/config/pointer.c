/* SPDX-License-Identifier: MIT */
/* pointer.c - how a pipeline's pointer is spelled: me/words:v1. */
#include "dispatcher/config/pointer.h"

#include <string.h>

#define TAG_BYTES_MAX 129u

static bool pointer_has_name(const char *text, size_t bytes);
static bool pointer_has_tag(const char *text, size_t bytes);

bool pointer_is_valid(const char *pointer, size_t bytes)
{
    const char *colon = memchr(pointer, ':', bytes);
    if (!colon || bytes > POINTER_BYTES_MAX)
        return false;
    size_t name_bytes = (size_t)(colon - pointer);
    return pointer_has_name(pointer, name_bytes) &&
           pointer_has_tag(colon + 1, bytes - name_bytes - 1);
}

size_t pointer_prefix_bytes(const char *text)
{
    const char *equals = strchr(text, '=');
    size_t bytes = equals ? (size_t)(equals - text) : 0;
    return bytes > 0 && pointer_is_valid(text, bytes) ? bytes : 0;
}

static bool pointer_is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool pointer_has_name(const char *text, size_t bytes)
{
    if (bytes < 2 || !pointer_is_alnum(text[0]) || !pointer_is_alnum(text[bytes - 1]))
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (!pointer_is_alnum(text[i]) && text[i] != '-' && text[i] != '.' && text[i] != '_' &&
            text[i] != '/')
            return false;
    return true;
}

static bool pointer_has_tag(const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > TAG_BYTES_MAX || !pointer_is_alnum(text[0]) ||
        !pointer_is_alnum(text[bytes - 1]))
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (!pointer_is_alnum(text[i]) && text[i] != '-' && text[i] != '.' && text[i] != '_')
            return false;
    return true;
}
