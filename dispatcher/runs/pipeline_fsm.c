/* SPDX-License-Identifier: MIT */
/* pipeline_fsm.c - the pipeline table. */
#include "dispatcher/runs/pipeline_fsm.h"

#include "dispatcher/reactor/fsm.h"

/* clang-format off */
static const struct pipeline_step steps[PIPELINE_STATE_COUNT][PIPELINE_EV_COUNT] = {
    [PIPELINE_LOADING] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_READY,       PIPELINE_ACT_OPEN},
        [PIPELINE_EV_FAILED]   = {PIPELINE_FAILED,      PIPELINE_ACT_ANSWER},
        [PIPELINE_EV_LOST]     = {PIPELINE_LOADING,     PIPELINE_ACT_NONE},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_CLOSE},
        /* There is no room for it now, and nobody has asked for it. */
        [PIPELINE_EV_UNWANTED] = {PIPELINE_IDLE,        PIPELINE_ACT_NONE},
    },
    [PIPELINE_FAILED] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_READY,       PIPELINE_ACT_OPEN},
        [PIPELINE_EV_FAILED]   = {PIPELINE_FAILED,      PIPELINE_ACT_NONE},
        [PIPELINE_EV_LOST]     = {PIPELINE_FAILED,      PIPELINE_ACT_NONE},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_CLOSE},
    },
    [PIPELINE_READY] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_READY,       PIPELINE_ACT_OPEN},
        /* Others are ready, or LOST follows. */
        [PIPELINE_EV_FAILED]   = {PIPELINE_READY,       PIPELINE_ACT_NONE},
        [PIPELINE_EV_LOST]     = {PIPELINE_RESTARTING,  PIPELINE_ACT_NONE},
        [PIPELINE_EV_DOUBTED]  = {PIPELINE_TRIAL,       PIPELINE_ACT_DOUBT},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_CLOSE},
        [PIPELINE_EV_PROVED]   = {PIPELINE_READY,       PIPELINE_ACT_NONE},
        [PIPELINE_EV_UNWANTED] = {PIPELINE_IDLE,        PIPELINE_ACT_NONE},
    },
    [PIPELINE_RESTARTING] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_READY,       PIPELINE_ACT_OPEN},
        [PIPELINE_EV_FAILED]   = {PIPELINE_RESTARTING,  PIPELINE_ACT_NONE},
        [PIPELINE_EV_LOST]     = {PIPELINE_RESTARTING,  PIPELINE_ACT_NONE},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_CLOSE},
        /* By a worker that retires, or in the last words of one that died. */
        [PIPELINE_EV_PROVED]   = {PIPELINE_RESTARTING,  PIPELINE_ACT_NONE},
        [PIPELINE_EV_UNWANTED] = {PIPELINE_IDLE,        PIPELINE_ACT_NONE},
    },
    [PIPELINE_QUARANTINED] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_TRIAL,       PIPELINE_ACT_TRY},
        [PIPELINE_EV_FAILED]   = {PIPELINE_QUARANTINED, PIPELINE_ACT_NONE},
        [PIPELINE_EV_LOST]     = {PIPELINE_QUARANTINED, PIPELINE_ACT_NONE},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_NONE},
        [PIPELINE_EV_PROVED]   = {PIPELINE_RESTARTING,  PIPELINE_ACT_RELEASE},
    },
    [PIPELINE_TRIAL] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_TRIAL,       PIPELINE_ACT_NONE},
        [PIPELINE_EV_FAILED]   = {PIPELINE_TRIAL,       PIPELINE_ACT_NONE},
        [PIPELINE_EV_LOST]     = {PIPELINE_QUARANTINED, PIPELINE_ACT_REFUSE},
        [PIPELINE_EV_DOUBTED]  = {PIPELINE_TRIAL,       PIPELINE_ACT_NONE},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_REFUSE},
        [PIPELINE_EV_PROVED]   = {PIPELINE_READY,       PIPELINE_ACT_RELEASE},
    },
    /* What becomes of workers that go is nobody's business any more. */
    [PIPELINE_IDLE] = {
        [PIPELINE_EV_WANTED]   = {PIPELINE_WAKING,      PIPELINE_ACT_NONE},
    },
    [PIPELINE_WAKING] = {
        [PIPELINE_EV_SERVED]   = {PIPELINE_READY,       PIPELINE_ACT_OPEN},
        [PIPELINE_EV_FAILED]   = {PIPELINE_WAKING,      PIPELINE_ACT_ANSWER},
        [PIPELINE_EV_LOST]     = {PIPELINE_WAKING,      PIPELINE_ACT_NONE},
        [PIPELINE_EV_GIVEN_UP] = {PIPELINE_QUARANTINED, PIPELINE_ACT_CLOSE},
        [PIPELINE_EV_PROVED]   = {PIPELINE_WAKING,      PIPELINE_ACT_NONE},
        [PIPELINE_EV_UNWANTED] = {PIPELINE_IDLE,        PIPELINE_ACT_NONE},
    },
};
/* clang-format on */

static const char *const state_names[PIPELINE_STATE_COUNT] = {
    [PIPELINE_LOADING] = "loading",
    [PIPELINE_FAILED] = "failed",
    [PIPELINE_READY] = "ready",
    [PIPELINE_RESTARTING] = "restarting",
    [PIPELINE_QUARANTINED] = "quarantined",
    [PIPELINE_TRIAL] = "trial",
    [PIPELINE_IDLE] = "idle",
    [PIPELINE_WAKING] = "waking",
};

static const char *const event_names[PIPELINE_EV_COUNT] = {
    [PIPELINE_EV_SERVED] = "served",     [PIPELINE_EV_FAILED] = "failed",
    [PIPELINE_EV_LOST] = "lost",         [PIPELINE_EV_DOUBTED] = "doubted",
    [PIPELINE_EV_GIVEN_UP] = "given_up", [PIPELINE_EV_PROVED] = "proved",
    [PIPELINE_EV_UNWANTED] = "unwanted", [PIPELINE_EV_WANTED] = "wanted",
};

static const char *const action_names[PIPELINE_ACT_COUNT] = {
    [PIPELINE_ACT_INVALID] = "invalid", [PIPELINE_ACT_NONE] = "none",
    [PIPELINE_ACT_OPEN] = "open",       [PIPELINE_ACT_CLOSE] = "close",
    [PIPELINE_ACT_DOUBT] = "doubt",     [PIPELINE_ACT_TRY] = "try",
    [PIPELINE_ACT_REFUSE] = "refuse",   [PIPELINE_ACT_RELEASE] = "release",
    [PIPELINE_ACT_ANSWER] = "answer",
};

FSM_DEFINE(pipeline, PIPELINE)
