/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the one event loop: all state of a running server, and its passes.
 *
 * A pass, in this order, each step bounded:
 *
 *     wait       io_uring_enter: submits what the last pass queued, reaps what is done
 *     events     completions, by kind: accepted, received, sent, woken, exited
 *     drain      records of every worker's reply ring become lines
 *     schedule   queued runs get free slots
 *     timers     deadlines that passed
 *     flush      one send for each connection that has something and none in flight
 *     wake       workers for which something was published and who sleep
 */
#ifndef DISPATCHER_LOOP_H
#define DISPATCHER_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dispatcher/config/config.h"
#include "dispatcher/http/front.h"
#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/reader/reading.h"
#include "dispatcher/runs/history.h"
#include "dispatcher/runs/id_index.h"
#include "dispatcher/runs/metrics.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/workers/oom.h"
#include "dispatcher/workers/spawner.h"
#include "dispatcher/workers/supervisor.h"
#include "dispatcher/workers/worker.h"

enum loop_state {
    LOOP_SERVING = 0,
    LOOP_DRAINING, /* no new runs; running ones may finish until stop_ms */
    LOOP_STOPPING, /* all runs were cancelled; workers are going */
    LOOP_STOPPED,
    LOOP_STATE_COUNT
};

struct loop {
    const struct config *config;
    enum loop_state state;
    int exit_code;
    bool start_is_said; /* the ready line was printed */

    struct reactor reactor;
    struct input_memory input; /* what has arrived of requests, and runs that wait */
    uint64_t unfinished_bytes; /* held for values of which only fragments have come */
    uint64_t collected_bytes;  /* held of results that are being collected */

    struct front front;

    struct run *runs; /* run_count_max of them */
    struct run *run_free;
    struct run **newest;       /* of each owner's, of those that are queued or active */
    struct id_index run_index; /* of them */
    uint32_t run_count;

    struct pipeline pipelines[PIPELINE_COUNT_MAX];
    uint32_t pipeline_count;
    struct worker *workers;
    uint32_t worker_count;
    struct spawner spawner; /* starts their processes */
    struct timer spawner_timer;
    struct timer offer_timer; /* a run that could not be offered may be now */
    struct reading reading;   /* of large bodies */

    int signal_fd;
    uint8_t signal_bytes[128];
    struct timer stop_timer;
    struct timer noise_timer;  /* workers are paused */
    struct timer output_timer; /* lines of user code were left out of the log */

    uint8_t *record; /* private copy of the record being handled */

    struct history history;
    struct metrics metrics;
    struct oom_watch oom;
    char group_folder[PATH_MAX]; /* above the control groups of workers; "": none is limited */
};

/* Everything but the processes. 0 or an exit code, after one line on stderr. */
int loop_init(struct loop *loop, const struct config *config) MUST_USE;
void loop_finish(struct loop *loop);

/* Runs until the loop is stopped. */
void loop_run(struct loop *loop);

/* One pass without the wait: all that there is to do now. True when there is more to do at once. */
bool loop_pass(struct loop *loop);

/* No new runs; running ones finish within the limit, then they are cancelled. A second call stops
 * at once. */
void loop_stop(struct loop *loop);

/* loop_start.c: prints the ready line once every worker is ready or failed, or gives up when no
 * pipeline can be loaded. */
void loop_start_check(struct loop *loop);

/* loop_stop.c: the steps of stopping. */
void loop_on_stop_timer(struct loop *loop);
void loop_stop_check(struct loop *loop);

/* Lookups by reference; NULL when the generation moved on. */
struct worker *loop_worker(struct loop *loop, struct uring_ref ref);

/* One of the pipeline's worker_count places, a spare one included. */
static inline struct worker *loop_place(const struct loop *loop, const struct pipeline *pipeline,
                                        uint32_t place)
{
    mr_assert(place < pipeline->worker_count);
    return &loop->workers[pipeline->worker_first + place];
}

#endif
