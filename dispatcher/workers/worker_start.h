/* SPDX-License-Identifier: MIT */
/*
 * worker_start.h - a process in a worker's place, and the channel to it.
 */
#ifndef DISPATCHER_WORKER_START_H
#define DISPATCHER_WORKER_START_H

#include "dispatcher/workers/worker.h"
#include "millrace/check.h"

/* Opens the channel and the pipes of the output, and asks the spawner for a process on them. 0, or
 * -errno; either way worker_release() gives back what there is. */
int worker_start(struct fleet *fleet, struct worker *worker) MUST_USE;

/* There is a process, worker->pid and worker->pidfd: from now on it is heard. */
void worker_watch(struct fleet *fleet, struct worker *worker);

/* Its bell and its socket are not heard for a while, and then again: also what came meanwhile. */
void worker_unwatch(struct fleet *fleet, struct worker *worker);
void worker_rewatch(struct fleet *fleet, struct worker *worker);

/* The process is reaped, or there never was one: everything is given back but the pipes of the
 * output of a process, which are read to their end. */
void worker_release(struct fleet *fleet, struct worker *worker);

/* Closes what the dispatcher holds of the process, but for the pipes of its output. */
void worker_channel_close(struct worker *worker);

#endif
