/* SPDX-License-Identifier: MIT */
/*
 * engine_end.c - how runs end: as they should, failed, or cancelled.
 */
#include "worker/engine/engine_parts.h"
#include "worker/engine/leave.h"
#include "worker/engine/log_capture.h"

static const char *const cancel_texts[CANCEL_REASON_COUNT] = {
    [CANCEL_NONE] = "no reason",
    [CANCEL_CLIENT_GONE] = "the client left",
    [CANCEL_REQUESTED] = "on request",
    [CANCEL_DEADLINE] = "its deadline passed",
    [CANCEL_STALLED] = "the client stopped reading",
    [CANCEL_DRAIN] = "the server stops",
    [CANCEL_BAD_VALUE] = "a value could not be sent",
};

void engine_cancel(struct engine *engine, struct job *job, uint32_t reason)
{
    const char *text = reason < CANCEL_REASON_COUNT ? cancel_texts[reason] : NULL;
    if (!text)
        text = "reason unknown";
    error_set(&engine->context->error, ERROR_UNKNOWN, "cancelled: %s", text);
    engine_fail(engine, job);
}

void engine_fail(struct engine *engine, struct job *job)
{
    engine_end(engine, job, &engine->context->error);
    error_clear(&engine->context->error);
}

void engine_end(struct engine *engine, struct job *job, const struct error *error)
{
    struct reply *reply = &engine->context->reply;
    engine_drop_files(engine, job);
    lockstep_close(&job->lockstep);
    if (engine->host->finish)
        engine->host->finish(engine->host, job);
    log_capture_flush();

    uint32_t last = engine->active[--engine->active_count];
    engine->active[job->active_index] = last;
    engine->jobs[last].active_index = job->active_index;
    if (!slot_move(job->slot, job->reply.generation, SLOT_RUNNING, SLOT_ENDED))
        leave(WORKER_EXIT_PROTOCOL, "slot %u is not running: its word was overwritten",
              job->reply.slot);
    if (error)
        reply_error(reply, &job->reply, error);
    else
        reply_end(reply, &job->reply, job->plain_outputs);
    job_finish(job);
}
