/* SPDX-License-Identifier: MIT */
/*
 * log_json.h - lines of a log as objects of JSON, as the format json of the log has them.
 *
 * Of the text format and of logfmt it is not known what is a number: what looks like one is. What
 * is no event becomes {"text":"..."}.
 */
#ifndef DISPATCHER_LOG_JSON_H
#define DISPATCHER_LOG_JSON_H

#include "dispatcher/cli/operate/log_line.h"
#include "dispatcher/text/text.h"

/* An event of the text format, which waits for the lines of its block. Zero is none. */
struct log_json {
    struct text event; /* without its last brace; owned */
    bool has_block;
};

/* Adds what is whole with this line, a line each: nothing, the event before it, itself, or both. */
void log_json_take(struct log_json *json, struct text *out, const struct log_line *line);

/* Adds the event that waits, if there is one. */
void log_json_release(struct log_json *json, struct text *out);
void log_json_finish(struct log_json *json);

#endif
