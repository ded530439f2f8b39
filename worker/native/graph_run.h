/* SPDX-License-Identifier: MIT */
/*
 * graph_run.h - executes a graph's pipes for one run, and its startup hooks.
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

/* Answers a call with an iterator; a second one is closed and a failure. */
int call_return_stream(struct mr_call *call, const struct mr_iterator *iterator);

/* Checks the inputs, runs the pipes in order and starts the run's line. `scratch` is for results.
 * 0, or a negative number with `failure` set and every iterator closed. */
int graph_run(const struct mr_builder *graph, struct job *job, struct buffer *scratch,
              struct error *error) MUST_USE;

/* Runs the hooks for what workers have in common, and those of each worker. Results as above. */
int graph_preload(const struct mr_builder *graph, struct error *error) MUST_USE;
int graph_start_up(const struct mr_builder *graph, struct error *error) MUST_USE;

#endif
