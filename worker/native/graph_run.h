/* SPDX-License-Identifier: MIT */
/*
 * graph_run.h - executes a graph's pipes for one run, and its startup hooks.
 *
 * A graph with batched pipes is executed in parts: the run stands before each of them until it is
 * called, with others (batch.h), and goes on then.
 */
#ifndef WORKER_GRAPH_RUN_H
#define WORKER_GRAPH_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "worker/engine/buffer.h"
#include "worker/engine/error.h"
#include "worker/engine/graph.h"
#include "worker/engine/job.h"

/* One call of one pipe or startup hook; lives while it runs. */
struct mr_call {
    const struct mr_builder *graph;
    struct job *job; /* NULL: a startup hook */
    const struct mr_object *const *arguments;
    size_t argument_count;
    struct error *error;
    bool has_iterator;
    struct mr_iterator iterator;
    struct mr_value value;
};

/* What a variable holds in one run. */
struct graph_result {
    const struct mr_object *object; /* set when it is an argument, and for inputs */
    const uint8_t *packed;          /* set when it is a plain output */
    size_t packed_bytes;
    bool has_iterator;
    struct mr_iterator iterator;
    const char *name; /* of the pipe */
};

/* One execution, while it lasts. All memory is the run's. */
struct graph_execution {
    const struct mr_builder *graph;
    struct job *job;
    struct buffer *scratch;       /* borrowed; for results */
    struct error *error;          /* likewise; the worker's */
    struct graph_result *results; /* one for each variable */
    uint32_t next;                /* of the pipes, the one that is next */
};

/* What graph_go_on() came to, besides a failure. */
enum graph_progress {
    GRAPH_STARTED = 0, /* all pipes are through: the run's line is started */
    GRAPH_STANDS = 1   /* the next pipe is batched */
};

/* Answers a call with an iterator; a second one is closed and a failure. */
int call_return_stream(struct mr_call *call, const struct mr_iterator *iterator);

/* Checks the inputs, runs the pipes in order and starts the run's line, of a graph without batched
 * pipes. `scratch` is for results. 0, or a negative number with `failure` set and every iterator
 * closed. */
int graph_run(const struct mr_builder *graph, struct job *job, struct buffer *scratch,
              struct error *error) MUST_USE;

/* The same in parts. Begins: checks the inputs. 0, or as above. */
int graph_begin(struct graph_execution *execution) MUST_USE;

/* Runs the pipes until one is batched. An enum graph_progress, or as above. */
int graph_go_on(struct graph_execution *execution) MUST_USE;

/* Fills the call of the next pipe, whose result is packed into `scratch` and whose failure is
 * `error`'s. `arguments` is for the call, and has room for as many as the pipe has. */
void graph_open_call(const struct graph_execution *execution, struct mr_call *call,
                     const struct mr_object **arguments, struct buffer *scratch,
                     struct error *error);

/* Takes the result of that call, whose function returned `rc`, and passes the pipe. 0, or a
 * negative number with the call's error set; what it gave out goes with graph_close(). */
int graph_close_call(struct graph_execution *execution, struct mr_call *call, int rc) MUST_USE;

/* Closes all iterators of a run whose line will not be started. */
void graph_close(struct graph_execution *execution);

/* Runs the hooks for what workers have in common, and those of each worker. Results as above. */
int graph_preload(const struct mr_builder *graph, struct error *error) MUST_USE;
int graph_start_up(const struct mr_builder *graph, struct error *error) MUST_USE;

#endif
