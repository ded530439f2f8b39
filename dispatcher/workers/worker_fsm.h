/* SPDX-License-Identifier: MIT */
/*
 * worker_fsm.h - everything that can happen to a worker's place, as a pure, total table.
 *
 * A place is filled by one process after another; what is told apart here is what the supervisor
 * may do with it now.
 */
#ifndef DISPATCHER_WORKER_FSM_H
#define DISPATCHER_WORKER_FSM_H

enum worker_state {
    WORKER_EMPTY = 0, /* no process; waits for its back-off, or for ever when stopping */
    WORKER_SPARE,     /* no process; waits until it is called to take another worker's place */
    WORKER_SPAWNING,  /* the spawner was asked for a process and has not answered yet */
    WORKER_STARTING,  /* there is a process; nothing heard yet */
    WORKER_LOADED,    /* said HELLO; startup hooks are running */
    WORKER_WARMING,   /* said READY; its warm-up is running, if there is one */
    WORKER_READY,     /* takes runs */
    WORKER_OUTGOING,  /* takes runs until its successor, which starts beside it, is ready */
    WORKER_RETIRING,  /* finishes its runs, then exits and is replaced; takes no new ones */
    WORKER_STOPPING,  /* asked to finish and exit; takes no new runs */
    WORKER_DYING,     /* SIGKILL was sent; waits for the pidfd */
    WORKER_STATE_COUNT
};

enum worker_event {
    WORKER_EV_START = 0,    /* back-off is over, or the server starts */
    WORKER_EV_STARTED,      /* the spawner has made it */
    WORKER_EV_START_FAILED, /* there is no process, or it could not become the worker */
    WORKER_EV_SPAWNER_LOST, /* the spawner ended before it answered, or took too long */
    WORKER_EV_HELLO,
    WORKER_EV_READY,
    WORKER_EV_FAILED,      /* it says that it cannot load or start */
    WORKER_EV_PROGRESS,    /* it says how far it is with its start */
    WORKER_EV_WARM,        /* its warm-up is over, or there is none */
    WORKER_EV_COLD,        /* its warm-up failed, or cannot be */
    WORKER_EV_CUT,         /* its warm-up yields for longer than a start may take */
    WORKER_EV_MISBEHAVED,  /* garbage in its segment or on its socket */
    WORKER_EV_HUNG,        /* a cancelled run does not let go of its slot */
    WORKER_EV_TIMEOUT,     /* of start, or of the grace to stop */
    WORKER_EV_RETIRE,      /* it served long enough, grew too large, or broke its device */
    WORKER_EV_HAND_OVER,   /* likewise, and its device holds a successor beside it */
    WORKER_EV_RELIEVED,    /* its successor is ready */
    WORKER_EV_STAY,        /* its successor did not start */
    WORKER_EV_DISMISSED,   /* it did not start, and whom it was to follow stays */
    WORKER_EV_ORPHANED,    /* it was called, and whom it was to follow is gone before it began */
    WORKER_EV_STOP,        /* the server drains */
    WORKER_EV_DEVICE_LOST, /* nothing can be done on its device any more */
    WORKER_EV_EXIT,        /* the pidfd fired: exit code 0 */
    WORKER_EV_DIED,        /* likewise: another code, or a signal */
    WORKER_EV_GONE,        /* likewise, either of them, of one that has a successor */
    WORKER_EV_COUNT
};

enum worker_action {
    WORKER_ACT_INVALID = 0,  /* cannot happen: abort */
    WORKER_ACT_NONE,         /* may happen, changes nothing */
    WORKER_ACT_SPAWN,        /* make the segment, ask the spawner for a process on it */
    WORKER_ACT_WATCH,        /* hear the process, and arm the start timeout */
    WORKER_ACT_RETRY,        /* free all, tell the reason, arm the back-off */
    WORKER_ACT_ASK_AGAIN,    /* likewise, but there is nothing to tell: it is nobody's failure */
    WORKER_ACT_LEARN,        /* take over its variables */
    WORKER_ACT_WARM_UP,      /* give it a run of nobody, and arm the start timeout again */
    WORKER_ACT_CUT,          /* cancel that, and arm the grace timer */
    WORKER_ACT_SERVE,        /* give it runs */
    WORKER_ACT_NOTE_FAILURE, /* keep the reason for clients; it exits by itself */
    WORKER_ACT_GO_ON,        /* it lives: arm the start timeout again */
    WORKER_ACT_KILL,         /* SIGKILL to its process group */
    WORKER_ACT_CALL,         /* the spare place becomes its successor */
    WORKER_ACT_KEEP,         /* it has no successor any more, who is dismissed */
    WORKER_ACT_DISMISS,      /* no back-off: the place is the spare one again */
    WORKER_ACT_INHERIT,      /* its number is its own, and it starts like any other */
    WORKER_ACT_RETIRE,       /* STOP record; it may take its time with its runs */
    WORKER_ACT_ASK_STOP,     /* STOP record, arm the grace timer */
    WORKER_ACT_RECLAIM,      /* drain its ring, end its runs, free all; arm the back-off, if any */
    WORKER_ACT_REPLACE,      /* likewise, but the next process starts at once */
    WORKER_ACT_RECLAIM_LAST, /* likewise, but nothing follows: the server stops */
    WORKER_ACT_MAKE_SPARE,   /* likewise, but its successor is elsewhere: this is the spare place */
    WORKER_ACT_COUNT
};

struct worker_step {
    enum worker_state next;
    enum worker_action action;
};

/* Aborts on a pair that cannot happen, naming both. */
struct worker_step worker_fsm_step(enum worker_state state, enum worker_event event);

const char *worker_state_name(enum worker_state state);
const char *worker_event_name(enum worker_event event);
const char *worker_action_name(enum worker_action action);

/* The cell itself, for tests and diagrams; action WORKER_ACT_INVALID where there is none. */
struct worker_step worker_fsm_cell(enum worker_state state, enum worker_event event);

#endif
