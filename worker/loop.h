/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the worker's life after it is ready: take requests, step runs in turn, sleep.
 */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"
#include "worker/due.h"
#include "worker/host.h"
#include "worker/run.h"
#include "worker/worker.h"

/* Slots in the order in which they are stepped; each is in it once at most. */
struct loop_queue {
    uint32_t *slots; /* owned; slot_count of them */
    uint32_t first;
    uint32_t count;
};

struct loop {
    struct worker *worker; /* borrowed */
    struct host *host;     /* borrowed */
    uint32_t slot_count;
    uint32_t window_bytes;
    struct run *runs; /* owned; slot_count of them */
    struct loop_queue ready;
    struct due due;
    uint32_t *active; /* owned; the slots whose run is not NONE, in any order */
    uint32_t active_count;
    uint32_t watch_next; /* index into active: which waiting run is looked at next */
    bool is_stopping;
};

/* 0 or -ENOMEM. */
int loop_init(struct loop *loop, struct worker *worker, struct host *host) MUST_USE;
void loop_finish(struct loop *loop);

/* Runs until a STOP record came and the last run ended. */
void loop_run(struct loop *loop);

#endif
