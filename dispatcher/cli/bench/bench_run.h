/* SPDX-License-Identifier: MIT */
/*
 * bench_run.h - a load run from its first connection to its last: the loop around the clients.
 */
#ifndef DISPATCHER_BENCH_RUN_H
#define DISPATCHER_BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/cli/bench/bench_conn.h"

struct bench_shape {
    uint32_t connections;
    uint32_t slow, leavers; /* of the connections, in this order */
    uint32_t idle;          /* more connections, which send nothing */
    uint64_t ramp_ns;       /* the clients begin spread over it; 0: all at once */
    uint64_t warmup_ns;     /* what comes before is not counted */
    uint64_t duration_ns;   /* all of it */
    bool shows_progress;    /* on stderr, once a second */
};

/* Runs it and leaves the outcome in plan->stats. 0, or negative errno when there is no memory or
 * there are no descriptors for it. Raises the descriptor limit as far as it goes; idle connections
 * beyond it are left out. */
int bench_run(struct bench_plan *plan, const struct bench_shape *shape) MUST_USE;

#endif
