/* SPDX-License-Identifier: MIT */
/*
 * hand_over.h - a worker and its successor, which starts in a place beside it: actions of
 * worker_fsm.
 */
#ifndef DISPATCHER_HAND_OVER_H
#define DISPATCHER_HAND_OVER_H

#include "dispatcher/workers/fleet.h"

/* The spare place, which there must be, becomes its successor and is about to start. */
void hand_over_call(struct fleet *fleet, struct worker *worker, const char *reason);

/* Its successor, which has no process and is returned, is not wanted any more: the worker stays. */
struct worker *hand_over_keep(struct worker *worker);

/* Such a successor: its place is the spare one again. */
void hand_over_dismiss(struct fleet *fleet, struct worker *worker);

#endif
