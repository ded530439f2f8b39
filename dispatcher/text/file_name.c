/* SPDX-License-Identifier: MIT */
/* file_name.c - names of files, as clients give them. */
#include "dispatcher/text/file_name.h"

#include <string.h>

#include "dispatcher/text/utf8.h"

#define ENDING_BYTES_MAX 16u /* ".safetensors" is kept */

static size_t name_base(const char *text, size_t bytes)
{
    size_t start = 0;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '/' || text[i] == '\\')
            start = i + 1;
    while (start < bytes && (text[start] == '.' || text[start] == ' '))
        start++;
    return start;
}

/* As many characters as fit into `room`. */
static size_t name_copy(const char *text, size_t bytes, char *out, size_t room)
{
    size_t count = 0;
    for (size_t at = 0; at < bytes;) {
        const size_t shown = utf8_shown_bytes(text + at, bytes - at);
        const size_t step =
            shown > 0 ? shown : utf8_sequence((const uint8_t *)text + at, bytes - at);
        if (count + (shown > 0 ? shown : 1) > room)
            break;
        if (shown > 0)
            memcpy(out + count, text + at, shown);
        else
            out[count] = '_';
        count += shown > 0 ? shown : 1;
        at += step > 0 ? step : 1;
    }
    return count;
}

void file_name_make(const char *text, size_t bytes, char out[FILE_NAME_BYTES_MAX + 1])
{
    const size_t start = name_base(text, bytes);
    const char *name = text + start;
    size_t left = bytes - start, ending = 0;
    const char *dot = left > FILE_NAME_BYTES_MAX ? memrchr(name, '.', left) : NULL;
    if (dot && (size_t)(name + left - dot) <= ENDING_BYTES_MAX)
        ending = (size_t)(name + left - dot);
    size_t count = name_copy(name, left - ending, out, FILE_NAME_BYTES_MAX - ending);
    count += name_copy(name + left - ending, ending, out + count, FILE_NAME_BYTES_MAX - count);
    while (count > 0 && out[count - 1] == ' ')
        count--;
    if (count == 0) {
        memcpy(out, "file", 4);
        count = 4;
    }
    out[count] = '\0';
}
