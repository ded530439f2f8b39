/* SPDX-License-Identifier: MIT */
/*
 * log_filter.h - which lines of a log are of one pipeline, or of one run.
 *
 * Reads what log_format.h writes, each line in the format that it has: text, JSON or logfmt, with a
 * priority for the journal or without. Only fields count: what user code printed is a text in
 * quotes, whatever it looks like.
 */
#ifndef DISPATCHER_LOG_FILTER_H
#define DISPATCHER_LOG_FILTER_H

#include <stdbool.h>
#include <stddef.h>

enum log_line_kind {
    LOG_LINE_EVENT = 0,
    LOG_LINE_BLOCK, /* belongs to the event before it */
    LOG_LINE_OTHER, /* said by somebody else, or about the log */
};

struct log_filter {
    const char *pipeline, *run; /* what the fields must be; NULL: anything */
    bool passes;                /* did the last event pass? At first: would a block without one? */
};

struct log_filter log_filter_make(const char *pipeline, const char *run);

/* The next line, without its newline. Whether it passes: an event by its fields, a block as its
 * event did; that a part of the log was left out always passes. */
bool log_filter_take(struct log_filter *filter, const char *line, size_t bytes,
                     enum log_line_kind *kind);

#endif
