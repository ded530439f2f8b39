/* SPDX-License-Identifier: MIT */
/*
 * batch_run.h - runs that stand before a batched pipe, in lists.
 */
#ifndef WORKER_BATCH_RUN_H
#define WORKER_BATCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/native/graph_run.h"

struct batch_list {
    struct batch_run *first, *last;
    uint32_t count;
};

/* One for each slot, in one list at most. */
struct batch_run {
    struct graph_execution execution;
    uint64_t came_ns; /* to the pipe that it stands before */
    struct batch_list *list;
    struct batch_run *before, *behind;
};

/* Takes the run out of the list that it is in, if it is in one. */
void batch_run_take_out(struct batch_run *run);

/* Puts it behind the others of a list. */
void batch_run_move(struct batch_run *run, struct batch_list *list);

/* Was it cancelled? */
bool batch_run_is_cancelled(const struct batch_run *run);

#endif
