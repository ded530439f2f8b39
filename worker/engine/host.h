/* SPDX-License-Identifier: MIT */
/*
 * host.h - what the engine asks of whatever executes pipelines.
 *
 * A host turns a run's inputs into its outputs, each a plain value or an iterator; stepping those,
 * the window, cancellation and the end are the engine's. The shared-object host is host_so.h.
 *
 * A host with an event loop of its own may keep a run instead (HOST_DRIVEN): it makes the run's
 * lines itself whenever it likes (engine_open_line() ...), and the engine tells it when the run is
 * cancelled and when its window is open again. It may also hand it on later (engine_take_over()).
 */
#ifndef WORKER_HOST_H
#define WORKER_HOST_H

#include "worker/engine/context.h"

enum host_result {
    HOST_STARTED = 0, /* the run's line was started */
    HOST_DRIVEN = 1   /* the host makes the lines and the end */
};

struct host {
    /* Executes the pipes of `job`. An enum host_result, or a negative number with the worker's
     * error set and no iterator left open. */
    int (*start)(struct host *host, struct job *job);

    /* The run is over, its iterators are closed: what was kept for it goes. May be NULL. */
    void (*finish)(struct host *host, struct job *job);

    /* Of driven runs only. The run is to end soon (said once); and: the line that waited for the
     * window is sent. Neither may end the run before it returns. */
    void (*cancel)(struct host *host, struct job *job);
    void (*resume)(struct host *host, struct job *job);
};

#endif
