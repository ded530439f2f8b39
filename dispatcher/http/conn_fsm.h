/* SPDX-License-Identifier: MIT */
/*
 * conn_fsm.h - everything that can happen to a connection, as a pure, total table.
 *
 * One request at a time: a request is answered once, on the arrow from RESPONDING to SENDING, and
 * nothing of the next one is looked at before all of that has left. Whatever ends a connection goes
 * through CLOSING, where its memory waits for the kernel.
 */
#ifndef DISPATCHER_CONN_FSM_H
#define DISPATCHER_CONN_FSM_H

enum conn_state {
    CONN_FREE = 0,
    CONN_IDLE,       /* between requests */
    CONN_HEAD,       /* part of a head has arrived */
    CONN_BODY,       /* the head is understood, the body arrives */
    CONN_RESPONDING, /* the response is being made; what there is of it is sent */
    CONN_SENDING,    /* the response is complete and being sent */
    CONN_LINGERING,  /* answered for the last time; input is read away lest a RST eat the answer */
    CONN_DOOMED,     /* the response cannot go on: closed at the end of the pass */
    CONN_CLOSING,    /* shut down; waits for the kernel to give its operations back */
    CONN_STATE_COUNT
};

enum conn_event {
    CONN_EV_ACCEPTED = 0,
    CONN_EV_INPUT,     /* there are bytes to look at */
    CONN_EV_HEAD_PART, /* of a head, and the rest is missing */
    CONN_EV_HEAD,      /* a head is understood */
    CONN_EV_WANTED,    /* its body is */
    CONN_EV_TAKEN,     /* the body is complete, or the answer does not wait for that */
    CONN_EV_REFUSED,   /* the request cannot be understood or held; an answer follows */
    CONN_EV_ANSWERED,  /* the response is complete */
    CONN_EV_SENT,      /* all of it has left, and another request may follow */
    CONN_EV_SENT_LAST, /* likewise, and none may */
    CONN_EV_ENDED,     /* the client sends no more, and its request is answered nevertheless */
    CONN_EV_LEFT,      /* the client left, or nobody waits for anything */
    CONN_EV_TIME_OVER, /* of this state */
    CONN_EV_DUE,       /* whoever answers wanted to be told now */
    CONN_EV_DOOMED,    /* the response cannot go on */
    CONN_EV_RETURNED,  /* the kernel has nothing of it any more */
    CONN_EV_COUNT
};

enum conn_action {
    CONN_ACT_INVALID = 0, /* cannot happen: abort */
    CONN_ACT_NONE,        /* may happen, changes nothing */
    CONN_ACT_RECEIVE,     /* begin to receive */
    CONN_ACT_PARSE_HEAD,  /* look for a head in the input */
    CONN_ACT_PARSE_BODY,  /* take the input as body */
    CONN_ACT_KEEP,        /* the input waits */
    CONN_ACT_IGNORE,      /* the input is thrown away */
    CONN_ACT_COUNT_REQUEST,
    CONN_ACT_FORGET_BODY, /* tell whoever is pending, drop what is kept of the body */
    CONN_ACT_REFUSE_HEAD, /* answer 408 */
    CONN_ACT_REFUSE_BODY, /* likewise, after what is done to forget the body */
    CONN_ACT_NEXT,        /* look at what waits, and receive again */
    CONN_ACT_LINGER,      /* shut the sending side, and receive again */
    CONN_ACT_NOTE_END,    /* what has come is the last request */
    CONN_ACT_EXPIRE,      /* tell whoever is pending that it is due */
    CONN_ACT_STALL,       /* log and count it, tell whoever is pending, and as shut */
    CONN_ACT_FLUSH,       /* look at it at the end of the pass */
    CONN_ACT_SHUT,        /* tell whoever is pending, shut it down, ask the kernel for all */
    CONN_ACT_RELEASE,     /* give back what it holds */
    CONN_ACT_COUNT
};

struct conn_step {
    enum conn_state next;
    enum conn_action action;
};

/* Aborts on a pair that cannot happen, naming both. */
struct conn_step conn_fsm_step(enum conn_state state, enum conn_event event);

const char *conn_state_name(enum conn_state state);
const char *conn_event_name(enum conn_event event);
const char *conn_action_name(enum conn_action action);

/* The cell itself, for tests and diagrams; action CONN_ACT_INVALID where there is none. */
struct conn_step conn_fsm_cell(enum conn_state state, enum conn_event event);

#endif
