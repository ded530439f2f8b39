/* SPDX-License-Identifier: MIT */
/*
 * deadline.h - how long a run may take in each phase, and which limit it reaches next. Pure: time
 * is an argument, nothing is done here.
 */
#ifndef DISPATCHER_DEADLINE_H
#define DISPATCHER_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/runs/run_fsm.h"

enum deadline_kind {
    DEADLINE_NONE = 0,
    DEADLINE_QUEUE,       /* waits for a worker */
    DEADLINE_FIRST_CHUNK, /* runs, and nothing came yet */
    DEADLINE_PROGRESS,    /* no chunk, and no sign of life of the worker's runtime */
    DEADLINE_TOTAL,       /* since it was created */
    DEADLINE_KEEPALIVE,   /* its client has heard nothing for long */
    DEADLINE_GRACE,       /* cancelled, and the worker has not let go */
    DEADLINE_KIND_COUNT
};

/* Limits in ms; 0 = none. */
struct deadline_limits {
    uint32_t queue_ms, first_chunk_ms, progress_ms, total_ms, keepalive_ms, grace_ms;
};

/* What is known of a run; times are monotonic ms. */
struct deadline_view {
    enum run_state state;
    uint64_t created_ms, queued_ms, started_ms, cancelled_ms;
    uint64_t last_chunk_ms; /* 0: none came */
    uint64_t last_line_ms;  /* written to the client, or the creation */
    uint64_t alive_ms;      /* the worker's runtime was, or will be, alive then; 0: unknown */
    bool waits_for_client;  /* its window is used up: silence is not the worker's fault */
};

/* The next limit and when it is reached; DEADLINE_NONE: there is none. */
enum deadline_kind deadline_next(const struct deadline_view *view,
                                 const struct deadline_limits *limits, uint64_t *due_ms);

/* What the client is told when the limit is reached. */
void deadline_message(enum deadline_kind kind, const struct deadline_limits *limits, char *text,
                      size_t text_bytes);

#endif
