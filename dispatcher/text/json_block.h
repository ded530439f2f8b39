/* SPDX-License-Identifier: MIT */
/*
 * json_block.h - sixteen bytes of text at a time: copied, and searched for what JSON must escape.
 *
 * Special are '"', '\\', control characters and everything that is not ASCII. SSE2 is part of every
 * x86-64; elsewhere the same is done on two 64-bit words. A wider vector does not pay: most strings
 * of a stream are shorter than four blocks.
 */
#ifndef DISPATCHER_JSON_BLOCK_H
#define DISPATCHER_JSON_BLOCK_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_BLOCK_BYTES 16u

/* Index of the first special byte among the eight of `word` (first byte lowest); 8 when none is. */
static inline unsigned json_word_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    /* Each borrow can mark a clean byte only above a special one, so the lowest mark is exact. */
    uint64_t marks = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | word;
    marks &= high;
    return marks == 0 ? 8 : (unsigned)__builtin_ctzll(marks) / 8;
}

/* Copies JSON_BLOCK_BYTES from `in` to `out`. Returns the index of the first special byte, or
 * JSON_BLOCK_BYTES. */
static inline unsigned json_block_copy_portable(const uint8_t *in, char *out)
{
    uint64_t words[2];
    memcpy(words, in, sizeof(words));
    memcpy(out, words, sizeof(words));
    unsigned first = json_word_special(le64toh(words[0]));
    return first < 8 ? first : 8 + json_word_special(le64toh(words[1]));
}

#ifdef __SSE2__
static inline unsigned json_block_copy(const uint8_t *in, char *out)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)in);
    _mm_storeu_si128((__m128i *)(void *)out, block);
    /* The comparison is signed: bytes from 0x80 up count as below 0x20 too. */
    __m128i low = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
    __m128i quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    __m128i special = _mm_or_si128(low, _mm_or_si128(quote, backslash));
    unsigned mask = (unsigned)_mm_movemask_epi8(special);
    return (unsigned)__builtin_ctz(mask | 1u << JSON_BLOCK_BYTES);
}
#else
static inline unsigned json_block_copy(const uint8_t *in, char *out)
{
    return json_block_copy_portable(in, out);
}
#endif

#endif
