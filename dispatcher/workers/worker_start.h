/* SPDX-License-Identifier: MIT */
/*
 * worker_start.h - a process in a worker's place, and the channels to it.
 */
#ifndef DISPATCHER_WORKER_START_H
#define DISPATCHER_WORKER_START_H

#include "dispatcher/workers/worker.h"
#include "millrace/check.h"

/* Makes the segment and the channels, starts a process on them, and watches it. 0, or -errno with
 * nothing left behind. */
int worker_start(struct loop *loop, struct worker *worker) MUST_USE;

/* Closes what the dispatcher holds of the process, but for the pipes of its output. */
void worker_channels_close(struct worker *worker);

#endif
