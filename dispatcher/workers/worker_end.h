/* SPDX-License-Identifier: MIT */
/*
 * worker_end.h - why a worker's process ended, in one word.
 */
#ifndef DISPATCHER_WORKER_END_H
#define DISPATCHER_WORKER_END_H

#include "dispatcher/workers/worker_fsm.h"

enum worker_end {
    WORKER_END_CRASHED = 0,     /* a signal that the server did not send */
    WORKER_END_EXITED,          /* by itself, although nobody had asked it to */
    WORKER_END_FAILED,          /* it said that it cannot load or start, or did not warm up */
    WORKER_END_OOM,             /* the kernel killed it for memory */
    WORKER_END_START_TIMEOUT,   /* killed: it was not ready in time */
    WORKER_END_STOP_TIMEOUT,    /* killed: it was asked to go and did not */
    WORKER_END_HUNG,            /* killed: a cancelled run did not let go of its slot */
    WORKER_END_CORRUPT,         /* killed: what it wrote or said cannot be read */
    WORKER_END_RECYCLED_RUNS,   /* replaced: it ran as many runs as it may */
    WORKER_END_RECYCLED_MEMORY, /* replaced: it grew too large */
    WORKER_END_RECYCLED_DEVICE, /* replaced: its device is in an unknown state */
    WORKER_END_RENEWED,         /* replaced: somebody asked for new code */
    WORKER_END_DEVICE_LOST,     /* killed: nothing can be done on its device any more */
    WORKER_END_NOT_STARTED,     /* no process could be made */
    WORKER_END_STOPPED,         /* the server stops; nothing follows */
    WORKER_END_COUNT
};

/* Why a worker is killed that got `event` in `state`. */
enum worker_end worker_end_of_kill(enum worker_state state, enum worker_event event);

/* "crashed" ... as the metrics have it. */
const char *worker_end_name(enum worker_end end);

#endif
