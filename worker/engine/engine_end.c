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

void engine_cancel(struct engine *engine, struct run *run, uint32_t reason)
{
    const char *text = reason < CANCEL_REASON_COUNT ? cancel_texts[reason] : NULL;
    if (!text)
        text = "reason unknown";
    failure_set(&engine->worker->failure, ERROR_UNKNOWN, "cancelled: %s", text);
    engine_fail(engine, run);
}

void engine_fail(struct engine *engine, struct run *run)
{
    engine_end(engine, run, &engine->worker->failure);
    failure_clear(&engine->worker->failure);
}

void engine_end(struct engine *engine, struct run *run, const struct failure *failure)
{
    struct reply *reply = &engine->worker->reply;
    line_close(&run->line);
    if (engine->host->finish)
        engine->host->finish(engine->host, run);
    log_capture_flush();

    uint32_t last = engine->active[--engine->active_count];
    engine->active[run->active_index] = last;
    engine->runs[last].active_index = run->active_index;
    if (!slot_move(run->slot, run->reply.generation, SLOT_RUNNING, SLOT_ENDED))
        leave(WORKER_EXIT_PROTOCOL, "slot %u is not running: its word was overwritten",
              run->reply.slot);
    if (failure)
        reply_error(reply, &run->reply, failure);
    else
        reply_end(reply, &run->reply);
    run_finish(run);
}
