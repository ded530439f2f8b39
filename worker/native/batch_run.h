/* SPDX-License-Identifier: MIT */
/*
 * batch_run.h - runs that stand before a batched pipe, in lists.
 */
#ifndef WORKER_BATCH_RUN_H
#define WORKER_BATCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/run_list.h"
#include "worker/native/graph_run.h"

/* One for each slot, in one list at most. */
struct batch_run {
    struct run_link link; /* first */
    struct graph_execution execution;
    uint64_t came_ns; /* to the pipe that it stands before */
};

/* The run that a link is of; NULL: none. */
static inline struct batch_run *batch_run_of(struct run_link *link)
{
    return (struct batch_run *)(void *)link; /* link is its first member */
}

/* Was it cancelled? */
bool batch_run_is_cancelled(const struct batch_run *run);

#endif
