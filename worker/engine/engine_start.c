/* SPDX-License-Identifier: MIT */
/*
 * engine_start.c - what comes through the request ring.
 */
#include <errno.h>
#include <string.h>

#include "shm/clock.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/leave.h"
#include "worker/engine/start.h"

/* START records taken in one pass; each calls pipes. */
#define ENGINE_REQUEST_COUNT_MAX 8u

static void engine_take_stop(struct engine *engine);
static void engine_take_start(struct engine *engine, const struct record *meta,
                              const void *payload);

void engine_take_requests(struct engine *engine)
{
    struct attachment *attachment = &engine->context->attachment;
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
        else if (meta.kind == RECORD_FILE)
            engine_take_file(engine, &meta, payload);
        else
            leave(WORKER_EXIT_PROTOCOL, "a record of kind %u in the request ring", meta.kind);
    }
}

static void engine_take_stop(struct engine *engine)
{
    engine->is_stopping = true;
    ring_release(&engine->context->attachment.request);
}

/* Copies the request, gives its bytes back, and starts the run unless it was revoked meanwhile. */
static void engine_take_start(struct engine *engine, const struct record *meta, const void *payload)
{
    struct context *context = engine->context;
    if (meta->slot >= engine->slot_count || engine->jobs[meta->slot].state != JOB_NONE)
        leave(WORKER_EXIT_PROTOCOL, "a START record for slot %u, which is not free", meta->slot);
    struct job *job = &engine->jobs[meta->slot];
    struct slot_shared *slot = &context->attachment.segment.slots[meta->slot];
    job_init(job, slot, meta->slot, meta->generation);

    struct start start;
    int rc = start_take(&start, job, meta, payload, context->attachment.socket);
    if (rc == -EPROTO)
        leave(WORKER_EXIT_PROTOCOL,
              "the blob of a START record, or the names of its files, did not come");
    if (ring_release(&context->attachment.request))
        doorbell_ring(&context->attachment.dispatcher_bell, DOORBELL_SPACE);

    if (!slot_move(slot, job->reply.generation, SLOT_OFFERED, SLOT_RUNNING)) {
        if (!slot_move(slot, job->reply.generation, SLOT_REVOKED, SLOT_ENDED))
            leave(WORKER_EXIT_PROTOCOL, "slot %u was not offered", meta->slot);
        reply_end(&context->reply, &job->reply, 0);
        job_finish(job);
        return;
    }
    job->active_index = engine->active_count;
    engine->active[engine->active_count++] = job->reply.slot;
    slot_progress(slot, clock_coarse_ns());
    context_enter(context, job);
    if (rc == 0)
        rc = start_read(&start, job);
    if (rc != 0)
        start_explain(&context->error, rc);
    else
        rc = engine->host->start(engine->host, job);
    if (rc == HOST_DRIVEN) {
        job->is_driven = true;
        job->state = JOB_DRIVEN;
        engine->has_driven = true;
    } else if (rc == HOST_STARTED) {
        engine_make_ready(engine, job);
    } else {
        engine_fail(engine, job);
    }
    context_enter(context, NULL);
}
