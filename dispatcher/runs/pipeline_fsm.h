/* SPDX-License-Identifier: MIT */
/*
 * pipeline_fsm.h - what a pipeline can be for those who ask for runs, as a pure, total table.
 *
 * Its workers each have a table of their own (worker_fsm.h); here is only what follows from all of
 * them together: whether runs are taken, wait, or are refused, and with what reason.
 * It is a circuit breaker: closed (READY), open (QUARANTINED), half-open (TRIAL).
 */
#ifndef DISPATCHER_PIPELINE_FSM_H
#define DISPATCHER_PIPELINE_FSM_H

enum pipeline_state {
    PIPELINE_LOADING = 0, /* no worker has been ready yet, and none has failed */
    PIPELINE_FAILED,      /* no worker has been ready yet, and one has failed: that is the answer */
    PIPELINE_READY,       /* takes runs */
    PIPELINE_RESTARTING,  /* no worker is ready now, and one soon will be: runs wait */
    PIPELINE_QUARANTINED, /* its workers die again and again: runs are refused with the reason */
    PIPELINE_TRIAL,       /* likewise, but a worker is ready: one run at a time may prove it */
    PIPELINE_IDLE,        /* no worker is wanted: the first run that comes starts one */
    PIPELINE_WAKING,      /* that one starts: runs wait, and are answered if it does not */
    PIPELINE_STATE_COUNT
};

enum pipeline_event {
    PIPELINE_EV_SERVED = 0, /* a worker is ready */
    PIPELINE_EV_FAILED,     /* a worker did not load or start, or died */
    PIPELINE_EV_LOST,       /* no worker is ready any more */
    PIPELINE_EV_DOUBTED,    /* one is ready, but each has died --quarantine-after times in a row */
    PIPELINE_EV_GIVEN_UP,   /* likewise, and none is ready */
    PIPELINE_EV_PROVED,     /* a run was brought to its end, or a trial went well for long enough */
    PIPELINE_EV_UNWANTED,   /* its workers go: not needed for the idle time, or for others */
    PIPELINE_EV_WANTED,     /* somebody came, or a worker is to be there always */
    PIPELINE_EV_COUNT
};

enum pipeline_action {
    PIPELINE_ACT_INVALID = 0, /* cannot happen: abort */
    PIPELINE_ACT_NONE,        /* may happen, changes nothing */
    PIPELINE_ACT_OPEN,        /* runs are taken; the last reason is forgotten */
    PIPELINE_ACT_CLOSE,       /* log it, refuse who waits */
    PIPELINE_ACT_DOUBT,       /* likewise, and arm the time after which the trial is over */
    PIPELINE_ACT_TRY,         /* arm that time */
    PIPELINE_ACT_REFUSE,      /* refuse who waits */
    PIPELINE_ACT_RELEASE,     /* log it; then as open */
    PIPELINE_ACT_ANSWER,      /* who waits is told why it did not start */
    PIPELINE_ACT_COUNT
};

struct pipeline_step {
    enum pipeline_state next;
    enum pipeline_action action;
};

/* Aborts on a pair that cannot happen, naming both. */
struct pipeline_step pipeline_fsm_step(enum pipeline_state state, enum pipeline_event event);

const char *pipeline_state_name(enum pipeline_state state);
const char *pipeline_event_name(enum pipeline_event event);
const char *pipeline_action_name(enum pipeline_action action);

/* The cell itself, for tests and diagrams; action PIPELINE_ACT_INVALID where there is none. */
struct pipeline_step pipeline_fsm_cell(enum pipeline_state state, enum pipeline_event event);

#endif
