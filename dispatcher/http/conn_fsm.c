/* SPDX-License-Identifier: MIT */
/* conn_fsm.c - the connection table. */
#include "dispatcher/http/conn_fsm.h"

#include "dispatcher/reactor/fsm.h"

/* clang-format off */
static const struct conn_step steps[CONN_STATE_COUNT][CONN_EV_COUNT] = {
    [CONN_FREE] = {
        [CONN_EV_ACCEPTED]  = {CONN_IDLE,       CONN_ACT_RECEIVE},
    },
    [CONN_IDLE] = {
        [CONN_EV_INPUT]     = {CONN_IDLE,       CONN_ACT_PARSE_HEAD},
        [CONN_EV_HEAD_PART] = {CONN_HEAD,       CONN_ACT_NONE},
        [CONN_EV_HEAD]      = {CONN_RESPONDING, CONN_ACT_NONE},
        [CONN_EV_REFUSED]   = {CONN_RESPONDING, CONN_ACT_FORGET_BODY},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_TIME_OVER] = {CONN_CLOSING,    CONN_ACT_SHUT},
    },
    [CONN_HEAD] = {
        [CONN_EV_INPUT]     = {CONN_HEAD,       CONN_ACT_PARSE_HEAD},
        [CONN_EV_HEAD_PART] = {CONN_HEAD,       CONN_ACT_NONE},
        [CONN_EV_HEAD]      = {CONN_RESPONDING, CONN_ACT_NONE},
        [CONN_EV_REFUSED]   = {CONN_RESPONDING, CONN_ACT_FORGET_BODY},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_TIME_OVER] = {CONN_RESPONDING, CONN_ACT_REFUSE_HEAD},
    },
    [CONN_BODY] = {
        [CONN_EV_INPUT]     = {CONN_BODY,       CONN_ACT_PARSE_BODY},
        [CONN_EV_TAKEN]     = {CONN_RESPONDING, CONN_ACT_COUNT_REQUEST},
        [CONN_EV_REFUSED]   = {CONN_RESPONDING, CONN_ACT_FORGET_BODY},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_TIME_OVER] = {CONN_RESPONDING, CONN_ACT_REFUSE_BODY},
        /* There was no memory for 100 Continue. */
        [CONN_EV_DOOMED]    = {CONN_DOOMED,     CONN_ACT_FLUSH},
    },
    [CONN_RESPONDING] = {
        [CONN_EV_INPUT]     = {CONN_RESPONDING, CONN_ACT_KEEP},
        [CONN_EV_WANTED]    = {CONN_BODY,       CONN_ACT_NONE},
        /* Its head says that the body is too large. */
        [CONN_EV_REFUSED]   = {CONN_RESPONDING, CONN_ACT_FORGET_BODY},
        [CONN_EV_ANSWERED]  = {CONN_SENDING,    CONN_ACT_FLUSH},
        [CONN_EV_ENDED]     = {CONN_RESPONDING, CONN_ACT_NOTE_END},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_TIME_OVER] = {CONN_CLOSING,    CONN_ACT_STALL},
        [CONN_EV_DUE]       = {CONN_RESPONDING, CONN_ACT_EXPIRE},
        [CONN_EV_DOOMED]    = {CONN_DOOMED,     CONN_ACT_FLUSH},
    },
    [CONN_SENDING] = {
        [CONN_EV_INPUT]     = {CONN_SENDING,    CONN_ACT_KEEP},
        [CONN_EV_SENT]      = {CONN_IDLE,       CONN_ACT_NEXT},
        [CONN_EV_SENT_LAST] = {CONN_LINGERING,  CONN_ACT_LINGER},
        [CONN_EV_ENDED]     = {CONN_SENDING,    CONN_ACT_NOTE_END},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_TIME_OVER] = {CONN_CLOSING,    CONN_ACT_STALL},
    },
    [CONN_LINGERING] = {
        [CONN_EV_INPUT]     = {CONN_LINGERING,  CONN_ACT_IGNORE},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_TIME_OVER] = {CONN_CLOSING,    CONN_ACT_SHUT},
    },
    [CONN_DOOMED] = {
        [CONN_EV_INPUT]     = {CONN_DOOMED,     CONN_ACT_IGNORE},
        /* Whoever answers has not heard of it yet. */
        [CONN_EV_ANSWERED]  = {CONN_DOOMED,     CONN_ACT_NONE},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_SHUT},
        [CONN_EV_DOOMED]    = {CONN_DOOMED,     CONN_ACT_NONE},
    },
    [CONN_CLOSING] = {
        [CONN_EV_INPUT]     = {CONN_CLOSING,    CONN_ACT_IGNORE},
        [CONN_EV_ANSWERED]  = {CONN_CLOSING,    CONN_ACT_NONE},
        [CONN_EV_LEFT]      = {CONN_CLOSING,    CONN_ACT_NONE},
        [CONN_EV_DOOMED]    = {CONN_CLOSING,    CONN_ACT_NONE},
        [CONN_EV_RETURNED]  = {CONN_FREE,       CONN_ACT_RELEASE},
    },
};
/* clang-format on */

static const char *const state_names[CONN_STATE_COUNT] = {
    [CONN_FREE] = "free",
    [CONN_IDLE] = "idle",
    [CONN_HEAD] = "head",
    [CONN_BODY] = "body",
    [CONN_RESPONDING] = "responding",
    [CONN_SENDING] = "sending",
    [CONN_LINGERING] = "lingering",
    [CONN_DOOMED] = "doomed",
    [CONN_CLOSING] = "closing",
};

static const char *const event_names[CONN_EV_COUNT] = {
    [CONN_EV_ACCEPTED] = "accepted",   [CONN_EV_INPUT] = "input",
    [CONN_EV_HEAD_PART] = "head_part", [CONN_EV_HEAD] = "head",
    [CONN_EV_WANTED] = "wanted",       [CONN_EV_TAKEN] = "taken",
    [CONN_EV_REFUSED] = "refused",     [CONN_EV_ANSWERED] = "answered",
    [CONN_EV_SENT] = "sent",           [CONN_EV_SENT_LAST] = "sent_last",
    [CONN_EV_ENDED] = "ended",         [CONN_EV_LEFT] = "left",
    [CONN_EV_TIME_OVER] = "time_over", [CONN_EV_DUE] = "due",
    [CONN_EV_DOOMED] = "doomed",       [CONN_EV_RETURNED] = "returned",
};

static const char *const action_names[CONN_ACT_COUNT] = {
    [CONN_ACT_INVALID] = "invalid",
    [CONN_ACT_NONE] = "none",
    [CONN_ACT_RECEIVE] = "receive",
    [CONN_ACT_PARSE_HEAD] = "parse_head",
    [CONN_ACT_PARSE_BODY] = "parse_body",
    [CONN_ACT_KEEP] = "keep",
    [CONN_ACT_IGNORE] = "ignore",
    [CONN_ACT_COUNT_REQUEST] = "count_request",
    [CONN_ACT_FORGET_BODY] = "forget_body",
    [CONN_ACT_REFUSE_HEAD] = "refuse_head",
    [CONN_ACT_REFUSE_BODY] = "refuse_body",
    [CONN_ACT_NEXT] = "next",
    [CONN_ACT_LINGER] = "linger",
    [CONN_ACT_NOTE_END] = "note_end",
    [CONN_ACT_EXPIRE] = "expire",
    [CONN_ACT_STALL] = "stall",
    [CONN_ACT_FLUSH] = "flush",
    [CONN_ACT_SHUT] = "shut",
    [CONN_ACT_RELEASE] = "release",
};

FSM_DEFINE(conn, CONN)
