/* SPDX-License-Identifier: MIT */
/*
 * worker.h - what everything in a worker process works on: its end of the rings, the failure at
 * hand, and the run that is stepped.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "worker/engine/attach.h"
#include "worker/engine/failure.h"
#include "worker/engine/reply.h"
#include "worker/engine/run.h"

/* One in the process, owned by main(). */
struct worker {
    struct attachment attachment;
    struct reply reply;
    struct failure failure;
    struct run *current; /* the run whose code is called; NULL outside any run */
};

/* From here on log lines, failures and mr_cancelled() are of this run (NULL: of none). */
static inline void worker_enter(struct worker *worker, struct run *run)
{
    worker->current = run;
    worker->reply.current = run ? &run->reply : NULL;
}

#endif
