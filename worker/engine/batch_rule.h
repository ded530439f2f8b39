/* SPDX-License-Identifier: MIT */
/*
 * batch_rule.h - when the calls of a batched pipe that wait are made, as one.
 *
 * At once when the batch is full, or nobody else can come; else when another one is not worth
 * waiting for. Waiting costs each that waits the time until it comes, and the time that it takes
 * itself; it spares what a call costs whatever is in it. A batch waits only where there were others
 * a moment ago: a call that is alone never does.
 *
 * A pure function: what is learned is batch_model.h.
 */
#ifndef WORKER_BATCH_RULE_H
#define WORKER_BATCH_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/batch_model.h"

/* As they were said. */
struct batch_limits {
    uint32_t count_max; /* items of a call */
    uint64_t wait_ns;   /* once it could be made, at most */
};

/* What is wrong with the limits, of a pipeline that has a batched pipe or none, where a worker has
 * so many runs at once: for the log. NULL: nothing. `is_asked`: one was said for this pipeline. */
const char *batch_limits_doubt(const struct batch_limits *limits, bool has_pipe, bool is_asked,
                               uint32_t run_count);

/* How things stand. */
struct batch_moment {
    uint64_t now_ns;
    uint64_t oldest_ns;     /* since when the first of those waits that do, */
    uint64_t newest_ns;     /* and the last */
    uint32_t waiting_count; /* calls that wait for the pipe */
    uint32_t coming_count;  /* others that could come to it: free places, runs before it */
    bool has_other_work;    /* of the worker, which then looks again too late */
};

/* 0: make the call now, of as many as may be in one. A time: ask again then, or when something has
 * changed. CLOCK_NEVER: only when something has: nothing waits, or a call is being made. */
uint64_t batch_rule_due_ns(const struct batch_limits *limits, const struct batch_model *model,
                           const struct batch_moment *moment);

#endif
