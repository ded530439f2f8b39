/* SPDX-License-Identifier: MIT */
/*
 * log_line.h - a line of a log, in whatever format log_format.h wrote it, taken apart.
 *
 * Only fields are fields: what user code printed is a text in quotes, whatever it looks like.
 */
#ifndef DISPATCHER_LOG_LINE_H
#define DISPATCHER_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "dispatcher/reactor/log_format.h"
#include "dispatcher/text/json_view.h"

enum log_line_kind {
    LOG_LINE_EVENT = 0,
    LOG_LINE_BLOCK, /* belongs to the event before it */
    LOG_LINE_OTHER, /* said by somebody else, or about the log */
};

/* Memory of the line. */
struct log_span {
    const char *bytes;
    size_t count;
};

struct log_line {
    enum log_line_kind kind;
    enum log_format format; /* of an event */
    struct log_span body;   /* without a priority for the journal; of a block, its indent too */
    struct json_view root;  /* of JSON */
    struct log_span time, level, event; /* of the text format; empty: it has none */
    struct log_span fields;             /* of text and logfmt: those that were not taken yet */
};

/* Takes a line without its newline. */
void log_line_read(struct log_line *line, const char *bytes, size_t count);

/* The next field of text or logfmt: its key, and its value with the quotes, if it has some. False:
 * there are no more. */
bool log_line_next(struct log_line *line, struct log_span *key, struct log_span *value);

#endif
