/* SPDX-License-Identifier: MIT */
/*
 * line.h - the text of results: lines of a stream, and the one result of a plain run.
 *
 * The chunk path is here: line_write() copies a prefix that was formatted once per run, turns
 * msgpack into JSON in place, and closes the line; nothing is allocated.
 */
#ifndef DISPATCHER_LINE_H
#define DISPATCHER_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/runs/run.h"
#include "millrace/check.h"

/* Formats the constant part of a run's lines. Once, when the run is created. */
void line_prefix_init(struct loop *loop, struct run *run);

/* Writes one value as a line (or event) to the run's connection, with the head before the first
 * one. 0; -EILSEQ, -ELOOP, -EBADMSG as json_out_outputs(); -ENOMEM: no room for it. */
int line_write(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes,
               uint64_t charge) MUST_USE;

/* RESULT mode: keeps the values of one chunk. Results as line_write(), -EFBIG: too much. */
int line_collect(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes) MUST_USE;

/* RESULT mode: what was collected, as the JSON text of "outputs". */
void line_outputs(struct loop *loop, const struct run *run, struct text *outputs);

/* Ends the answer of a completed run. */
void line_complete(struct loop *loop, struct run *run);

/* Ends the answer of a failed run: a last line when the stream has begun, else a response. */
void line_fail(struct loop *loop, struct run *run, const struct run_failure *failure);

/* A blank line, so that proxies keep the connection. */
void line_keepalive(struct loop *loop, struct run *run);

/* Any result as text. */
struct line_result {
    const char *id, *pipeline_id, *state;
    double created_at, updated_at;
    long queue_position;               /* -1: null */
    int64_t line_count;                /* -1: not said */
    const struct text *outputs;        /* JSON text of the array; NULL: null */
    const struct run_failure *failure; /* NULL: no error */
};

/* Adds the result's line, newline included. */
void line_format(struct text *text, const struct line_result *result);

#endif
