/* SPDX-License-Identifier: MIT */
/*
 * step_loop.h - the life of a worker whose pipeline is an engine (pipeline_engine.h).
 *
 *   turn of the worker's engine -> evict who is lost -> admit who waits -> step -> ...
 *
 * A run that is lost is evicted before the next step. The loop sleeps when there is no run in, or
 * step() said that it has nothing to do, and until something comes that could change that.
 */
#ifndef WORKER_STEP_LOOP_H
#define WORKER_STEP_LOOP_H

#include "worker/engine/waker.h"
#include "worker/step/step_host.h"
#include "worker/step/step_run.h"

struct step_loop {
    struct host host; /* first: the worker's engine's view of it */
    struct engine engine;
    struct step_runs runs;
    struct step_host *pipeline; /* borrowed: who has the pipeline's engine */
    struct waker_queue woken;
    struct mr_waker *waker; /* held; NULL until the pipeline asks for it */
};

/* Also pipelines' threads use it, until the last instruction of the process. There is one. 0 or
 * -ENOMEM. */
int step_loop_init(struct step_loop *loop, struct context *context,
                   struct step_host *pipeline) MUST_USE;
void step_loop_finish(struct step_loop *loop);

/* When the startup hooks are through and before READY: tells how many runs the engine takes. */
void step_loop_say_capacity(struct step_loop *loop);

/* Runs until a STOP record came and the last run ended. */
void step_loop_run(struct step_loop *loop);

/* One round, which never waits; `due_ns` is 0 when the next one is due at once, else when:
 * CLOCK_NEVER is at no time. False when step_loop_run() would end. */
bool step_loop_round(struct step_loop *loop, uint64_t *due_ns);

/* The waker of the engine, held once more; NULL: there is no loop yet, or no memory. */
struct mr_waker *step_loop_waker(void);

#endif
