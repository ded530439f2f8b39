/* SPDX-License-Identifier: MIT */
/*
 * log_tail.h - the last lines of the log, for those who look at it while the server runs.
 *
 * A position counts all bytes there ever were; what is more than LOG_TAIL_BYTES behind the end is
 * overwritten. Lines are as they are in the log, also those that it had no room for.
 */
#ifndef DISPATCHER_LOG_TAIL_H
#define DISPATCHER_LOG_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define LOG_TAIL_BYTES (256u * 1024) /* a power of two */

/* Zero is empty, and keeps nothing until log_tail_init(). */
struct log_tail {
    char *bytes; /* LOG_TAIL_BYTES; owned */
    uint64_t end;
};

/* 0 or -ENOMEM. */
int log_tail_init(struct log_tail *tail) MUST_USE;
void log_tail_finish(struct log_tail *tail);

void log_tail_add(struct log_tail *tail, const char *bytes, size_t count);

/* The position of the oldest line that is there whole. */
uint64_t log_tail_begin(const struct log_tail *tail);

/* What is there from a position on, in one piece, which may not be all; it lives until the next
 * addition. A position that is overwritten by now is moved to the oldest line, and *lost says how
 * many bytes were passed. 0: nothing has come since. */
size_t log_tail_read(const struct log_tail *tail, uint64_t *position, const char **bytes,
                     uint64_t *lost);

#endif
