/* SPDX-License-Identifier: MIT */
/* text.c - text that grows. */
#include "dispatcher/text/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/json_out.h"

char *text_reserve(struct text *text, size_t bytes)
{
    if (text->failed)
        return NULL;
    if (text->count + bytes > text->room) {
        size_t room = text->room > 0 ? text->room * 2 : 1024;
        if (room < text->count + bytes)
            room = text->count + bytes;
        char *grown = realloc(text->bytes, room);
        if (!grown) {
            text->failed = true;
            return NULL;
        }
        text->bytes = grown;
        text->room = room;
    }
    return text->bytes + text->count;
}

void text_add_bytes(struct text *text, const char *bytes, size_t count)
{
    if (count == 0)
        return;
    char *room = text_reserve(text, count);
    if (!room)
        return;
    memcpy(room, bytes, count);
    text->count += count;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int count = vsnprintf(NULL, 0, format, again);
    va_end(again);
    mr_assert(count >= 0);
    char *room = text_reserve(text, (size_t)count + 1);
    if (room) {
        vsnprintf(room, (size_t)count + 1, format, arguments);
        text->count += (size_t)count;
    }
    va_end(arguments);
}

void text_add_json(struct text *text, const char *string, size_t count)
{
    size_t bound = count * 6 + 16;
    char *room = text_reserve(text, bound);
    if (room)
        text->count += json_out_text(string, count, room, bound);
}

void text_trim(struct text *text, size_t slack)
{
    size_t room = text->count + slack;
    if (text->room <= room || room == 0)
        return;
    char *smaller = realloc(text->bytes, room);
    if (!smaller)
        return; /* it stays as it is */
    text->bytes = smaller;
    text->room = room;
}

void text_finish(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

char *text_duplicate(const char *bytes, size_t count)
{
    char *copy = malloc(count + 1);
    if (!copy)
        return NULL;
    memcpy(copy, bytes, count);
    copy[count] = '\0';
    return copy;
}
