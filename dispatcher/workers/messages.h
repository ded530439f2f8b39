/* SPDX-License-Identifier: MIT */
/*
 * messages.h - what a worker says on its socketpair (protocol.h), as events of worker_fsm.
 */
#ifndef DISPATCHER_MESSAGES_H
#define DISPATCHER_MESSAGES_H

#include <stdbool.h>

#include "dispatcher/workers/worker_fsm.h"
#include "millrace/protocol.h"

struct fleet;
struct worker;

/* What became of a worker, or what it said: an event, and one phrase for the log and, where runs
 * are lost, for clients. The phrase lives until the worker says something else. */
struct worker_said {
    enum worker_event event; /* WORKER_EV_COUNT: none, it was said of a run, or of a copy */
    const char *reason;
    bool has_copy; /* a template has made one, or says why it has not */
    struct message_forked copy;
};

/* Takes the next message from the worker's socket; its process is there. False: none is there, or
 * the other end is closed. Uses fleet->record. */
bool message_take(struct fleet *fleet, struct worker *worker, struct worker_said *out);

#endif
