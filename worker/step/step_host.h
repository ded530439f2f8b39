/* SPDX-License-Identifier: MIT */
/*
 * step_host.h - what the loop of engines asks of whoever has the pipeline's: a shared object
 * (worker/native/host_engine.h), or Python.
 *
 * The functions are called in turn from the worker's one thread. A failure is a negative number,
 * and the worker's error says what it was; of MR_LATER and 0 see struct mr_engine.
 */
#ifndef WORKER_STEP_HOST_H
#define WORKER_STEP_HOST_H

#include "worker/engine/job.h"

struct step_host {
    /* A run came, which waits from now on. 0, or a failure of it. */
    int (*start)(struct step_host *host, struct job *job);

    /* The engine's own. `run` has a job, but for evict() of one that the worker has ended. */
    int (*admit)(struct step_host *host, struct mr_run *run);
    int (*step)(struct step_host *host);
    void (*evict)(struct step_host *host, struct mr_run *run);

    /* How many runs the engine takes at once, asked once before READY; less than 1: as many as
     * come. */
    int (*capacity)(struct step_host *host);

    /* The run is over: what was kept for it goes. May be NULL. */
    void (*finish)(struct step_host *host, struct job *job);
};

#endif
