/* SPDX-License-Identifier: MIT */
/*
 * batch_loop.h - the life of a worker whose graph has batched pipes (pipeline_batch.h).
 *
 *   turn of the worker's engine -> end who was cancelled -> call pipes whose batch is due -> ...
 *
 * A run goes through its graph until it stands before a batched pipe, and is kept there: for the
 * worker's engine it is driven meanwhile (host.h). Behind the last pipe the engine takes it over.
 * The loop sleeps once until a batch is due, or until something comes (batch_rule.h).
 */
#ifndef WORKER_BATCH_LOOP_H
#define WORKER_BATCH_LOOP_H

#include "worker/engine/batch_rule.h"
#include "worker/engine/engine.h"
#include "worker/native/batch_call.h"

struct batch_pipe {
    uint32_t index; /* of the pipe in the graph */
    struct run_list waiting;
    struct batch_model model;
};

struct batch_loop {
    struct host host; /* first: the worker's engine's view of it */
    struct engine engine;
    const struct mr_builder *graph; /* borrowed; has batched pipes */
    struct batch_limits limits;     /* no larger than the slots that there are */
    struct batch_run *runs;         /* owned; of each slot */
    struct batch_pipe *pipes;       /* owned; pipe_count of them, in order */
    uint32_t pipe_count;
    struct run_list lost; /* to be ended before the next call */
    struct batch_call call;
    struct buffer scratch; /* for results of other pipes */
};

/* 0 or -ENOMEM. */
int batch_loop_init(struct batch_loop *loop, struct context *context,
                    const struct mr_builder *graph, const struct batch_limits *limits) MUST_USE;
void batch_loop_finish(struct batch_loop *loop);

/* Runs until a STOP record came and the last run ended. */
void batch_loop_run(struct batch_loop *loop);

/* One round, which never waits; `due_ns` is 0 when the next one is due at once, else when:
 * CLOCK_NEVER is at no time. False when batch_loop_run() would end. */
bool batch_loop_round(struct batch_loop *loop, uint64_t *due_ns);

#endif
