/* SPDX-License-Identifier: MIT */
/*
 * run_fsm.h - everything that can happen to a run, as a pure, total table.
 *
 * "Every run ends exactly once": the client is answered only on the arrows out of STAGING, QUEUED
 * and ACTIVE, and nothing leads back to them.
 */
#ifndef DISPATCHER_RUN_FSM_H
#define DISPATCHER_RUN_FSM_H

#include <stdbool.h>

enum run_state {
    RUN_FREE = 0,   /* no run */
    RUN_STAGING,    /* accepted; the files that its inputs name are brought */
    RUN_QUEUED,     /* admitted, waits for a slot */
    RUN_ACTIVE,     /* on a slot; its client gets what the worker sends */
    RUN_CANCELLING, /* answered or abandoned; waits for the worker to let go of the slot */
    RUN_STATE_COUNT
};

enum run_event {
    RUN_EV_ADMIT = 0,   /* accepted, and all that it needs is there */
    RUN_EV_STAGE,       /* accepted, and its files are not there yet */
    RUN_EV_ASSIGN,      /* a slot is free */
    RUN_EV_CHUNK,       /* a whole value arrived */
    RUN_EV_END,         /* the worker says completed */
    RUN_EV_ERROR,       /* the worker says failed */
    RUN_EV_WORKER_LOST, /* it died or was given up */
    RUN_EV_CLIENT_GONE, /* nobody reads any more */
    RUN_EV_CANCEL,      /* asked for, or for a reason of ours: the client gets an error */
    RUN_EV_GRACE_OVER,  /* a cancelled run did not end in time */
    RUN_EV_COUNT
};

enum run_action {
    RUN_ACT_INVALID = 0, /* cannot happen: abort */
    RUN_ACT_NONE,        /* may happen, changes nothing */
    RUN_ACT_WAIT,        /* for its files */
    RUN_ACT_WAIT_AGAIN,  /* likewise, out of the queue */
    RUN_ACT_QUEUE,       /* put it into the pipeline's queue */
    RUN_ACT_OFFER,       /* give it to the worker */
    RUN_ACT_LINE,        /* write the value's line */
    RUN_ACT_COMPLETE,    /* answer "completed", free the slot and the run */
    RUN_ACT_FAIL,        /* answer "failed", free what it holds */
    RUN_ACT_DROP,        /* nobody to answer: free what it holds */
    RUN_ACT_TELL_WORKER, /* nobody to answer: set the cancel word */
    RUN_ACT_FAIL_AND_TELL_WORKER,
    RUN_ACT_RELEASE, /* answered long ago: free the slot and the run */
    RUN_ACT_KILL_WORKER,
    RUN_ACT_COUNT
};

/* Somebody waits for it: it can be found, and cancelled. */
static inline bool run_is_live(enum run_state state)
{
    return state == RUN_STAGING || state == RUN_QUEUED || state == RUN_ACTIVE;
}

struct run_step {
    enum run_state next;
    enum run_action action;
};

/* Aborts on a pair that cannot happen, naming both. */
struct run_step run_fsm_step(enum run_state state, enum run_event event);

const char *run_state_name(enum run_state state);
const char *run_event_name(enum run_event event);
const char *run_action_name(enum run_action action);

/* The cell itself, for tests and diagrams; action RUN_ACT_INVALID where there is none. */
struct run_step run_fsm_cell(enum run_state state, enum run_event event);

#endif
