/* SPDX-License-Identifier: MIT */
/*
 * renewal.h - workers are replaced, one after the other, so that new code is served without a lost
 * run.
 *
 * A worker goes on until its successor, which starts beside it, is ready; the next one's turn is
 * when it has gone. So there is one process more than workers at most, in the spare place of a
 * pipeline that has one, or in a place made for its turn. When a successor does not start, nothing
 * more is replaced, and the worker that was to go stays. Where its device does not hold both, the
 * worker goes first, and the next one's turn is when that was followed.
 */
#ifndef DISPATCHER_RENEWAL_H
#define DISPATCHER_RENEWAL_H

#include "dispatcher/workers/fleet.h"

/* Every process that there is now, of this pool or of all (NULL), is to be replaced, also those
 * that a renewal has started which is still going on, and which this one joins. Who waits to be
 * started again is started now. */
void renewal_begin(struct fleet *fleet, const struct worker_pool *pool);

/* While one is going on, once a pass and outside of events. */
void renewal_step(struct fleet *fleet);

/* The server stops: nobody's turn comes any more. */
void renewal_stop(struct fleet *fleet);

/* A process did not start, for this reason, or a worker's successor is ready: whether that is its
 * matter is decided here. */
void renewal_note_failure(struct fleet *fleet, const struct worker *worker, const char *reason);
void renewal_note_success(struct fleet *fleet, const struct worker *predecessor);

#endif
