/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - bytes on their way to one client, gathered into HTTP chunks.
 *
 *     [ sent ... | .. waiting .. | size of the open chunk | its lines ...| room ]
 *
 * Memory is taken when the first byte comes and given back when the last has left, last in, first
 * out: few buffers serve many clients, and stay in the processor's cache.
 */
#ifndef TESTS_BENCH_REFERENCE_BUFFER_H
#define TESTS_BENCH_REFERENCE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#define BUFFER_BYTES (64u * 1024)

struct buffer {
    char *bytes; /* owned; NULL when empty */
    size_t room, count, sent;
    size_t chunk; /* where the open chunk's size goes */
    bool has_chunk;
};

static inline size_t buffer_waiting(const struct buffer *buffer)
{
    return buffer->count - buffer->sent;
}

/* Room for `bytes` outside of any chunk, or inside the open one; NULL without memory. What was
 * written there counts when buffer_commit() has its end. */
char *buffer_room(struct buffer *buffer, size_t bytes);
char *buffer_chunk_room(struct buffer *buffer, size_t bytes);
void buffer_commit(struct buffer *buffer, const char *end);

/* True when a line of `bytes` more would make a buffer larger than it usually is. */
bool buffer_is_full(const struct buffer *buffer, size_t bytes);

/* Sends what is there (something must be), by one call: 1 when all has left, 0 when the socket is
 * full, -1 when the client is gone. */
int buffer_send(struct buffer *buffer, int fd);

void buffer_drop(struct buffer *buffer);

#endif
