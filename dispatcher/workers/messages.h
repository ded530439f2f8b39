/* SPDX-License-Identifier: MIT */
/*
 * messages.h - what a worker says on its socketpair (protocol.h), as events of worker_fsm.
 */
#ifndef DISPATCHER_MESSAGES_H
#define DISPATCHER_MESSAGES_H

#include <stdbool.h>

struct loop;
struct worker;

/* Takes what waits on the worker's socket, a bounded number of messages. True: there may be more,
 * which no event will tell of. Uses loop->record. */
bool messages_read(struct loop *loop, struct worker *worker);

/* Takes all of it, since the other end is closed; bounded by what a socket holds. */
void messages_read_rest(struct loop *loop, struct worker *worker);

#endif
