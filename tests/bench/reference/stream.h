/* SPDX-License-Identifier: MIT */
/*
 * stream.h - what one answer has to be: so many lines, of so much text, at such a pace; and a queue
 * of what is due when.
 */
#ifndef TESTS_BENCH_REFERENCE_STREAM_H
#define TESTS_BENCH_REFERENCE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
    uint64_t total, next;
    uint64_t start_ns, pace_ns; /* pace 0: as fast as possible */
    size_t text_bytes;
};

static inline uint64_t stream_due_ns(const struct stream *stream)
{
    return stream->start_ns + (stream->next + 1) * stream->pace_ns;
}

static inline bool stream_is_due(const struct stream *stream, uint64_t now_ns)
{
    return stream->next < stream->total &&
           (stream->pace_ns == 0 || stream_due_ns(stream) <= now_ns);
}

/* `bytes` of text, the same memory for all. */
const char *stream_text(size_t bytes);

/* A heap, the earliest on top. An entry whose owner has ended stays until its time comes: the
 * generation tells. */
struct due {
    uint64_t time_ns;
    uint32_t owner, generation;
};

struct due_queue {
    struct due *heap; /* owned */
    size_t count, room;
};

void due_add(struct due_queue *queue, struct due due);

/* Takes the earliest if its time has come. */
bool due_take(struct due_queue *queue, uint64_t now_ns, struct due *out);

/* Until the earliest; -1 when there is none. */
int64_t due_wait_ns(const struct due_queue *queue, uint64_t now_ns);

#endif
