/* SPDX-License-Identifier: MIT */
/* run_fsm.c - the run table. */
#include "dispatcher/runs/run_fsm.h"

#include "dispatcher/reactor/fsm.h"

/* clang-format off */
static const struct run_step steps[RUN_STATE_COUNT][RUN_EV_COUNT] = {
    [RUN_FREE] = {
        [RUN_EV_ADMIT]       = {RUN_QUEUED,     RUN_ACT_QUEUE},
        [RUN_EV_STAGE]       = {RUN_STAGING,    RUN_ACT_WAIT},
    },
    [RUN_STAGING] = {
        [RUN_EV_ADMIT]       = {RUN_QUEUED,     RUN_ACT_QUEUE},
        [RUN_EV_CLIENT_GONE] = {RUN_FREE,       RUN_ACT_DROP},
        /* A file that cannot be brought is one, too. */
        [RUN_EV_CANCEL]      = {RUN_FREE,       RUN_ACT_FAIL},
    },
    [RUN_QUEUED] = {
        [RUN_EV_ASSIGN]      = {RUN_ACTIVE,     RUN_ACT_OFFER},
        /* Only now it is known what its inputs are, and they name files. */
        [RUN_EV_STAGE]       = {RUN_STAGING,    RUN_ACT_WAIT_AGAIN},
        /* The pipeline has no worker any more and will have none soon. */
        [RUN_EV_WORKER_LOST] = {RUN_FREE,       RUN_ACT_FAIL},
        [RUN_EV_CLIENT_GONE] = {RUN_FREE,       RUN_ACT_DROP},
        [RUN_EV_CANCEL]      = {RUN_FREE,       RUN_ACT_FAIL},
    },
    [RUN_ACTIVE] = {
        [RUN_EV_CHUNK]       = {RUN_ACTIVE,     RUN_ACT_LINE},
        [RUN_EV_END]         = {RUN_FREE,       RUN_ACT_COMPLETE},
        [RUN_EV_ERROR]       = {RUN_FREE,       RUN_ACT_FAIL},
        [RUN_EV_WORKER_LOST] = {RUN_FREE,       RUN_ACT_FAIL},
        [RUN_EV_CLIENT_GONE] = {RUN_CANCELLING, RUN_ACT_TELL_WORKER},
        [RUN_EV_CANCEL]      = {RUN_CANCELLING, RUN_ACT_FAIL_AND_TELL_WORKER},
    },
    [RUN_CANCELLING] = {
        /* Committed before the worker saw the cancel word. */
        [RUN_EV_CHUNK]       = {RUN_CANCELLING, RUN_ACT_NONE},
        [RUN_EV_END]         = {RUN_FREE,       RUN_ACT_RELEASE},
        [RUN_EV_ERROR]       = {RUN_FREE,       RUN_ACT_RELEASE},
        [RUN_EV_WORKER_LOST] = {RUN_FREE,       RUN_ACT_RELEASE},
        [RUN_EV_CLIENT_GONE] = {RUN_CANCELLING, RUN_ACT_NONE},
        [RUN_EV_CANCEL]      = {RUN_CANCELLING, RUN_ACT_NONE},
        [RUN_EV_GRACE_OVER]  = {RUN_CANCELLING, RUN_ACT_KILL_WORKER},
    },
};
/* clang-format on */

static const char *const state_names[RUN_STATE_COUNT] = {
    [RUN_FREE] = "free",     [RUN_STAGING] = "staging",       [RUN_QUEUED] = "queued",
    [RUN_ACTIVE] = "active", [RUN_CANCELLING] = "cancelling",
};

static const char *const event_names[RUN_EV_COUNT] = {
    [RUN_EV_ADMIT] = "admit",
    [RUN_EV_STAGE] = "stage",
    [RUN_EV_ASSIGN] = "assign",
    [RUN_EV_CHUNK] = "chunk",
    [RUN_EV_END] = "end",
    [RUN_EV_ERROR] = "error",
    [RUN_EV_WORKER_LOST] = "worker_lost",
    [RUN_EV_CLIENT_GONE] = "client_gone",
    [RUN_EV_CANCEL] = "cancel",
    [RUN_EV_GRACE_OVER] = "grace_over",
};

static const char *const action_names[RUN_ACT_COUNT] = {
    [RUN_ACT_INVALID] = "invalid",
    [RUN_ACT_NONE] = "none",
    [RUN_ACT_WAIT] = "wait",
    [RUN_ACT_WAIT_AGAIN] = "wait_again",
    [RUN_ACT_QUEUE] = "queue",
    [RUN_ACT_OFFER] = "offer",
    [RUN_ACT_LINE] = "line",
    [RUN_ACT_COMPLETE] = "complete",
    [RUN_ACT_FAIL] = "fail",
    [RUN_ACT_DROP] = "drop",
    [RUN_ACT_TELL_WORKER] = "tell_worker",
    [RUN_ACT_FAIL_AND_TELL_WORKER] = "fail_and_tell_worker",
    [RUN_ACT_RELEASE] = "release",
    [RUN_ACT_KILL_WORKER] = "kill_worker",
};

FSM_DEFINE(run, RUN)
