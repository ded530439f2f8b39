/* SPDX-License-Identifier: MIT */
/*
 * extent.h - contiguous memory for one line that is too long for a block, kept for the next one.
 *
 * Room is asked for generously: what a value may become as JSON is six times what it mostly
 * becomes. It costs address space only; memory is what is written, and of that
 * EXTENT_KEPT_BYTES_MAX at most stay while nobody uses them.
 */
#ifndef DISPATCHER_EXTENT_H
#define DISPATCHER_EXTENT_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define EXTENT_KEPT_BYTES_MAX (32u * 1024 * 1024)
/* Classes of room: 256 KiB, 512 KiB ... 512 MiB. */
#define EXTENT_SHIFT_MIN 18u
#define EXTENT_CLASS_COUNT 12u

struct extent {
    struct extent *next;
    uint32_t class;
    size_t touched; /* the most that was ever written */
    char bytes[];
};

/* Zeroed is empty. Owned by the loop. */
struct extent_pool {
    struct extent *free[EXTENT_CLASS_COUNT];
    size_t kept_bytes; /* touched ones of those in `free` */
};

void extent_pool_finish(struct extent_pool *pool);

/* At least `room` bytes, uninitialized. NULL: no memory, or more than the largest class. */
struct extent *extent_take(struct extent_pool *pool, size_t room);

/* Gives it back; `used` bytes of it were written. */
void extent_put(struct extent_pool *pool, struct extent *extent, size_t used);

#endif
