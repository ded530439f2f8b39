/* SPDX-License-Identifier: MIT */
/*
 * stream.h - what formats that send a line for each value have in common.
 *
 * The chunk path is here: stream_value() copies a prefix that was formatted once per run, turns
 * msgpack into JSON in place, and closes the line; nothing is allocated.
 */
#ifndef DISPATCHER_STREAM_H
#define DISPATCHER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/api/answer.h"
#include "millrace/check.h"

/* Copied whole to the end of each line, wherever the text in it ends. */
#define STREAM_TAIL_ROOM 24u
#define STREAM_LINE_TAIL "],\"error\":null}\n"

/* In what formats of this kind differ. */
struct stream_words {
    const char *content_type;
    const char *line_head;            /* before the JSON of a line */
    char line_tail[STREAM_TAIL_ROOM]; /* from the end of its outputs on */
    const char *keepalive;            /* between lines */
    const char *failure_head;         /* before the last line of a run that failed */
    const char *line_end;             /* after a last line and its newline */
    const char *end;                  /* after all lines */
    const char *failure_type;         /* content type of a failure without a stream; NULL: JSON */
    bool begins_failed;               /* a failure with status 200 is told in a stream */
};

/* The functions of their sinks. */
void stream_begin(struct sink *sink, const struct run *run, const struct stream_words *words);
void stream_known(struct sink *sink, const struct run *run);
int stream_value(struct sink *sink, struct run *run, const uint8_t *data, size_t bytes,
                 uint64_t charge) MUST_USE;
void stream_keepalive(struct sink *sink, struct run *run);
int stream_finish(struct sink *sink, struct run *run, const struct run_failure *failure);
int stream_drop(struct sink *sink, struct run *run);

#endif
