/* SPDX-License-Identifier: MIT */
/* worker_fsm.c - the worker table. */
#include "dispatcher/workers/worker_fsm.h"

#include "dispatcher/reactor/fsm.h"

/* clang-format off */
static const struct worker_step steps[WORKER_STATE_COUNT][WORKER_EV_COUNT] = {
    [WORKER_EMPTY] = {
        [WORKER_EV_START]        = {WORKER_SPAWNING, WORKER_ACT_SPAWN},
        [WORKER_EV_STOP]         = {WORKER_EMPTY,    WORKER_ACT_NONE},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_EMPTY,    WORKER_ACT_NONE},
        /* Found in its ring, which is drained once more after its death. */
        [WORKER_EV_MISBEHAVED]   = {WORKER_EMPTY,    WORKER_ACT_NONE},
        [WORKER_EV_RETIRE]       = {WORKER_EMPTY,    WORKER_ACT_NONE},
        [WORKER_EV_DISMISSED]    = {WORKER_SPARE,    WORKER_ACT_DISMISS},
    },
    [WORKER_SPARE] = {
        [WORKER_EV_START]        = {WORKER_SPAWNING, WORKER_ACT_SPAWN},
        [WORKER_EV_STOP]         = {WORKER_SPARE,    WORKER_ACT_NONE},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_SPARE,    WORKER_ACT_NONE},
        [WORKER_EV_MISBEHAVED]   = {WORKER_SPARE,    WORKER_ACT_NONE},
        [WORKER_EV_RETIRE]       = {WORKER_SPARE,    WORKER_ACT_NONE},
        [WORKER_EV_DISMISSED]    = {WORKER_SPARE,    WORKER_ACT_DISMISS},
        [WORKER_EV_ORPHANED]     = {WORKER_EMPTY,    WORKER_ACT_INHERIT},
    },
    [WORKER_SPAWNING] = {
        [WORKER_EV_STARTED]      = {WORKER_STARTING, WORKER_ACT_WATCH},
        [WORKER_EV_START_FAILED] = {WORKER_EMPTY,    WORKER_ACT_RETRY},
        [WORKER_EV_SPAWNER_LOST] = {WORKER_EMPTY,    WORKER_ACT_ASK_AGAIN},
        /* Nobody to tell yet. The answer comes soon, and the server asks again in every pass. */
        [WORKER_EV_STOP]         = {WORKER_SPAWNING, WORKER_ACT_NONE},
        /* It is looked at when it has started. */
        [WORKER_EV_DEVICE_LOST]  = {WORKER_SPAWNING, WORKER_ACT_NONE},
    },
    [WORKER_STARTING] = {
        [WORKER_EV_START_FAILED] = {WORKER_EMPTY,    WORKER_ACT_RETRY},
        [WORKER_EV_HELLO]        = {WORKER_LOADED,   WORKER_ACT_LEARN},
        [WORKER_EV_FAILED]       = {WORKER_STARTING, WORKER_ACT_NOTE_FAILURE},
        [WORKER_EV_PROGRESS]     = {WORKER_STARTING, WORKER_ACT_GO_ON},
        /* It takes other inputs than those of its warm-up. */
        [WORKER_EV_COLD]         = {WORKER_DYING,    WORKER_ACT_KILL},
        /* READY before HELLO. */
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_TIMEOUT]      = {WORKER_DYING,    WORKER_ACT_KILL},
        /* It has no runs, and its hooks may take long: no reason to wait for it. */
        [WORKER_EV_STOP]         = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
    },
    [WORKER_LOADED] = {
        [WORKER_EV_READY]        = {WORKER_WARMING,  WORKER_ACT_WARM_UP},
        [WORKER_EV_FAILED]       = {WORKER_LOADED,   WORKER_ACT_NOTE_FAILURE},
        [WORKER_EV_PROGRESS]     = {WORKER_LOADED,   WORKER_ACT_GO_ON},
        /* A second HELLO. */
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_TIMEOUT]      = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_STOP]         = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
    },
    [WORKER_WARMING] = {
        [WORKER_EV_WARM]         = {WORKER_READY,    WORKER_ACT_SERVE},
        [WORKER_EV_COLD]         = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_CUT]          = {WORKER_WARMING,  WORKER_ACT_CUT},
        /* It has said that it is ready. */
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_FAILED]       = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_PROGRESS]     = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_TIMEOUT]      = {WORKER_DYING,    WORKER_ACT_KILL},
        /* Nobody waits for the run that it has. */
        [WORKER_EV_STOP]         = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
    },
    [WORKER_READY] = {
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_FAILED]       = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_PROGRESS]     = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_HUNG]         = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_RETIRE]       = {WORKER_RETIRING, WORKER_ACT_RETIRE},
        [WORKER_EV_HAND_OVER]    = {WORKER_OUTGOING, WORKER_ACT_CALL},
        [WORKER_EV_STOP]         = {WORKER_STOPPING, WORKER_ACT_ASK_STOP},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
    },
    [WORKER_OUTGOING] = {
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_FAILED]       = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_PROGRESS]     = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_HUNG]         = {WORKER_DYING,    WORKER_ACT_KILL},
        /* Its device broke meanwhile: it must not wait for its successor. */
        [WORKER_EV_RETIRE]       = {WORKER_RETIRING, WORKER_ACT_RETIRE},
        [WORKER_EV_RELIEVED]     = {WORKER_RETIRING, WORKER_ACT_RETIRE},
        [WORKER_EV_STAY]         = {WORKER_READY,    WORKER_ACT_KEEP},
        [WORKER_EV_STOP]         = {WORKER_STOPPING, WORKER_ACT_ASK_STOP},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_GONE]         = {WORKER_SPARE,    WORKER_ACT_MAKE_SPARE},
    },
    [WORKER_RETIRING] = {
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_FAILED]       = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_PROGRESS]     = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_HUNG]         = {WORKER_DYING,    WORKER_ACT_KILL},
        /* Its last run is over, and it does not go. */
        [WORKER_EV_TIMEOUT]      = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_RETIRE]       = {WORKER_RETIRING, WORKER_ACT_NONE},
        [WORKER_EV_STOP]         = {WORKER_STOPPING, WORKER_ACT_ASK_STOP},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_REPLACE},
        /* Not what it was asked to do: it has died like any other. */
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_GONE]         = {WORKER_SPARE,    WORKER_ACT_MAKE_SPARE},
    },
    [WORKER_STOPPING] = {
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_FAILED]       = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_PROGRESS]     = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_HUNG]         = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_TIMEOUT]      = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_RETIRE]       = {WORKER_STOPPING, WORKER_ACT_NONE},
        [WORKER_EV_STOP]         = {WORKER_STOPPING, WORKER_ACT_NONE},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_KILL},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM_LAST},
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM_LAST},
        [WORKER_EV_GONE]         = {WORKER_SPARE,    WORKER_ACT_MAKE_SPARE},
    },
    [WORKER_DYING] = {
        /* Said before the signal reached it. */
        [WORKER_EV_HELLO]        = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_READY]        = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_FAILED]       = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_PROGRESS]     = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_MISBEHAVED]   = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_HUNG]         = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_RETIRE]       = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_STOP]         = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_DEVICE_LOST]  = {WORKER_DYING,    WORKER_ACT_NONE},
        [WORKER_EV_EXIT]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_DIED]         = {WORKER_EMPTY,    WORKER_ACT_RECLAIM},
        [WORKER_EV_GONE]         = {WORKER_SPARE,    WORKER_ACT_MAKE_SPARE},
    },
};
/* clang-format on */

