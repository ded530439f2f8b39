/* SPDX-License-Identifier: MIT */
/*
 * device_fsm.h - whether a device can be used, as one table. Its workers' states are another thing:
 * worker_fsm.h.
 */
#ifndef DISPATCHER_DEVICE_FSM_H
#define DISPATCHER_DEVICE_FSM_H

enum device_state {
    DEVICE_OK = 0,
    DEVICE_SUSPECT, /* what failed on it may have been the process, or the device: it is probed */
    DEVICE_LOST,    /* it cannot be used; it is probed now and again */
    DEVICE_STATE_COUNT
};

enum device_event {
    DEVICE_EV_PROCESS_FAULT = 0, /* a process failed on it; its memory there may be anything */
    DEVICE_EV_DEVICE_FAULT,      /* its driver says that it failed itself */
    DEVICE_EV_VANISHED,          /* it is not among those that are found any more */
    DEVICE_EV_PASSED,            /* a fresh process could use it */
    DEVICE_EV_NOT_PASSED,        /* it could not, or its driver hangs */
    DEVICE_EV_COUNT
};

enum device_action {
    DEVICE_ACT_INVALID = 0, /* cannot happen: abort */
    DEVICE_ACT_NONE,
    DEVICE_ACT_PROBE,    /* a fresh process tries it, before another worker starts on it */
    DEVICE_ACT_TAKE_OUT, /* its workers end now, and it is probed soon */
    DEVICE_ACT_WAIT,     /* it is probed again, later and later */
    DEVICE_ACT_RELEASE,  /* workers start on it again */
    DEVICE_ACT_COUNT
};

struct device_step {
    enum device_state next;
    enum device_action action;
};

/* Aborts on a pair that cannot happen, naming both. */
struct device_step device_fsm_step(enum device_state state, enum device_event event);

const char *device_state_name(enum device_state state);
const char *device_event_name(enum device_event event);
const char *device_action_name(enum device_action action);

/* The cell itself, for tests and diagrams; action DEVICE_ACT_INVALID where there is none. */
struct device_step device_fsm_cell(enum device_state state, enum device_event event);

#endif
