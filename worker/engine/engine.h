/* SPDX-License-Identifier: MIT */
/*
 * engine.h - the worker's life after it is ready: take requests, step runs in turn, sleep.
 */
#ifndef WORKER_ENGINE_H
#define WORKER_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"
#include "worker/engine/context.h"
#include "worker/engine/due.h"
#include "worker/engine/host.h"
#include "worker/engine/job.h"

/* Slots in the order in which they are stepped; each is in it once at most. */
struct engine_queue {
    uint32_t *slots; /* owned; slot_count of them */
    uint32_t first;
    uint32_t count;
};

/* A run in JOB_WINDOW, and what had been delivered of it when it was looked at last. */
struct engine_window {
    uint64_t delivered;
    uint32_t slot;
};

struct engine {
    struct context *context; /* borrowed */
    struct host *host;       /* borrowed */
    uint32_t slot_count;
    uint32_t window_bytes;
    struct job *jobs; /* owned; slot_count of them */
    struct engine_queue ready;
    struct due due;
    uint32_t *active; /* owned; the slots whose run is not NONE, in any order */
    uint32_t active_count;
    struct engine_window *windows; /* owned; of them, those in JOB_WINDOW, in any order */
    uint32_t window_count;
    uint32_t window_next;   /* index into windows: which one is looked at next */
    uint32_t watched_count; /* of them, those that wait for a descriptor, too */
    uint32_t watch_next;    /* index into active: which waiting run is looked at next */
    uint64_t looks_seen;    /* of the attachment, when ready descriptors were taken */
    uint64_t cancels_seen;  /* the segment's count when all waiting runs were looked at */
    uint64_t due_ns;        /* when runs were looked for whose time has come */
    uint64_t burst_ns;      /* when the run that is stepped had its turn */
    uint64_t others_tail;   /* of the reply ring, behind the last line of a run that was not due */
    uint32_t due_left;      /* runs that were due in the last pass, and whose turn was cut short */
    bool steps_due;         /* the run being stepped was due */
    bool holds_due; /* runs are due that wait until the dispatcher has read what is in the ring */
    bool is_stopping;
    bool has_driven; /* a run was started that its host drives */
};

/* 0 or -ENOMEM. */
int engine_init(struct engine *engine, struct context *context, struct host *host) MUST_USE;
void engine_finish(struct engine *engine);

/* Runs until a STOP record came and the last run ended, or until a run was started that its host
 * drives: the host goes on with engine_turn() then. */
void engine_run(struct engine *engine);

/* The same for a host that sleeps itself, until the attachment's epoll is readable or `due_ns` has
 * passed (0: at once; CLOCK_NEVER: no time). Never waits. False when engine_run() would end. */
bool engine_turn(struct engine *engine, uint64_t *due_ns);

/* The same for a host that has something to do itself before it sleeps, and then calls
 * engine_turn(): no system call, and the dispatcher need not ring. `due_ns`: 0, or not. */
bool engine_turn_awake(struct engine *engine, uint64_t *due_ns);

/* One line of a driven run that waits for nothing: open, write the outputs array, then send or
 * abort. Log lines and failures are of this run meanwhile. */
struct mr_value *engine_open_line(struct engine *engine, struct job *job);
void engine_abort_line(struct engine *engine);

/* True when it was sent; false when it is kept until the window is open: host->resume() follows. */
bool engine_send_line(struct engine *engine, struct job *job);

/* The host has started the job's lockstep: from now on the engine steps the run, as others. */
void engine_take_over(struct engine *engine, struct job *job);

/* Ends a driven run: as cancelled if it was, else with the worker's error, if one is set. */
void engine_end_driven(struct engine *engine, struct job *job);

#endif
