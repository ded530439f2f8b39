/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - memory that grows to what it once had to hold, and is given back when idle.
 */
#ifndef WORKER_BUFFER_H
#define WORKER_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

/* Memory for large values and results that an idle worker keeps. */
#define BUFFER_KEEP_BYTES (256u * 1024)

/* Owned by whoever embeds it; zero is empty. */
struct buffer {
    uint8_t *data;
    size_t used; /* what the owner says is in it */
    size_t capacity;
};

/* Makes room for `capacity` bytes in all, growing by halves at least and keeping what is there. 0
 * or -ENOMEM. */
int buffer_reserve(struct buffer *buffer, size_t capacity) MUST_USE;

/* Frees the memory when it is more than `keep` bytes. Forgets the content. */
void buffer_trim(struct buffer *buffer, size_t keep);

void buffer_finish(struct buffer *buffer);

#endif
