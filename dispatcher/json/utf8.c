/* SPDX-License-Identifier: MIT */
/*
 * utf8.c - how much of a text is well-formed.
 */
#include "dispatcher/json/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

size_t utf8_valid_bytes(const char *text, size_t count)
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
            break;
        offset += sequence;
    }
    return offset;
}
