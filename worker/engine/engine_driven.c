/* SPDX-License-Identifier: MIT */
/*
 * engine_driven.c - runs whose lines their host makes, whenever it likes, or that it keeps for a
 * while.
 */
#include "shm/clock.h"
#include "worker/engine/engine_parts.h"

struct mr_value *engine_open_line(struct engine *engine, struct job *job)
{
    mr_assert(job->state == JOB_DRIVEN);
    slot_progress(job->slot, clock_coarse_ns());
    context_enter(engine->context, job);
    return reply_open(&engine->context->reply);
}

void engine_abort_line(struct engine *engine)
{
    reply_abort(&engine->context->reply);
    context_enter(engine->context, NULL);
}

bool engine_send_line(struct engine *engine, struct job *job)
{
    engine_offer(engine, job);
    context_enter(engine->context, NULL);
    return job->state == JOB_DRIVEN;
}

void engine_tell_cancel(struct engine *engine, struct job *job)
{
    job->is_cancel_told = true;
    engine_drop_files(engine, job);
    job->is_line_waiting = false;
    job->stash.used = 0;
    job->state = JOB_DRIVEN;
    engine->host->cancel(engine->host, job);
}

void engine_take_over(struct engine *engine, struct job *job)
{
    mr_assert(job->state == JOB_DRIVEN && !job->is_cancel_told);
    job->is_driven = false;
    engine_make_ready(engine, job);
}

void engine_end_driven(struct engine *engine, struct job *job)
{
    mr_assert(job->state == JOB_DRIVEN);
    struct error *error = &engine->context->error;
    uint32_t reason = slot_cancel_reason(job->slot, job->reply.generation);
    context_enter(engine->context, job);
    if (job->files.is_refused && !error->is_set)
        out_files_explain(&job->files, error);
    if (reason != CANCEL_NONE)
        engine_cancel(engine, job, reason);
    else if (error->is_set)
        engine_fail(engine, job);
    else
        engine_end(engine, job, NULL);
    context_enter(engine->context, NULL);
}
