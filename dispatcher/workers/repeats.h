/* SPDX-License-Identifier: MIT */
/*
 * repeats.h - what is said again and again: whole the first time, then that it is the same.
 */
#ifndef DISPATCHER_REPEATS_H
#define DISPATCHER_REPEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was said last, as a number, and how many times in a row. Zero: nothing. */
struct repeats {
    uint64_t hash;
    uint64_t count;
};

/* Notes a text of two parts, the second of which may be NULL. Returns how many times in a row the
 * same was noted before; 0: it is new. */
uint64_t repeats_note(struct repeats *repeats, const char *text, size_t bytes, const char *more,
                      size_t more_bytes);

/* Whether a text without a second part is what was noted last. */
bool repeats_has(const struct repeats *repeats, const char *text);

/* Whether something that was said so many times before is said again: ever more seldom, since it
 * may go on for days. */
static inline bool repeats_is_said(uint64_t count)
{
    return (count & (count - 1)) == 0;
}

#endif
