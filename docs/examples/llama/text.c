/* SPDX-License-Identifier: MIT */
/*
 * text.c - UTF-8, and stop strings.
 */
#include "text.h"

#include <string.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd";

/* How many bytes the character has that begins here: 0, none does; -1, it is not whole yet. */
static int character_bytes(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    int bytes = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    for (int i = 1; i < bytes; i++) {
        if ((size_t)i == left)
            return -1;
        if (at[i] < least || at[i] > most)
            return 0;
        least = 0x80;
        most = 0xbf;
    }
    return bytes;
}

bool utf8_is_valid(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        int whole = character_bytes((const unsigned char *)bytes + i, count - i);
        if (whole <= 0)
            return false;
        i += (size_t)whole;
    }
    return true;
}

size_t utf8_clean(char *out, const char *bytes, size_t count, size_t *held)
{
    size_t written = 0;
    if (held)
        *held = 0;
    for (size_t i = 0; i < count;) {
        int whole = character_bytes((const unsigned char *)bytes + i, count - i);
        if (whole < 0 && held) {
            *held = count - i;
            break;
        }
        if (whole <= 0) {
            memcpy(out + written, REPLACEMENT, 3);
            written += 3;
            i++;
        } else {
            memcpy(out + written, bytes + i, (size_t)whole);
            written += (size_t)whole;
            i += (size_t)whole;
        }
    }
    return written;
}

/* Where the first stop string begins; the end of the text if none does. */
static size_t find_stop(const struct text *text, size_t whole)
{
    size_t first = whole;
    for (size_t i = 0; i < text->stop_count; i++) {
        const struct stop *stop = &text->stops[i];
        const char *at = memmem(text->bytes, whole, stop->bytes, stop->count);
        if (at && (size_t)(at - text->bytes) < first)
            first = (size_t)(at - text->bytes);
    }
    return first;
}

/* How many bytes at the end may be the beginning of a stop string. */
static size_t count_doubtful(const struct text *text, size_t whole)
{
    size_t doubtful = 0;
    for (size_t i = 0; i < text->stop_count; i++) {
        const struct stop *stop = &text->stops[i];
        size_t most = stop->count - 1 < whole ? stop->count - 1 : whole;
        for (size_t count = most; count > doubtful; count--) {
            if (memcmp(text->bytes + whole - count, stop->bytes, count) == 0)
                doubtful = count;
        }
    }
    return doubtful;
}

static void text_look(struct text *text, size_t whole)
{
    size_t stop = find_stop(text, whole);
    text->is_stopped = stop < whole;
    text->ready = text->is_stopped ? stop : whole - count_doubtful(text, whole);
}

void text_add(struct text *text, const char *bytes, size_t count)
{
    char raw[4 + TEXT_PIECE_BYTES_MAX];
    size_t whole = text->count - text->half, raw_count = text->half + count;
    memcpy(raw, text->bytes + whole, text->half);
    memcpy(raw + text->half, bytes, count);
    whole += utf8_clean(text->bytes + whole, raw, raw_count, &text->half);
    text_look(text, whole);
    memcpy(text->bytes + whole, raw + raw_count - text->half, text->half);
    text->count = whole + text->half;
}

void text_end(struct text *text)
{
    if (text->is_stopped)
        return;
    if (text->half > 0) {
        char half[4];
        memcpy(half, text->bytes + text->count - text->half, text->half);
        text->count -= text->half;
        text->count += utf8_clean(text->bytes + text->count, half, text->half, NULL);
        text->half = 0;
    }
    text->ready = text->count;
}

void text_take(struct text *text)
{
    memmove(text->bytes, text->bytes + text->ready, text->count - text->ready);
    text->count -= text->ready;
    text->ready = 0;
}
