/* SPDX-License-Identifier: MIT */
/*
 * messages.h - what a worker says on its socketpair (protocol.h), as events of worker_fsm.
 */
#ifndef DISPATCHER_MESSAGES_H
#define DISPATCHER_MESSAGES_H

struct loop;
struct worker;

/* Takes what waits on the worker's socket, a bounded number of messages. Uses loop->record. */
void messages_read(struct loop *loop, struct worker *worker);

#endif