static const char *const state_names[WORKER_STATE_COUNT] = {
    [WORKER_EMPTY] = "empty",       [WORKER_SPARE] = "spare",       [WORKER_SPAWNING] = "spawning",
    [WORKER_STARTING] = "starting", [WORKER_LOADED] = "loaded",     [WORKER_WARMING] = "warming",
    [WORKER_READY] = "ready",       [WORKER_OUTGOING] = "outgoing", [WORKER_RETIRING] = "retiring",
    [WORKER_STOPPING] = "stopping", [WORKER_DYING] = "dying",
};

static const char *const event_names[WORKER_EV_COUNT] = {
    [WORKER_EV_START] = "start",
    [WORKER_EV_STARTED] = "started",
    [WORKER_EV_START_FAILED] = "start_failed",
    [WORKER_EV_SPAWNER_LOST] = "spawner_lost",
    [WORKER_EV_HELLO] = "hello",
    [WORKER_EV_READY] = "ready",
    [WORKER_EV_FAILED] = "failed",
    [WORKER_EV_PROGRESS] = "progress",
    [WORKER_EV_WARM] = "warm",
    [WORKER_EV_COLD] = "cold",
    [WORKER_EV_CUT] = "cut",
    [WORKER_EV_MISBEHAVED] = "misbehaved",
    [WORKER_EV_HUNG] = "hung",
    [WORKER_EV_TIMEOUT] = "timeout",
    [WORKER_EV_RETIRE] = "retire",
    [WORKER_EV_HAND_OVER] = "hand_over",
    [WORKER_EV_RELIEVED] = "relieved",
    [WORKER_EV_STAY] = "stay",
    [WORKER_EV_DISMISSED] = "dismissed",
    [WORKER_EV_ORPHANED] = "orphaned",
    [WORKER_EV_STOP] = "stop",
    [WORKER_EV_DEVICE_LOST] = "device_lost",
    [WORKER_EV_EXIT] = "exit",
    [WORKER_EV_DIED] = "died",
    [WORKER_EV_GONE] = "gone",
};

static const char *const action_names[WORKER_ACT_COUNT] = {
    [WORKER_ACT_INVALID] = "invalid",
    [WORKER_ACT_NONE] = "none",
    [WORKER_ACT_SPAWN] = "spawn",
    [WORKER_ACT_WATCH] = "watch",
    [WORKER_ACT_RETRY] = "retry",
    [WORKER_ACT_ASK_AGAIN] = "ask_again",
    [WORKER_ACT_LEARN] = "learn",
    [WORKER_ACT_WARM_UP] = "warm_up",
    [WORKER_ACT_CUT] = "cut",
    [WORKER_ACT_SERVE] = "serve",
    [WORKER_ACT_NOTE_FAILURE] = "note_failure",
    [WORKER_ACT_GO_ON] = "go_on",
    [WORKER_ACT_KILL] = "kill",
    [WORKER_ACT_CALL] = "call",
    [WORKER_ACT_KEEP] = "keep",
    [WORKER_ACT_DISMISS] = "dismiss",
    [WORKER_ACT_INHERIT] = "inherit",
    [WORKER_ACT_RETIRE] = "retire",
    [WORKER_ACT_ASK_STOP] = "ask_stop",
    [WORKER_ACT_RECLAIM] = "reclaim",
    [WORKER_ACT_REPLACE] = "replace",
    [WORKER_ACT_RECLAIM_LAST] = "reclaim_last",
    [WORKER_ACT_MAKE_SPARE] = "make_spare",
};

FSM_DEFINE(worker, WORKER)
