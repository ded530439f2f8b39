/* SPDX-License-Identifier: MIT */
/*
 * arena.h - memory that belongs to one run and goes when it ends.
 *
 * Taken while a run starts (its request, its inputs, results of its pipes), never for a chunk.
 */
#ifndef WORKER_ARENA_H
#define WORKER_ARENA_H

#include <stddef.h>

#include "millrace/check.h"

/* What a piece of memory takes besides itself. */
#define ARENA_HEAD_BYTES 16u

struct arena_block;

/* Zero is empty. */
struct arena {
    struct arena_block *blocks; /* owned */
};

/* Zeroed memory, aligned for any type; NULL when there is none. */
void *arena_take(struct arena *arena, size_t bytes) MUST_USE;

/* Frees everything that was taken. */
void arena_finish(struct arena *arena);

#endif
