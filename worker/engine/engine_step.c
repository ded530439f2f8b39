/* SPDX-License-Identifier: MIT */
/*
 * engine_step.c - steps of the runs that are ready.
 *
 * A step calls next() once for each live stream of one run, and a chunk is published, and the
 * dispatcher rung if it sleeps, before user code is called again. A run whose steps are quick makes
 * several in a row, so that its lines lie together in the ring: the dispatcher then writes to one
 * connection for a while, and sends it few large blocks instead of many small ones.
 */
#include <errno.h>
#include <string.h>

#include "millrace/limits.h"
#include "shm/clock.h"
#include "worker/engine/engine_parts.h"

/* What one run may send, and how long it may take, before the next run has its turn. */
#define ENGINE_BURST_BYTES (128u * 1024)
#define ENGINE_BURST_NS 30000u

static struct job *engine_next_ready(struct engine *engine);
static void engine_burst(struct engine *engine, struct job *job);
static void engine_step(struct engine *engine, struct job *job);
static void engine_step_line(struct engine *engine, struct job *job);
static void engine_wait_later(struct engine *engine, struct job *job);
static bool engine_watch_descriptor(struct engine *engine, struct job *job,
                                    const struct mr_value *value);
static void engine_step_waiting(struct engine *engine, struct job *job);

void engine_step_ready(struct engine *engine, uint32_t other_count)
{
    /* Those that become ready meanwhile have their turn in the next pass. */
    uint32_t count = engine->ready.count;
    uint64_t stamp_ns = count > 0 ? clock_coarse_ns() : 0;
    engine->due_left = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct job *job = engine_next_ready(engine);
        engine->steps_due = i >= other_count;
        slot_progress(job->slot, stamp_ns);
        context_enter(engine->context, job);
        engine_burst(engine, job);
        engine->due_left += engine->steps_due && job->state == JOB_READY;
        context_enter(engine->context, NULL);
    }
    engine->steps_due = false;
}

void engine_offer(struct engine *engine, struct job *job)
{
    struct reply *reply = &engine->context->reply;
    size_t bytes = reply_open_bytes(reply);
    if (!job->files.first && job_window_allows(job, engine->window_bytes, bytes)) {
        job_charge(job, bytes);
        reply_commit_chunk(reply, &job->reply);
        if (!engine->steps_due)
            engine->others_tail = reply->attachment->reply.tail;
        if (job->is_driven)
            job->state = JOB_DRIVEN;
        else
            engine_make_ready(engine, job);
        return;
    }
    if (reply_stash(reply, &job->stash) != 0) {
        error_set(&engine->context->error, ERROR_OOM, "out of memory for a chunk");
        engine_fail(engine, job);
        return;
    }
    job->is_line_waiting = true;
    engine_enter_window(engine, job);
    if (job->files.first)
        engine_give_files(engine, job);
}

static struct job *engine_next_ready(struct engine *engine)
{
    struct engine_queue *ready = &engine->ready;
    mr_assert(ready->count > 0);
    struct job *job = &engine->jobs[ready->slots[ready->first]];
    ready->first = ready->first + 1 == engine->slot_count ? 0 : ready->first + 1;
    ready->count--;
    return job;
}

