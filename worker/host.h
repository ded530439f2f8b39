/* SPDX-License-Identifier: MIT */
/*
 * host.h - what the loop asks of whatever executes pipelines.
 *
 * A host turns a run's inputs into its outputs, each a plain value or an iterator; stepping those,
 * the window, cancellation and the end are the loop's. The shared-object host is host_so.h.
 */
#ifndef WORKER_HOST_H
#define WORKER_HOST_H

#include "millrace/check.h"
#include "worker/worker.h"

struct host {
    /* Executes the pipes of `run` and starts its line. 0, or a negative number with the worker's
     * failure set and no iterator left open. */
    int (*start)(struct host *host, struct run *run) MUST_USE;
};

#endif
