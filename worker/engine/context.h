/* SPDX-License-Identifier: MIT */
/*
 * context.h - what everything in a worker process works on: its end of the rings, the error at
 * hand, and the job that is stepped.
 */
#ifndef WORKER_CONTEXT_H
#define WORKER_CONTEXT_H

#include "worker/engine/attachment.h"
#include "worker/engine/error.h"
#include "worker/engine/job.h"
#include "worker/engine/reply.h"
#include "worker/engine/start_report.h"
#include "worker/engine/waker.h"

/* One in the process, owned by main(). */
struct context {
    struct attachment attachment;
    struct reply reply;
    struct error error;
    struct start_report report; /* what was said of its start */
    struct waker_queue woken;   /* runs whose wakers were woken */
    struct job *current;        /* the run whose code is called; NULL outside any run */
};

/* From here on log lines, failures and mr_cancelled() are of this run (NULL: of none). */
static inline void context_enter(struct context *context, struct job *job)
{
    context->current = job;
    context->reply.current = job ? &job->reply : NULL;
}

#endif
