/* SPDX-License-Identifier: MIT */
/*
 * calls.h - calls of a pipeline's code for many runs at once, counted: an engine's steps, batches.
 *
 * The worker counts in its segment, the dispatcher adds up what came since it looked last. Words
 * are loaded once each, and believed for what they are, figures: those of a worker that writes
 * others are wrong, but never smaller than before.
 */
#ifndef SHM_CALLS_H
#define SHM_CALLS_H

#include <stdint.h>

#include "millrace/layout.h"

/* Of a word and of a total: all that are added up for a histogram fit 64 bits. Time reaches it in
 * nine years. */
#define CALLS_WORD_MAX (UINT64_C(1) << 58)

/* The words of struct calls_shared, as they were read, or added up. Zero is none. */
struct calls {
    uint64_t time_ns;
    uint64_t item_count;
    uint64_t time_counts[CALLS_TIME_COUNT];
    uint64_t item_counts[CALLS_ITEM_COUNT];
};

/* Worker, from one thread: a call took so long, for so many items. */
void calls_add(struct calls_shared *calls, uint64_t time_ns, uint64_t item_count);

/* Dispatcher: adds what came since `seen` was last brought up to date to `total`, and brings it up
 * to date. A word that is less than it was adds nothing. */
void calls_collect(const struct calls_shared *calls, struct calls *seen, struct calls *total);

/* How many there were. */
uint64_t calls_count(const struct calls *calls);

#endif
