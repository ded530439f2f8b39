/* SPDX-License-Identifier: MIT */
/*
 * utf8.c - whether a text is well-formed, and what of it can be shown.
 */
#include "dispatcher/text/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool utf8_is_mark_of_direction_or_line(const uint8_t *three);

size_t utf8_shown_bytes(const char *text, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t sequence = utf8_sequence(bytes, count);
    if (sequence == 1)
        return bytes[0] < 0x20 || bytes[0] == 0x7f ? 0 : 1;
    if (sequence == 2) {
        bool is_c1 = bytes[0] == 0xc2 && bytes[1] < 0xa0;
        bool is_arabic_mark = bytes[0] == 0xd8 && bytes[1] == 0x9c; /* U+061C */
        return is_c1 || is_arabic_mark ? 0 : 2;
    }
    return sequence == 3 && utf8_is_mark_of_direction_or_line(bytes) ? 0 : sequence;
}

bool utf8_is_valid(const char *text, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t offset = 0;
    while (offset < count) {
        uint64_t word;
        if (count - offset >= sizeof(word)) {
            memcpy(&word, bytes + offset, sizeof(word));
            if ((word & HIGH_BITS) == 0) {
                offset += sizeof(word);
                continue;
            }
        }
        size_t sequence = utf8_sequence(bytes + offset, count - offset);
        if (sequence == 0)
            return false;
        offset += sequence;
    }
    return true;
}

/* U+2028, U+2029, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069: e2 80 .. and e2 81 .. */
static bool utf8_is_mark_of_direction_or_line(const uint8_t *three)
{
    uint8_t last = three[2];
    if (three[0] != 0xe2)
        return false;
    if (three[1] == 0x80)
        return last == 0x8e || last == 0x8f || (last >= 0xa8 && last <= 0xae);
    return three[1] == 0x81 && last >= 0xa6 && last <= 0xa9;
}
