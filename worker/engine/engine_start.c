/* SPDX-License-Identifier: MIT */
/*
 * engine_start.c - what comes through the request ring.
 */
#include <errno.h>
#include <string.h>

#include "shm/clock.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/leave.h"
#include "worker/engine/request.h"

/* START records taken in one pass; each calls pipes. */
#define ENGINE_REQUEST_COUNT_MAX 8u

static void engine_take_stop(struct engine *engine);
static void engine_take_start(struct engine *engine, const struct record *meta,
                              const void *payload);

void engine_take_requests(struct engine *engine)
{
    struct attachment *attachment = &engine->worker->attachment;
    for (uint32_t i = 0; i < ENGINE_REQUEST_COUNT_MAX; i++) {
        struct record meta;
        const void *payload;
        int rc = ring_peek(&attachment->request, &meta, &payload);
        if (rc == 0)
            return;
        if (rc < 0)
            leave(WORKER_EXIT_PROTOCOL, "the request ring is corrupt: %s", strerror(-rc));
        if (meta.kind == RECORD_START)
            engine_take_start(engine, &meta, payload);
        else if (meta.kind == RECORD_STOP)
            engine_take_stop(engine);
        else
            leave(WORKER_EXIT_PROTOCOL, "a record of kind %u in the request ring", meta.kind);
    }
}

static void engine_take_stop(struct engine *engine)
{
    engine->is_stopping = true;
    ring_release(&engine->worker->attachment.request);
}

/* Copies the request, gives its bytes back, and starts the run unless it was revoked meanwhile. */
static void engine_take_start(struct engine *engine, const struct record *meta, const void *payload)
{
    struct worker *worker = engine->worker;
    if (meta->slot >= engine->slot_count || engine->runs[meta->slot].state != RUN_NONE)
        leave(WORKER_EXIT_PROTOCOL, "a START record for slot %u, which is not free", meta->slot);
    struct run *run = &engine->runs[meta->slot];
    struct slot_shared *slot = &worker->attachment.segment.slots[meta->slot];
    run_init(run, slot, meta->slot, meta->generation);

    struct request request;
    int rc = request_take(&request, run, meta, payload, worker->attachment.socket);
    if (rc == -EPROTO)
        leave(WORKER_EXIT_PROTOCOL, "the blob of a START record did not come");
    if (ring_release(&worker->attachment.request))
        doorbell_ring(&worker->attachment.dispatcher_bell, DOORBELL_SPACE);

    if (!slot_move(slot, run->reply.generation, SLOT_OFFERED, SLOT_RUNNING)) {
        if (!slot_move(slot, run->reply.generation, SLOT_REVOKED, SLOT_ENDED))
            leave(WORKER_EXIT_PROTOCOL, "slot %u was not offered", meta->slot);
        reply_end(&worker->reply, &run->reply);
        run_finish(run);
        return;
    }
    run->active_index = engine->active_count;
    engine->active[engine->active_count++] = run->reply.slot;
    slot_progress(slot, clock_coarse_ns());
    worker_enter(worker, run);
    if (rc == 0)
        rc = request_read(&request, run);
    if (rc != 0)
        request_explain(&worker->failure, rc);
    else
        rc = engine->host->start(engine->host, run);
    if (rc == HOST_DRIVEN) {
        run->is_driven = true;
        run->state = RUN_DRIVEN;
        engine->has_driven = true;
    } else if (rc == HOST_STARTED) {
        engine_make_ready(engine, run);
    } else {
        engine_fail(engine, run);
    }
    worker_enter(worker, NULL);
}
