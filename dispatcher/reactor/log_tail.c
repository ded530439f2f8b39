/* SPDX-License-Identifier: MIT */
/* log_tail.c - a ring of bytes that overwrites its oldest ones. */
#include "dispatcher/reactor/log_tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_MASK (LOG_TAIL_BYTES - 1)

_Static_assert((LOG_TAIL_BYTES & TAIL_MASK) == 0, "a power of two");

int log_tail_init(struct log_tail *tail)
{
    *tail = (struct log_tail){.bytes = malloc(LOG_TAIL_BYTES)};
    return tail->bytes ? 0 : -ENOMEM;
}

void log_tail_finish(struct log_tail *tail)
{
    free(tail->bytes);
    *tail = (struct log_tail){0};
}

void log_tail_add(struct log_tail *tail, const char *bytes, size_t count)
{
    if (!tail->bytes)
        return;
    mr_assert(count < LOG_TAIL_BYTES);
    size_t at = tail->end & TAIL_MASK;
    size_t first = count < LOG_TAIL_BYTES - at ? count : LOG_TAIL_BYTES - at;
    memcpy(tail->bytes + at, bytes, first);
    memcpy(tail->bytes, bytes + first, count - first);
    tail->end += count;
}

/* What is behind the newline that ends the oldest line, which may be there in part. */
uint64_t log_tail_begin(const struct log_tail *tail)
{
    if (tail->end <= LOG_TAIL_BYTES)
        return 0;
    uint64_t position = tail->end - LOG_TAIL_BYTES;
    while (position < tail->end && tail->bytes[position & TAIL_MASK] != '\n')
        position++;
    return position < tail->end ? position + 1 : position;
}

size_t log_tail_read(const struct log_tail *tail, uint64_t *position, const char **bytes,
                     uint64_t *lost)
{
    *lost = 0;
    if (tail->end - *position > LOG_TAIL_BYTES) {
        uint64_t begin = log_tail_begin(tail);
        *lost = begin - *position;
        *position = begin;
    }
    size_t at = *position & TAIL_MASK;
    size_t count = (size_t)(tail->end - *position);
    *bytes = tail->bytes + at;
    return count < LOG_TAIL_BYTES - at ? count : LOG_TAIL_BYTES - at;
}
