/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef DISPATCHER_UTF8_H
#define DISPATCHER_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_SEQUENCE_BYTES_MAX 4u

static inline bool utf8_is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the well-formed sequence that `text` begins with, 1 to 4; 0 when it is ill-formed or cut
 * short by the end. `count` is at least 1. */
static inline size_t utf8_sequence(const uint8_t *text, size_t count)
{
    uint8_t lead = text[0];
    if (lead < 0x80)
        return 1;
    /* The second byte's range is narrower after four leads: overlongs, surrogates, the top. */
    if (lead < 0xc2 || lead > 0xf4 || count < 2)
        return 0;
    if (lead < 0xe0)
        return utf8_is_continuation(text[1]) ? 2 : 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high || count < 3 || !utf8_is_continuation(text[2]))
        return 0;
    if (lead < 0xf0)
        return 3;
    return count >= 4 && utf8_is_continuation(text[3]) ? 4 : 0;
}

/* The same for text that is not ASCII and of which four bytes are there, in one little-endian word.
 * Each line masks the bits that make a length, then looks at the bits that tell overlong forms,
 * surrogates and points beyond the last one. */
static inline size_t utf8_word_sequence(uint32_t word)
{
    if ((word & 0x00c0c0f0) == 0x008080e0)
        return (word & 0x200f) != 0 && (word & 0x200f) != 0x200d ? 3 : 0;
    if ((word & 0x0000c0e0) == 0x000080c0)
        return (word & 0x1e) != 0 ? 2 : 0;
    if ((word & 0xc0c0c0f8) == 0x808080f0) {
        uint32_t point_top = (word & 0x07) << 2 | (word & 0x3000) >> 12;
        return point_top >= 1 && point_top <= 16 ? 4 : 0;
    }
    return 0;
}

/* Whether all of `text` is well-formed. */
bool utf8_is_valid(const char *text, size_t count);

/* Bytes of the character at the start of `text`, 1 to 4, when it can be shown to somebody who reads
 * it on a terminal or in an editor and is to see all there is: 0 when its first byte is ill-formed,
 * and of controls (C0, DEL, C1), of line and paragraph separators, and of what changes the
 * direction in which others are read. `count` is at least 1. */
size_t utf8_shown_bytes(const char *text, size_t count);

#endif
