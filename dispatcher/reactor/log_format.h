/* SPDX-License-Identifier: MIT */
/*
 * log_format.h - an event becomes bytes: text, JSON or logfmt, of a bounded length.
 *
 *   text     2026-01-31T12:00:00.123Z info event key=value text="a \"text\", \x1b[2J"
 *                a line of a block, which no event can begin with
 *   json     {"time":"2026-01-31T12:00:00.123Z","level":"info","event":"event","key":1}
 *   logfmt   time=2026-01-31T12:00:00.123Z level=info event=event key=value text="\u001b[2J"
 *
 * In all of them an event is one line, but for the blocks of the text format; it is UTF-8, and
 * steers no terminal: what utf8_shown_bytes() does not show is escaped. A text is cut at
 * LOG_TEXT_BYTES_MAX, of a block the last LOG_BLOCK_BYTES_MAX are kept, both at a character. What
 * does not fit into a line is left out.
 */
#ifndef DISPATCHER_LOG_FORMAT_H
#define DISPATCHER_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "dispatcher/reactor/log_field.h"
#include "millrace/limits.h"

enum log_level { LEVEL_DEBUG = 0, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR, LEVEL_COUNT };

enum log_format { LOG_FORMAT_TEXT = 0, LOG_FORMAT_JSON, LOG_FORMAT_LOGFMT, LOG_FORMAT_COUNT };

/* Without its blocks. */
#define LOG_LINE_BYTES_MAX 4096u

/* No byte of a block takes more: "\xff" in quotes, "\u00ff", or a line's end and four blanks. */
#define LOG_BLOCK_FACTOR 6u
#define LOG_EVENT_BYTES_MAX (LOG_LINE_BYTES_MAX + LOG_BLOCK_FACTOR * LOG_BLOCK_BYTES_MAX + 256u)

struct log_event {
    enum log_level level;
    const char *name;
    const struct log_field *fields;
    size_t field_count;
};

/* How to write events, and the text of the last one's second. Zero is the text format. */
struct log_style {
    enum log_format format;
    bool is_journal; /* each line begins with <priority>; the text format leaves out the time */
    int64_t second;
    char second_text[24];
};

/* Writes `event`, with its newline, at `out`. Returns its bytes, at most LOG_EVENT_BYTES_MAX; 0:
 * there is no room for it, and what is at `out` is of no use. */
size_t log_format_event(struct log_style *style, const struct timespec *now,
                        const struct log_event *event, char *out, size_t room);

/* Of bytes that log_format_event() made, possibly cut in front: how many events end in them. */
uint64_t log_format_count(const char *bytes, size_t count);

#endif
