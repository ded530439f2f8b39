/* SPDX-License-Identifier: MIT */
/*
 * engine_driven.c - runs whose lines their host makes, whenever it likes.
 */
#include "shm/clock.h"
#include "worker/engine/engine_parts.h"

struct mr_value *engine_open_line(struct engine *engine, struct run *run)
{
    mr_assert(run->state == RUN_DRIVEN);
    slot_progress(run->slot, clock_coarse_ns());
    worker_enter(engine->worker, run);
    return reply_open(&engine->worker->reply);
}

void engine_abort_line(struct engine *engine)
{
    reply_abort(&engine->worker->reply);
    worker_enter(engine->worker, NULL);
}

bool engine_send_line(struct engine *engine, struct run *run)
{
    engine_offer(engine, run);
    worker_enter(engine->worker, NULL);
    return run->state == RUN_DRIVEN;
}

void engine_tell_cancel(struct engine *engine, struct run *run)
{
    run->is_cancel_told = true;
    run->is_line_waiting = false;
    run->stash.used = 0;
    run->state = RUN_DRIVEN;
    engine->host->cancel(engine->host, run);
}

void engine_end_driven(struct engine *engine, struct run *run)
{
    mr_assert(run->state == RUN_DRIVEN);
    const struct failure *failure = &engine->worker->failure;
    uint32_t reason = slot_cancel_reason(run->slot, run->reply.generation);
    worker_enter(engine->worker, run);
    if (reason != CANCEL_NONE)
        engine_cancel(engine, run, reason);
    else if (failure->is_set)
        engine_fail(engine, run);
    else
        engine_end(engine, run, NULL);
    worker_enter(engine->worker, NULL);
}
