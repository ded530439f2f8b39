/* SPDX-License-Identifier: MIT */
/*
 * engine.c - one pass: requests, due times, windows and cancellations, then one step for each ready
 * run.
 *
 * Every part of a pass is bounded, so that no run and no request waits for another's flood.
 */
#include "worker/engine/engine.h"

#include <errno.h>

#include "shm/clock.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/leave.h"

/* Waiting runs looked at in one pass while others are ready; before sleeping all are. */
#define ENGINE_WATCH_COUNT_MAX 8u
/* Passes of one engine_turn(), after which the host's own work has its turn. */
#define ENGINE_TURN_PASS_COUNT 64u

static bool engine_turn_pass(struct engine *engine);
static void engine_pass(struct engine *engine);
static bool engine_is_over(const struct engine *engine);
static uint32_t engine_interests(const struct engine *engine);
static uint64_t engine_sleep_until_ns(const struct engine *engine);
static void engine_sleep(struct engine *engine);

int engine_init(struct engine *engine, struct context *context, struct host *host)
{
    uint32_t slot_count = context->attachment.segment.options.slot_count;
    *engine = (struct engine){
        .context = context,
        .host = host,
        .slot_count = slot_count,
        .window_bytes = context->attachment.segment.options.window_bytes,
        .jobs = calloc(slot_count, sizeof *engine->jobs),
        .ready = {.slots = calloc(slot_count, sizeof *engine->ready.slots)},
        .active = calloc(slot_count, sizeof *engine->active),
        .windows = calloc(slot_count, sizeof *engine->windows),
    };
    if (!engine->jobs || !engine->ready.slots || !engine->active || !engine->windows ||
        due_init(&engine->due, slot_count) != 0) {
        engine_finish(engine);
        return -ENOMEM;
    }
    return 0;
}

void engine_finish(struct engine *engine)
{
    for (uint32_t i = 0; engine->jobs && i < engine->slot_count; i++) {
        if (engine->jobs[i].state != JOB_NONE)
            job_finish(&engine->jobs[i]);
        buffer_finish(&engine->jobs[i].stash);
    }
    free(engine->jobs);
    free(engine->ready.slots);
    free(engine->active);
    free(engine->windows);
    due_finish(&engine->due);
    *engine = (struct engine){.context = NULL};
}

void engine_run(struct engine *engine)
{
    while (!engine_is_over(engine)) {
        engine_pass(engine);
        if (engine->ready.count == 0 && !engine_is_over(engine))
            engine_sleep(engine);
    }
}

bool engine_turn(struct engine *engine, uint64_t *due_ns)
{
    struct attachment *attachment = &engine->context->attachment;
    doorbell_disarm(&attachment->bell);
    if (attachment_poll(attachment) != 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
    if (!engine_turn_pass(engine))
        return false;
    reply_trim(&engine->context->reply);
    doorbell_arm(&attachment->bell, engine_interests(engine));
    engine_watch(engine, engine->active_count);
    *due_ns = engine_sleep_until_ns(engine);
    return true;
}

bool engine_turn_awake(struct engine *engine, uint64_t *due_ns)
{
    doorbell_disarm(&engine->context->attachment.bell);
    if (!engine_turn_pass(engine))
        return false;
    reply_trim(&engine->context->reply); /* it may be long until there is a sleep */
    engine_watch(engine, engine->active_count);
    *due_ns = engine_sleep_until_ns(engine);
    return true;
}

/* False when engine_run() would end. */
static bool engine_turn_pass(struct engine *engine)
{
    engine->has_driven = false; /* known to the host, which is here */
    for (uint32_t i = 0; i < ENGINE_TURN_PASS_COUNT; i++) {
        engine_pass(engine);
        if (engine->ready.count == 0 || engine->has_driven)
            break;
    }
    return !engine->is_stopping || engine->active_count > 0;
}

static void engine_pass(struct engine *engine)
{
    engine_take_requests(engine);
    engine_watch(engine, ENGINE_WATCH_COUNT_MAX);
    engine_take_woken(engine);
    uint32_t other_count = engine->ready.count;
    engine_take_due(engine);
    engine_step_ready(engine, other_count);
}

static bool engine_is_over(const struct engine *engine)
{
    return (engine->is_stopping && engine->active_count == 0) || engine->has_driven;
}

/* Delivered counts move with every line, and room in the ring with every batch; only who waits for
 * one is woken by them. */
static uint32_t engine_interests(const struct engine *engine)
{
    return DOORBELL_WORK | (engine->window_count > 0 ? DOORBELL_WINDOW : 0) |
           (engine->holds_due ? DOORBELL_SPACE : 0);
}

/* 0: there is something to do. Asked when the bell is armed. */
static uint64_t engine_sleep_until_ns(const struct engine *engine)
{
    struct attachment *attachment = &engine->context->attachment;
    if (engine->ready.count > 0 || !ring_is_empty(&attachment->request))
        return 0;
    if (attachment->ready_count > 0 || !waker_queue_is_empty(&engine->context->woken))
        return 0;
    if (engine->holds_due)
        return engine_is_ahead(engine) ? CLOCK_NEVER : 0;
    return due_earliest_ns(&engine->due);
}

/* The sleeper's loop of doorbell.h: arm, look at everything again, sleep, disarm. */
static void engine_sleep(struct engine *engine)
{
    struct attachment *attachment = &engine->context->attachment;
    reply_trim(&engine->context->reply);
    doorbell_arm(&attachment->bell, engine_interests(engine));
    engine_watch(engine, engine->active_count);
    uint64_t until_ns = engine_sleep_until_ns(engine);
    int rc = until_ns > 0 ? attachment_sleep(attachment, until_ns) : 0;
    doorbell_disarm(&attachment->bell);
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
}
