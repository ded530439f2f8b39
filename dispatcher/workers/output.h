/* SPDX-License-Identifier: MIT */
/*
 * output.h - what processes print on stdout and stderr, as lines of the log.
 */
#ifndef DISPATCHER_OUTPUT_H
#define DISPATCHER_OUTPUT_H

#include <stdbool.h>

#include "dispatcher/reactor/log.h"
#include "dispatcher/workers/worker.h"

struct fleet;
struct uring_event;

/* Of the process that is, or is about to be, in the worker's place. */
struct output *output_of(struct worker *worker);

/* Reads the pipes, which are open, from now on. */
void output_begin(struct fleet *fleet, struct worker *worker);

/* The run of a worker that has one at a time is about to end: what it wrote so far, read or not, is
 * its own, and the next run's output begins behind it. */
void output_run_ends(struct fleet *fleet, struct worker *worker);

/* Reads that waited since too much was printed are made. */
void output_go_on(struct fleet *fleet, struct worker *worker);

/* The process is gone. What it printed last is in its pipes, and read to the end; but what it
 * started may hold them open, so that has a bound. */
void output_end(struct fleet *fleet, struct worker *worker);

/* Whether the pipes of the next process have a place. If not, the last but one process is given up,
 * and a moment later they have. */
bool output_has_room(struct fleet *fleet, struct worker *worker);

/* Whether anything is still read. */
bool output_is_read(const struct worker *worker);

/* Closes pipes that are not read. */
void output_close(struct output *output);

/* A read is done; or what the process before has left takes too long. */
void output_on_read(struct fleet *fleet, const struct uring_event *event);
void output_on_timer(struct fleet *fleet, struct output *output);

/* A line user code printed, into the log within the rate bound. `run_id` NULL: of no run. */
void output_log(struct fleet *fleet, struct worker *worker, enum log_level level,
                const char *run_id, const char *stream, const char *text, size_t count);

/* Logs how many lines of each worker were left out since the last time. */
void output_log_suppressed(struct fleet *fleet);

#endif
