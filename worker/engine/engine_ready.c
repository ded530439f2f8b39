/* SPDX-License-Identifier: MIT */
/*
 * engine_ready.c - which waiting runs are ready again.
 *
 * Runs that waited for a time make what is to be fresh. When many are due at once they are stepped
 * a few at a time, and the next ones when the dispatcher has read what those made: a line made
 * earlier would only lie in the ring and be old when it leaves.
 */
#include "shm/clock.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/leave.h"

/* Runs whose time has come that are stepped in one pass, and bytes of theirs that may wait to be
 * read before more of them are; while other runs fill the ring, neither. */
#define ENGINE_DUE_COUNT_MAX 16u
#define ENGINE_AHEAD_BYTES 2048u
/* No count of delivered bytes. */
#define NEVER_LOOKED_AT UINT64_MAX

static void engine_watch_windows(struct engine *engine, uint32_t count_max);
static void engine_take_descriptors(struct engine *engine);
static void engine_end_wait(struct engine *engine, struct job *job);
static bool engine_others_are_unread(const struct engine *engine);

/* The runs that are ready by now fill the ring, and so do those that wait for their window but were
 * read only half: then nobody is held, or all could be for ever. One that was due itself, and took
 * so long for its line that it was not asked for the next one yet, does not. */
void engine_take_due(struct engine *engine)
{
    engine->holds_due = false;
    if (engine->due.count == 0)
        return;
    engine->due_ns = clock_now_ns();
    if (due_earliest_ns(&engine->due) > engine->due_ns)
        return;
    bool is_alone = engine->ready.count == engine->due_left && !engine_others_are_unread(engine);
    if (is_alone && engine_is_ahead(engine)) {
        engine->holds_due = true;
        return;
    }
    uint32_t count_max = is_alone ? ENGINE_DUE_COUNT_MAX : engine->slot_count;
    for (uint32_t i = 0; i < count_max && due_earliest_ns(&engine->due) <= engine->due_ns; i++)
        engine_end_wait(engine, &engine->jobs[due_take(&engine->due)]);
}

void engine_watch(struct engine *engine, uint32_t count_max)
{
    uint64_t cancels = slot_cancel_count(&engine->context->attachment.segment.header->cancel_count);
    uint32_t waiting = engine->active_count - engine->ready.count;
    if (waiting == 0)
        return;
    if (cancels == engine->cancels_seen) {
        engine_watch_windows(engine, count_max);
        return;
    }
    if (count_max >= waiting)
        engine->cancels_seen = cancels;
    for (uint32_t i = 0; i < engine->active_count && count_max > 0; i++) {
        if (engine->watch_next >= engine->active_count)
            engine->watch_next = 0;
        struct job *job = &engine->jobs[engine->active[engine->watch_next++]];
        if (job->state == JOB_READY)
            continue;
        count_max--;
        bool is_cancelled = slot_cancel_reason(job->slot, job->reply.generation) != 0;
        if (job->is_cancel_told)
            continue;
        if (job->state == JOB_WINDOW && (is_cancelled || job_may_step(job, engine->window_bytes)))
            engine_make_ready(engine, job);
        else if (job->state == JOB_LATER && is_cancelled)
            engine_end_wait(engine, job);
        else if (job->state == JOB_DRIVEN && is_cancelled)
            engine_tell_cancel(engine, job); /* at once: its host may end it before the next pass */
    }
}

/* Where nothing was delivered since the last look nothing has changed, and the run's own memory
 * stays untouched, as there may be thousands. What is loaded before a look is what the next one is
 * compared with. Files that are kept, the other thing to wait for, say so themselves. */
static void engine_watch_windows(struct engine *engine, uint32_t count_max)
{
    uint32_t count = engine->window_count < count_max ? engine->window_count : count_max;
    struct slot_shared *slots = engine->context->attachment.segment.slots;
    for (uint32_t i = 0; i < count; i++) {
        if (engine->window_next >= engine->window_count)
            engine->window_next = 0;
        struct engine_window *window = &engine->windows[engine->window_next];
        uint64_t delivered = slot_delivered(&slots[window->slot]);
        struct job *job = &engine->jobs[window->slot];
        if (delivered != window->delivered && job_may_step(job, engine->window_bytes)) {
            engine_make_ready(engine, job); /* the last one has its place now */
            continue;
        }
        window->delivered = delivered;
        engine->window_next++;
    }
}

void engine_enter_window(struct engine *engine, struct job *job)
{
    mr_assert(engine->window_count < engine->slot_count);
    job->state = JOB_WINDOW;
    job->window_index = engine->window_count;
    engine->windows[engine->window_count++] =
        (struct engine_window){.delivered = NEVER_LOOKED_AT, .slot = job->reply.slot};
}

void engine_leave_window(struct engine *engine, const struct job *job)
{
    mr_assert(engine->window_count > 0);
    struct engine_window last = engine->windows[--engine->window_count];
    engine->windows[job->window_index] = last;
    engine->jobs[last.slot].window_index = job->window_index;
}

void engine_take_woken(struct engine *engine)
{
    struct waker_queue *woken = &engine->context->woken;
    if (engine->watched_count > 0)
        engine_take_descriptors(engine);
    if (waker_queue_is_empty(woken))
        return;
    struct mr_waker *list = waker_queue_take(woken);
    uint16_t slot;
    uint32_t generation;
    /* Who does not wait is asked again anyway, and who has ended is nobody. */
    while (waker_next(&list, &slot, &generation)) {
        struct job *job = &engine->jobs[slot];
        if (job->state == JOB_LATER && job->reply.generation == generation)
            engine_end_wait(engine, job);
    }
}

/* A worker that does not sleep is not told of them: it looks, once a pass. */
static void engine_take_descriptors(struct engine *engine)
{
    struct attachment *attachment = &engine->context->attachment;
    if (attachment->look_count == engine->looks_seen && attachment_poll(attachment) != 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
    engine->looks_seen = attachment->look_count;
    uint32_t slot;
    while (attachment_take_ready(attachment, &slot)) {
        struct job *job = &engine->jobs[slot];
        if (job->state == JOB_LATER)
            engine_end_wait(engine, job);
        else if (job->state == JOB_WINDOW) /* else it was cancelled meanwhile, and ends */
            engine_go_on_writing(engine, job);
    }
}

/* A LATER run is ready, whatever it was that it waited for. */
static void engine_end_wait(struct engine *engine, struct job *job)
{
    mr_assert(job->state == JOB_LATER);
    due_remove(&engine->due, job->reply.slot);
    if (job->watched_fd != -1) {
        attachment_unwatch(&engine->context->attachment, job->watched_fd, job->reply.slot);
        job->watched_fd = -1;
        engine->watched_count--;
    }
    engine_make_ready(engine, job);
}

bool engine_is_ahead(const struct engine *engine)
{
    const struct ring_tx *reply = &engine->context->attachment.reply;
    uint64_t unread = ring_unread_bytes(reply);
    return unread >= ENGINE_AHEAD_BYTES && unread <= reply->capacity &&
           !engine_others_are_unread(engine);
}

/* True while a line is unread that was made by a run which was not due. */
static bool engine_others_are_unread(const struct engine *engine)
{
    const struct ring_tx *reply = &engine->context->attachment.reply;
    return ring_unread_bytes(reply) > reply->tail - engine->others_tail;
}