/* Takes the run out of the ready queue when it is the one that was put there last. */
static bool engine_take_back(struct engine *engine, const struct job *job)
{
    struct engine_queue *ready = &engine->ready;
    if (job->state != JOB_READY || ready->count == 0)
        return false;
    uint32_t place = ready->first + ready->count - 1;
    if (place >= engine->slot_count)
        place -= engine->slot_count;
    if (ready->slots[place] != job->reply.slot)
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
static void engine_burst(struct engine *engine, struct job *job)
{
    uint64_t start_ns = engine->burst_ns = clock_now_ns();
    uint64_t charged_max = job->charged + ENGINE_BURST_BYTES;
    for (uint32_t step_count = 1;; step_count++) {
        engine_step(engine, job);
        if (job->state != JOB_READY || job->charged >= charged_max)
            return;
        if (engine_looks_at_clock(step_count) && clock_now_ns() - start_ns >= ENGINE_BURST_NS)
            return;
        if (!engine_take_back(engine, job))
            return;
    }
}

/* One step of one run, which afterwards is READY, waits, or is over. */
static void engine_step(struct engine *engine, struct job *job)
{
    uint32_t reason = slot_cancel_reason(job->slot, job->reply.generation);
    if (reason != CANCEL_NONE) {
        if (job->is_driven)
            engine_tell_cancel(engine, job);
        else
            engine_cancel(engine, job, reason);
        return;
    }
    if (!job_may_step(job, engine->window_bytes)) {
        engine_enter_window(engine, job);
        return;
    }
    struct reply *reply = &engine->context->reply;
    if (job->stash.used == 0) {
        reply_open(reply);
    } else if (reply_unstash(reply, &job->stash) != 0) {
        error_set(&engine->context->error, ERROR_OOM, "out of memory for a chunk");
        engine_fail(engine, job);
        return;
    }
    if (job->is_line_waiting)
        engine_step_waiting(engine, job);
    else
        engine_step_line(engine, job);
}

/* The complete line that was set aside. Where one of its files is refused the run fails: one that
 * is driven finds out when it is to send more, or ends. */
static void engine_step_waiting(struct engine *engine, struct job *job)
{
    job->is_line_waiting = false;
    if (!job->files.is_refused) {
        engine_offer(engine, job);
    } else {
        reply_abort(&engine->context->reply);
        if (job->is_driven) {
            job->state = JOB_DRIVEN;
        } else {
            out_files_explain(&job->files, &engine->context->error);
            engine_fail(engine, job);
        }
    }
    if (job->state == JOB_DRIVEN)
        engine->host->resume(engine->host, job);
}

static void engine_step_line(struct engine *engine, struct job *job)
{
    struct reply *reply = &engine->context->reply;
    switch (lockstep_step(&job->lockstep, &reply->value)) {
    case LOCKSTEP_ITEM:
        engine_offer(engine, job);
        break;
    case LOCKSTEP_LATER:
        engine_wait_later(engine, job);
        break;
    case LOCKSTEP_END:
        reply_abort(reply);
        engine_end(engine, job, NULL);
        break;
    case LOCKSTEP_FAILED:
        reply_abort(reply);
        engine_fail(engine, job);
        break;
    }
}

/* Keeps what the line's other streams gave. */
static void engine_wait_later(struct engine *engine, struct job *job)
{
    const struct mr_value *value = &engine->context->reply.value;
    uint64_t due_ns = value->due_ns;
    uint64_t due_ns_max = engine->burst_ns + RUN_LATER_MS_MAX * CLOCK_NS_PER_MS;
    bool has_time = due_ns != CLOCK_NEVER;
    if (due_ns > due_ns_max)
        due_ns = due_ns_max;
    if (reply_stash(&engine->context->reply, &job->stash) != 0) {
        error_set(&engine->context->error, ERROR_OOM, "out of memory for a chunk");
        engine_fail(engine, job);
        return;
    }
    if (value->later_fd != -1 && !engine_watch_descriptor(engine, job, value)) {
        engine_fail(engine, job);
        return;
    }
    /* Until then silence is what the pipeline asked for, and no sign of a hang. Who waits to be
     * woken has not said how long that may take. */
    if (has_time)
        slot_progress(job->slot, due_ns);
    job->state = JOB_LATER;
    /* Who asks for a time that has passed comes behind all who are late by now. */
    due_add(&engine->due, job->reply.slot, due_ns > engine->due_ns ? due_ns : engine->due_ns);
}

/* False: it cannot be watched, and the failure says why. */
static bool engine_watch_descriptor(struct engine *engine, struct job *job,
                                    const struct mr_value *value)
{
    int rc = attachment_watch(&engine->context->attachment, value->later_fd, value->later_events,
                              job->reply.slot);
    if (rc == 0) {
        job->watched_fd = value->later_fd;
        engine->watched_count++;
        return true;
    }
    const struct lockstep *lockstep = &job->lockstep;
    struct error *error = &engine->context->error;
    error_set(error, ERROR_PIPELINE, "descriptor %d cannot be waited for: %s", value->later_fd,
              rc == -EEXIST ? "another run waits for it" : strerror(-rc));
    error_explain(error, "pipe", lockstep->outputs[lockstep->position].name, rc);
    return false;
}
