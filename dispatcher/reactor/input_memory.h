/* SPDX-License-Identifier: MIT */
/*
 * input_memory.h - the memory that holds requests, bounded: what has arrived of them, and what
 * waits to be offered to a worker. It is counted in bytes, and its files in descriptors.
 */
#ifndef DISPATCHER_INPUT_MEMORY_H
#define DISPATCHER_INPUT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define INPUT_FILE_COUNT_MAX 1024u

/* A file of memory that nobody wants. To free the memory of a large file takes milliseconds, so it
 * is done a part in each pass; until then it is counted. */
struct input_file {
    int fd;
    bool is_sealed;         /* so it goes in one piece */
    uint64_t bytes;         /* what is left in it */
    uint64_t counted_bytes; /* of these, what is counted for it */
};

/* Owned by the server; whoever holds a part of it has a pointer to it. */
struct input_memory {
    uint64_t bytes, bytes_max;
    uint32_t file_count, file_count_max; /* those that go are counted */
    struct input_file going[INPUT_FILE_COUNT_MAX];
    uint32_t going_count;
};

void input_memory_init(struct input_memory *memory, uint64_t bytes_max, uint32_t file_count_max);

/* Closes the files that go. */
void input_memory_finish(struct input_memory *memory);

/* Whether so much more may be held. */
static inline bool input_memory_fits(const struct input_memory *memory, uint64_t bytes)
{
    return memory->bytes + bytes <= memory->bytes_max;
}

/* Counts, and counts no longer. To take more than fits is the caller's to decide. */
void input_memory_take(struct input_memory *memory, uint64_t bytes);
void input_memory_give(struct input_memory *memory, uint64_t bytes);

/* Likewise one descriptor of a file. */
bool input_memory_fits_file(const struct input_memory *memory);
void input_memory_take_file(struct input_memory *memory);
void input_memory_give_file(struct input_memory *memory);

/* Takes over a counted file that nobody wants any more. */
void input_memory_drop(struct input_memory *memory, const struct input_file *file);

/* Frees a part of what was dropped. True: there is more. */
bool input_memory_sweep(struct input_memory *memory);

/* ---- a buffer that is counted --------------------------------------------------------------- */

/* Zero is empty. */
struct input_buffer {
    char *data; /* owned; NULL: empty */
    uint32_t bytes;
    uint32_t room; /* counted */
};

/* Makes room for `more` bytes behind the first `bytes`, no more than `bytes_max` unless these are
 * needed. 0, -ENOMEM, or -ENOBUFS: all requests together hold as much as they may. */
int input_buffer_reserve(struct input_buffer *buffer, struct input_memory *memory, uint32_t bytes,
                         size_t more, size_t bytes_max) MUST_USE;

/* Gives its memory back. */
void input_buffer_free(struct input_buffer *buffer, struct input_memory *memory);

#endif
