/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line an event on stderr, as log_format.h makes it. Never waits.
 *
 * Events are formatted into a bounded buffer and written by io_uring, one write in flight; what
 * does not fit is dropped and counted, and the count is logged when there is room again. A disk
 * that is full or a reader that is slow costs log lines, nothing else. Events are listed in
 * docs/operations.md.
 */
#ifndef DISPATCHER_LOG_H
#define DISPATCHER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/log_field.h"
#include "dispatcher/reactor/log_format.h"
#include "dispatcher/reactor/log_tail.h"
#include "millrace/check.h"

/* What a busy server says while a disk thinks. */
#define LOG_BUFFER_BYTES (128u * 1024)

/* Owned by the loop. Two halves: one is filled while the other is being written. */
struct log {
    int fd;
    enum log_level level;
    struct log_style style;
    struct log_tail *tail; /* borrowed; gets each line, too; NULL: there is none */
    bool write_in_flight;
    bool is_failing; /* the last write failed: no line about lost lines, which would be lost, too */
    bool is_torn;    /* what was written ends within a line, whose rest is lost */
    uint64_t dropped_count;
    uint64_t dropped_total;
    uint32_t filling; /* which half */
    uint32_t count;   /* bytes in it */
    uint32_t sending_offset, sending_count;
    char bytes[2][LOG_BUFFER_BYTES + 1]; /* and the end of a torn line */
};

void log_init(struct log *log, int fd, enum log_level level);

/* The format from now on. Where the descriptor is the journal's, lines begin with their
 * priority. */
void log_style_set(struct log *log, enum log_format format);

/* Whether lines of this level are written. */
static inline bool log_is_on(const struct log *log, enum log_level level)
{
    return level >= log->level;
}

/* Appends an event: log_event(log, LEVEL_INFO, "worker_ready", LOG_NATURAL("worker", 3), ...). The
 * name is a stable word; fields are looked at only when the level is on. At most one is a block. */
#define log_event(log, event_level, event_name, ...)                                               \
    do {                                                                                           \
        if (log_is_on((log), (event_level))) {                                                     \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_add((log), &(struct log_event){(event_level), (event_name), log_fields_,           \
                                               ARRAY_COUNT(log_fields_)});                         \
        }                                                                                          \
    } while (0)

/* The same without a look at the level. */
void log_add(struct log *log, const struct log_event *event);

/* Whether log_take() may have something; every pass asks. */
static inline bool log_waits(const struct log *log)
{
    return log->count > 0 || log->sending_offset < log->sending_count || log->dropped_count > 0;
}

/* Whether part of a batch has still to be written. */
static inline bool log_is_writing(const struct log *log)
{
    return log->sending_offset < log->sending_count;
}

/* What to write next, when no write is in flight; 0 bytes: nothing. */
size_t log_take(struct log *log, const char **bytes);

/* Goes on in another file, while no write is in flight; of a line that the former one has in part
 * the rest is lost. */
void log_move(struct log *log, int fd);

/* A write ended with `result` bytes or -errno. */
void log_written(struct log *log, int32_t result);

/* Writes what is left with write(2), for the end of the process; gives up when it would wait. */
void log_flush(struct log *log);

#endif
