/* SPDX-License-Identifier: MIT */
/*
 * engine_step.c - steps of the runs that are ready.
 *
 * A step calls next() once for each live stream of one run, and a chunk is published, and the
 * dispatcher rung if it sleeps, before user code is called again. A run whose steps are quick makes
 * several in a row, so that its lines lie together in the ring: the dispatcher then writes to one
 * connection for a while, and sends it few large blocks instead of many small ones.
 */
#include "millrace/limits.h"
#include "shm/clock.h"
#include "worker/engine/engine_parts.h"

/* What one run may send, and how long it may take, before the next run has its turn. */
#define ENGINE_BURST_BYTES (128u * 1024)
#define ENGINE_BURST_NS 30000u

static struct run *engine_next_ready(struct engine *engine);
static void engine_burst(struct engine *engine, struct run *run);
static void engine_step(struct engine *engine, struct run *run);
static void engine_step_line(struct engine *engine, struct run *run);
static void engine_wait_later(struct engine *engine, struct run *run);
static void engine_wait_window(struct engine *engine, struct run *run);

void engine_step_ready(struct engine *engine, uint32_t other_count)
{
    /* Those that become ready meanwhile have their turn in the next pass. */
    uint32_t count = engine->ready.count;
    uint64_t stamp_ns = count > 0 ? clock_coarse_ns() : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct run *run = engine_next_ready(engine);
        engine->steps_due = i >= other_count;
        slot_progress(run->slot, stamp_ns);
        worker_enter(engine->worker, run);
        engine_burst(engine, run);
        worker_enter(engine->worker, NULL);
    }
    engine->steps_due = false;
}

void engine_offer(struct engine *engine, struct run *run)
{
    struct reply *reply = &engine->worker->reply;
    size_t bytes = reply_open_bytes(reply);
    if (run_window_allows(run, engine->window_bytes, bytes)) {
        run_charge(run, bytes);
        reply_commit_chunk(reply, &run->reply);
        if (!engine->steps_due)
            engine->others_tail = reply->attachment->reply.tail;
        if (run->is_driven)
            run->state = RUN_DRIVEN;
        else
            engine_make_ready(engine, run);
        return;
    }
    if (reply_stash(reply, &run->stash) != 0) {
        failure_set(&engine->worker->failure, ERROR_OOM, "out of memory for a chunk");
        engine_fail(engine, run);
        return;
    }
    run->is_line_waiting = true;
    engine_wait_window(engine, run);
}

static struct run *engine_next_ready(struct engine *engine)
{
    struct engine_queue *ready = &engine->ready;
    mr_assert(ready->count > 0);
    struct run *run = &engine->runs[ready->slots[ready->first]];
    ready->first = ready->first + 1 == engine->slot_count ? 0 : ready->first + 1;
    ready->count--;
    return run;
}

/* Takes the run out of the ready queue when it is the one that was put there last. */
static bool engine_take_back(struct engine *engine, const struct run *run)
{
    struct engine_queue *ready = &engine->ready;
    if (run->state != RUN_READY || ready->count == 0)
        return false;
    uint32_t place = ready->first + ready->count - 1;
    if (place >= engine->slot_count)
        place -= engine->slot_count;
    if (ready->slots[place] != run->reply.slot)
        return false;
    ready->count--;
    return true;
}

/* Looking at the clock costs a quarter of a quick step: it is done after steps 1, 2, 4, 8, and then
 * after every eighth. */
static bool engine_looks_at_clock(uint32_t step_count)
{
    return step_count < 8 ? (step_count & (step_count - 1)) == 0 : step_count % 8 == 0;
}

/* Steps of one run, until it waits, is over, or has had its share. */
static void engine_burst(struct engine *engine, struct run *run)
{
    uint64_t start_ns = engine->burst_ns = clock_now_ns();
    uint64_t charged_max = run->charged + ENGINE_BURST_BYTES;
    for (uint32_t step_count = 1;; step_count++) {
        engine_step(engine, run);
        if (run->state != RUN_READY || run->charged >= charged_max)
            return;
        if (engine_looks_at_clock(step_count) && clock_now_ns() - start_ns >= ENGINE_BURST_NS)
            return;
        if (!engine_take_back(engine, run))
            return;
    }
}

/* One step of one run, which afterwards is READY, waits, or is over. */
static void engine_step(struct engine *engine, struct run *run)
{
    uint32_t reason = slot_cancel_reason(run->slot, run->reply.generation);
    if (reason != CANCEL_NONE) {
        if (run->is_driven)
            engine_tell_cancel(engine, run);
        else
            engine_cancel(engine, run, reason);
        return;
    }
    if (!run_may_step(run, engine->window_bytes)) {
        engine_wait_window(engine, run);
        return;
    }
    struct reply *reply = &engine->worker->reply;
    if (run->stash.used == 0) {
        reply_open(reply);
    } else if (reply_unstash(reply, &run->stash) != 0) {
        failure_set(&engine->worker->failure, ERROR_OOM, "out of memory for a chunk");
        engine_fail(engine, run);
        return;
    }
    if (run->is_line_waiting) {
        run->is_line_waiting = false;
        engine_offer(engine, run);
        if (run->state == RUN_DRIVEN)
            engine->host->resume(engine->host, run);
        return;
    }
    engine_step_line(engine, run);
}

static void engine_step_line(struct engine *engine, struct run *run)
{
    struct reply *reply = &engine->worker->reply;
    switch (line_step(&run->line, &reply->value)) {
    case LINE_ITEM:
        engine_offer(engine, run);
        break;
    case LINE_LATER:
        engine_wait_later(engine, run);
        break;
    case LINE_END:
        reply_abort(reply);
        engine_end(engine, run, NULL);
        break;
    case LINE_FAILED:
        reply_abort(reply);
        engine_fail(engine, run);
        break;
    }
}

/* Keeps what the line's other streams gave. */
static void engine_wait_later(struct engine *engine, struct run *run)
{
    uint64_t due_ns = engine->worker->reply.value.due_ns;
    uint64_t due_ns_max = engine->burst_ns + RUN_LATER_MS_MAX * CLOCK_NS_PER_MS;
    if (due_ns > due_ns_max)
        due_ns = due_ns_max;
    if (reply_stash(&engine->worker->reply, &run->stash) != 0) {
        failure_set(&engine->worker->failure, ERROR_OOM, "out of memory for a chunk");
        engine_fail(engine, run);
        return;
    }
    /* Until then silence is what the pipeline asked for, and no sign of a hang. */
    slot_progress(run->slot, due_ns);
    run->state = RUN_LATER;
    /* Who asks for a time that has passed comes behind all who are late by now. */
    due_add(&engine->due, run->reply.slot, due_ns > engine->due_ns ? due_ns : engine->due_ns);
}

static void engine_wait_window(struct engine *engine, struct run *run)
{
    engine->window_count++;
    run->state = RUN_WINDOW;
}

/* ---- driven runs --------------------------------------------------------------------------- */
