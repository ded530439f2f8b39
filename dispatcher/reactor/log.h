/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line an event on stderr: `time level event key=value ...`. Never waits.
 *
 * Lines are formatted into a bounded buffer and written by io_uring, one write in flight; what does
 * not fit is dropped and counted, and the count is logged when there is room again. A disk that is
 * full or a reader that is slow costs log lines, nothing else. Events are listed in
 * docs/operations.md.
 */
#ifndef DISPATCHER_LOG_H
#define DISPATCHER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

enum log_level { LEVEL_DEBUG = 0, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR, LEVEL_COUNT };

#define LOG_BUFFER_BYTES (64u * 1024)

/* Owned by the loop. Two halves: one is filled while the other is being written. */
struct log {
    int fd;
    enum log_level level;
    bool write_in_flight;
    bool is_failing; /* the last write failed: no line about lost lines, which would be lost, too */
    uint64_t dropped_count;
    uint64_t dropped_total;
    uint32_t filling; /* which half */
    uint32_t count;   /* bytes in it */
    uint32_t sending_offset, sending_count;
    char bytes[2][LOG_BUFFER_BYTES];
};

void log_init(struct log *log, int fd, enum log_level level);

/* Appends one line. `event` is a stable word; the format makes `key=value ...`. Values with blanks
 * are the caller's to quote, or go through log_text(). */
void log_line(struct log *log, enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Appends one line whose last value is arbitrary text: quoted, cut at LOG_TEXT_BYTES_MAX, and with
 * all that utf8_shown_bytes() does not show escaped. */
void log_text(struct log *log, enum log_level level, const char *event, const char *text,
              size_t count, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Whether log_take() may have something; every pass asks. */
static inline bool log_waits(const struct log *log)
{
    return log->count > 0 || log->sending_offset < log->sending_count || log->dropped_count > 0;
}

/* What to write next, when no write is in flight; 0 bytes: nothing. */
size_t log_take(struct log *log, const char **bytes);

/* A write ended with `result` bytes or -errno. */
void log_written(struct log *log, int32_t result);

/* Writes what is left with write(2), for the end of the process; gives up when it would wait. */
void log_flush(struct log *log);

#endif
