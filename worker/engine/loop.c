/* SPDX-License-Identifier: MIT */
/*
 * loop.c - one pass: requests, due times, windows and cancellations, then one step for each ready
 * run.
 *
 * Every part of a pass is bounded, so that no run and no request waits for another's flood. A step
 * calls next() once for each live stream of one run, and a chunk is published, and the dispatcher
 * rung if it sleeps, before user code is called again. A run whose steps are quick makes several in
 * a row, so that its lines lie together in the ring: the dispatcher then writes to one connection
 * for a while, and sends it few large blocks instead of many small ones.
 *
 * Runs that waited for a time are the other way round: what they make is to be fresh. When many are
 * due at once they are stepped a few at a time, and the next ones when the dispatcher has read what
 * those made: a line made earlier would only lie in the ring and be old when it leaves.
 */
#include "worker/engine/loop.h"

#include <errno.h>
#include <string.h>

#include "millrace/limits.h"
#include "shm/clock.h"
#include "worker/engine/leave.h"
#include "worker/engine/log_capture.h"
#include "worker/engine/request.h"

/* START records taken in one pass; each calls pipes. */
#define LOOP_REQUEST_COUNT_MAX 8u
/* Waiting runs looked at in one pass while others are ready; before sleeping all are. */
#define LOOP_WATCH_COUNT_MAX 8u
/* What one run may send, and how long it may take, before the next run has its turn. */
#define LOOP_BURST_BYTES (128u * 1024)
#define LOOP_BURST_NS 30000u
/* Runs whose time has come that are stepped in one pass, and bytes of theirs that may wait to be
 * read before more of them are; while other runs fill the ring, neither. */
#define LOOP_DUE_COUNT_MAX 16u
#define LOOP_AHEAD_BYTES 2048u
/* Passes of one loop_turn(), after which the host's own work has its turn. */
#define LOOP_TURN_PASS_COUNT 64u

static void loop_pass(struct loop *loop);
static bool loop_is_over(const struct loop *loop);
static void loop_take_requests(struct loop *loop);
static void loop_take_stop(struct loop *loop);
static void loop_take_start(struct loop *loop, const struct record *meta, const void *payload);
static void loop_take_due(struct loop *loop);
static void loop_watch(struct loop *loop, uint32_t count_max);
static void loop_step_ready(struct loop *loop, uint32_t other_count);
static void loop_burst(struct loop *loop, struct run *run);
static void loop_step(struct loop *loop, struct run *run);
static void loop_step_line(struct loop *loop, struct run *run);
static void loop_offer(struct loop *loop, struct run *run);
static void loop_wait_later(struct loop *loop, struct run *run);
static void loop_make_ready(struct loop *loop, struct run *run);
static void loop_wait_window(struct loop *loop, struct run *run);
static uint32_t loop_interests(const struct loop *loop);
static uint64_t loop_sleep_until_ns(const struct loop *loop);
static void loop_sleep(struct loop *loop);
static void loop_tell_cancel(struct loop *loop, struct run *run);
static void loop_cancel(struct loop *loop, struct run *run, uint32_t reason);
static void loop_fail(struct loop *loop, struct run *run);
static void loop_end(struct loop *loop, struct run *run, const struct failure *failure);

int loop_init(struct loop *loop, struct worker *worker, struct host *host)
{
    uint32_t slot_count = worker->attachment.segment.options.slot_count;
    *loop = (struct loop){
        .worker = worker,
        .host = host,
        .slot_count = slot_count,
        .window_bytes = worker->attachment.segment.options.window_bytes,
        .runs = calloc(slot_count, sizeof *loop->runs),
        .ready = {.slots = calloc(slot_count, sizeof *loop->ready.slots)},
        .active = calloc(slot_count, sizeof *loop->active),
    };
    if (!loop->runs || !loop->ready.slots || !loop->active ||
        due_init(&loop->due, slot_count) != 0) {
        loop_finish(loop);
        return -ENOMEM;
    }
    return 0;
}

void loop_finish(struct loop *loop)
{
    for (uint32_t i = 0; loop->runs && i < loop->slot_count; i++) {
        if (loop->runs[i].state != RUN_NONE)
            run_finish(&loop->runs[i]);
        buffer_finish(&loop->runs[i].stash);
    }
    free(loop->runs);
    free(loop->ready.slots);
    free(loop->active);
    due_finish(&loop->due);
    *loop = (struct loop){.worker = NULL};
}

void loop_run(struct loop *loop)
{
    while (!loop_is_over(loop)) {
        loop_pass(loop);
        if (loop->ready.count == 0 && !loop_is_over(loop))
            loop_sleep(loop);
    }
}

bool loop_turn(struct loop *loop, uint64_t *due_ns)
{
    struct attachment *attachment = &loop->worker->attachment;
    loop->has_driven = false; /* known to the host, which is here */
    doorbell_disarm(&attachment->bell);
    if (attachment_poll(attachment) != 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
    for (uint32_t i = 0; i < LOOP_TURN_PASS_COUNT; i++) {
        loop_pass(loop);
        if (loop->ready.count == 0)
            break;
    }
    if (loop->is_stopping && loop->active_count == 0)
        return false;
    reply_trim(&loop->worker->reply);
    doorbell_arm(&attachment->bell, loop_interests(loop));
    loop_watch(loop, loop->active_count);
    *due_ns = loop_sleep_until_ns(loop);
    return true;
}

static void loop_pass(struct loop *loop)
{
    loop_take_requests(loop);
    loop_watch(loop, LOOP_WATCH_COUNT_MAX);
    uint32_t other_count = loop->ready.count;
    loop_take_due(loop);
    loop_step_ready(loop, other_count);
}

static bool loop_is_over(const struct loop *loop)
{
    return (loop->is_stopping && loop->active_count == 0) || loop->has_driven;
}

/* ---- requests ------------------------------------------------------------------------------ */

static void loop_take_requests(struct loop *loop)
{
    struct attachment *attachment = &loop->worker->attachment;
    for (uint32_t i = 0; i < LOOP_REQUEST_COUNT_MAX; i++) {
        struct record meta;
        const void *payload;
        int rc = ring_peek(&attachment->request, &meta, &payload);
        if (rc == 0)
            return;
        if (rc < 0)
            leave(WORKER_EXIT_PROTOCOL, "the request ring is corrupt: %s", strerror(-rc));
        if (meta.kind == RECORD_START)
            loop_take_start(loop, &meta, payload);
        else if (meta.kind == RECORD_STOP)
            loop_take_stop(loop);
        else
            leave(WORKER_EXIT_PROTOCOL, "a record of kind %u in the request ring", meta.kind);
    }
}

static void loop_take_stop(struct loop *loop)
{
    loop->is_stopping = true;
    ring_release(&loop->worker->attachment.request);
}

/* Copies the request, gives its bytes back, and starts the run unless it was revoked meanwhile. */
static void loop_take_start(struct loop *loop, const struct record *meta, const void *payload)
{
    struct worker *worker = loop->worker;
    if (meta->slot >= loop->slot_count || loop->runs[meta->slot].state != RUN_NONE)
        leave(WORKER_EXIT_PROTOCOL, "a START record for slot %u, which is not free", meta->slot);
    struct run *run = &loop->runs[meta->slot];
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
    run->active_index = loop->active_count;
    loop->active[loop->active_count++] = run->reply.slot;
    slot_progress(slot, clock_coarse_ns());
    worker_enter(worker, run);
    if (rc == 0)
        rc = request_read(&request, run);
    if (rc != 0)
        request_explain(&worker->failure, rc);
    else
        rc = loop->host->start(loop->host, run);
    if (rc == HOST_DRIVEN) {
        run->is_driven = true;
        run->state = RUN_DRIVEN;
        loop->has_driven = true;
    } else if (rc == HOST_STARTED) {
        loop_make_ready(loop, run);
    } else {
        loop_fail(loop, run);
    }
    worker_enter(worker, NULL);
}

/* ---- who is ready -------------------------------------------------------------------------- */

static void loop_make_ready(struct loop *loop, struct run *run)
{
    struct loop_queue *ready = &loop->ready;
    mr_assert(ready->count < loop->slot_count);
    uint32_t place = ready->first + ready->count;
    if (place >= loop->slot_count)
        place -= loop->slot_count;
    ready->slots[place] = run->reply.slot;
    ready->count++;
    if (run->state == RUN_WINDOW)
        loop->window_count--;
    run->state = RUN_READY;
}

static void loop_wait_window(struct loop *loop, struct run *run)
{
    loop->window_count++;
    run->state = RUN_WINDOW;
}

static struct run *loop_next_ready(struct loop *loop)
{
    struct loop_queue *ready = &loop->ready;
    mr_assert(ready->count > 0);
    struct run *run = &loop->runs[ready->slots[ready->first]];
    ready->first = ready->first + 1 == loop->slot_count ? 0 : ready->first + 1;
    ready->count--;
    return run;
}

/* True while a line is unread that was made by a run which was not due. */
static bool loop_others_are_unread(const struct loop *loop)
{
    const struct ring_tx *reply = &loop->worker->attachment.reply;
    return ring_unread_bytes(reply) > reply->tail - loop->others_tail;
}

/* True when nothing is unread but what due runs made, and that is enough. A head that is nonsense
 * is for the next claim to find. */
static bool loop_is_ahead(const struct loop *loop)
{
    const struct ring_tx *reply = &loop->worker->attachment.reply;
    uint64_t unread = ring_unread_bytes(reply);
    return unread >= LOOP_AHEAD_BYTES && unread <= reply->capacity && !loop_others_are_unread(loop);
}

/* The runs that are ready by now fill the ring, and so do those that wait for their window but were
 * read only half: then nobody is held, or all could be for ever. */
static void loop_take_due(struct loop *loop)
{
    loop->holds_due = false;
    if (loop->due.count == 0)
        return;
    loop->due_ns = clock_now_ns();
    if (due_earliest_ns(&loop->due) > loop->due_ns)
        return;
    bool is_alone = loop->ready.count == 0 && !loop_others_are_unread(loop);
    if (is_alone && loop_is_ahead(loop)) {
        loop->holds_due = true;
        return;
    }
    uint32_t count_max = is_alone ? LOOP_DUE_COUNT_MAX : loop->slot_count;
    for (uint32_t i = 0; i < count_max && due_earliest_ns(&loop->due) <= loop->due_ns; i++)
        loop_make_ready(loop, &loop->runs[due_take(&loop->due)]);
}

/* Looks whether waiting runs were cancelled or may send again, at most `count_max` of them; at none
 * while no run waits for its window and no cancel came since all were looked at. */
static void loop_watch(struct loop *loop, uint32_t count_max)
{
    uint64_t cancels = slot_cancel_count(&loop->worker->attachment.segment.header->cancel_count);
    uint32_t waiting = loop->active_count - loop->ready.count;
    if (waiting == 0)
        return;
    if (loop->window_count == 0 && cancels == loop->cancels_seen)
        return;
    if (count_max >= waiting)
        loop->cancels_seen = cancels;
    for (uint32_t i = 0; i < loop->active_count && count_max > 0; i++) {
        if (loop->watch_next >= loop->active_count)
            loop->watch_next = 0;
        struct run *run = &loop->runs[loop->active[loop->watch_next++]];
        if (run->state == RUN_READY)
            continue;
        count_max--;
        bool is_cancelled = slot_cancel_reason(run->slot, run->reply.generation) != 0;
        if (run->is_cancel_told)
            continue;
        if (run->state == RUN_LATER && is_cancelled)
            due_remove(&loop->due, run->reply.slot);
        else if (run->state == RUN_WINDOW ? !is_cancelled && !run_may_step(run, loop->window_bytes)
                                          : !is_cancelled)
            continue;
        loop_make_ready(loop, run);
    }
}

/* Delivered counts move with every line, and room in the ring with every batch; only who waits for
 * one is woken by them. */
static uint32_t loop_interests(const struct loop *loop)
{
    return DOORBELL_WORK | (loop->window_count > 0 ? DOORBELL_WINDOW : 0) |
           (loop->holds_due ? DOORBELL_SPACE : 0);
}

/* 0: there is something to do. Asked when the bell is armed. */
static uint64_t loop_sleep_until_ns(const struct loop *loop)
{
    if (loop->ready.count > 0 || !ring_is_empty(&loop->worker->attachment.request))
        return 0;
    if (loop->holds_due)
        return loop_is_ahead(loop) ? CLOCK_NEVER : 0;
    return due_earliest_ns(&loop->due);
}

/* The sleeper's loop of doorbell.h: arm, look at everything again, sleep, disarm. */
static void loop_sleep(struct loop *loop)
{
    struct attachment *attachment = &loop->worker->attachment;
    reply_trim(&loop->worker->reply);
    doorbell_arm(&attachment->bell, loop_interests(loop));
    loop_watch(loop, loop->active_count);
    uint64_t until_ns = loop_sleep_until_ns(loop);
    int rc = until_ns > 0 ? attachment_sleep(attachment, until_ns) : 0;
    doorbell_disarm(&attachment->bell);
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
}

/* ---- steps --------------------------------------------------------------------------------- */

/* Behind the first `other_count` are those that were due. */
static void loop_step_ready(struct loop *loop, uint32_t other_count)
{
    /* Those that become ready meanwhile have their turn in the next pass. */
    uint32_t count = loop->ready.count;
    uint64_t stamp_ns = count > 0 ? clock_coarse_ns() : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct run *run = loop_next_ready(loop);
        loop->steps_due = i >= other_count;
        slot_progress(run->slot, stamp_ns);
        worker_enter(loop->worker, run);
        loop_burst(loop, run);
        worker_enter(loop->worker, NULL);
    }
    loop->steps_due = false;
}

/* Takes the run out of the ready queue when it is the one that was put there last. */
static bool loop_take_back(struct loop *loop, const struct run *run)
{
    struct loop_queue *ready = &loop->ready;
    if (run->state != RUN_READY || ready->count == 0)
        return false;
    uint32_t place = ready->first + ready->count - 1;
    if (place >= loop->slot_count)
        place -= loop->slot_count;
    if (ready->slots[place] != run->reply.slot)
        return false;
    ready->count--;
    return true;
}

/* Looking at the clock costs a quarter of a quick step: it is done after steps 1, 2, 4, 8, and then
 * after every eighth. */
static bool loop_looks_at_clock(uint32_t step_count)
{
    return step_count < 8 ? (step_count & (step_count - 1)) == 0 : step_count % 8 == 0;
}

/* Steps of one run, until it waits, is over, or has had its share. */
static void loop_burst(struct loop *loop, struct run *run)
{
    uint64_t start_ns = loop->burst_ns = clock_now_ns();
    uint64_t charged_max = run->charged + LOOP_BURST_BYTES;
    for (uint32_t step_count = 1;; step_count++) {
        loop_step(loop, run);
        if (run->state != RUN_READY || run->charged >= charged_max)
            return;
        if (loop_looks_at_clock(step_count) && clock_now_ns() - start_ns >= LOOP_BURST_NS)
            return;
        if (!loop_take_back(loop, run))
            return;
    }
}

/* One step of one run, which afterwards is READY, waits, or is over. */
static void loop_step(struct loop *loop, struct run *run)
{
    uint32_t reason = slot_cancel_reason(run->slot, run->reply.generation);
    if (reason != CANCEL_NONE) {
        if (run->is_driven)
            loop_tell_cancel(loop, run);
        else
            loop_cancel(loop, run, reason);
        return;
    }
    if (!run_may_step(run, loop->window_bytes)) {
        loop_wait_window(loop, run);
        return;
    }
    struct reply *reply = &loop->worker->reply;
    if (run->stash.used == 0) {
        reply_open(reply);
    } else if (reply_unstash(reply, &run->stash) != 0) {
        failure_set(&loop->worker->failure, ERROR_OOM, "out of memory for a chunk");
        loop_fail(loop, run);
        return;
    }
    if (run->is_line_waiting) {
        run->is_line_waiting = false;
        loop_offer(loop, run);
        if (run->state == RUN_DRIVEN)
            loop->host->resume(loop->host, run);
        return;
    }
    loop_step_line(loop, run);
}

static void loop_step_line(struct loop *loop, struct run *run)
{
    struct reply *reply = &loop->worker->reply;
    switch (line_step(&run->line, &reply->value)) {
    case LINE_ITEM:
        loop_offer(loop, run);
        break;
    case LINE_LATER:
        loop_wait_later(loop, run);
        break;
    case LINE_END:
        reply_abort(reply);
        loop_end(loop, run, NULL);
        break;
    case LINE_FAILED:
        reply_abort(reply);
        loop_fail(loop, run);
        break;
    }
}

/* Sends the complete line that is open, or sets it aside until the window allows it. */
static void loop_offer(struct loop *loop, struct run *run)
{
    struct reply *reply = &loop->worker->reply;
    size_t bytes = reply_open_bytes(reply);
    if (run_window_allows(run, loop->window_bytes, bytes)) {
        run_charge(run, bytes);
        reply_commit_chunk(reply, &run->reply);
        if (!loop->steps_due)
            loop->others_tail = reply->attachment->reply.tail;
        if (run->is_driven)
            run->state = RUN_DRIVEN;
        else
            loop_make_ready(loop, run);
        return;
    }
    if (reply_stash(reply, &run->stash) != 0) {
        failure_set(&loop->worker->failure, ERROR_OOM, "out of memory for a chunk");
        loop_fail(loop, run);
        return;
    }
    run->is_line_waiting = true;
    loop_wait_window(loop, run);
}

/* Keeps what the line's other streams gave. */
static void loop_wait_later(struct loop *loop, struct run *run)
{
    uint64_t due_ns = loop->worker->reply.value.due_ns;
    uint64_t due_ns_max = loop->burst_ns + RUN_LATER_MS_MAX * CLOCK_NS_PER_MS;
    if (due_ns > due_ns_max)
        due_ns = due_ns_max;
    if (reply_stash(&loop->worker->reply, &run->stash) != 0) {
        failure_set(&loop->worker->failure, ERROR_OOM, "out of memory for a chunk");
        loop_fail(loop, run);
        return;
    }
    /* Until then silence is what the pipeline asked for, and no sign of a hang. */
    slot_progress(run->slot, due_ns);
    run->state = RUN_LATER;
    /* Who asks for a time that has passed comes behind all who are late by now. */
    due_add(&loop->due, run->reply.slot, due_ns > loop->due_ns ? due_ns : loop->due_ns);
}

/* ---- driven runs --------------------------------------------------------------------------- */

struct mr_value *loop_open_line(struct loop *loop, struct run *run)
{
    mr_assert(run->state == RUN_DRIVEN);
    slot_progress(run->slot, clock_coarse_ns());
    worker_enter(loop->worker, run);
    return reply_open(&loop->worker->reply);
}

void loop_abort_line(struct loop *loop)
{
    reply_abort(&loop->worker->reply);
    worker_enter(loop->worker, NULL);
}

bool loop_send_line(struct loop *loop, struct run *run)
{
    loop_offer(loop, run);
    worker_enter(loop->worker, NULL);
    return run->state == RUN_DRIVEN;
}

/* The host ends it; nothing more of it is sent. */
static void loop_tell_cancel(struct loop *loop, struct run *run)
{
    run->is_cancel_told = true;
    run->is_line_waiting = false;
    run->stash.used = 0;
    run->state = RUN_DRIVEN;
    loop->host->cancel(loop->host, run);
}

void loop_end_driven(struct loop *loop, struct run *run)
{
    mr_assert(run->state == RUN_DRIVEN);
    const struct failure *failure = &loop->worker->failure;
    uint32_t reason = slot_cancel_reason(run->slot, run->reply.generation);
    worker_enter(loop->worker, run);
    if (reason != CANCEL_NONE)
        loop_cancel(loop, run, reason);
    else if (failure->is_set)
        loop_fail(loop, run);
    else
        loop_end(loop, run, NULL);
    worker_enter(loop->worker, NULL);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static const char *const cancel_texts[CANCEL_REASON_COUNT] = {
    [CANCEL_NONE] = "no reason",
    [CANCEL_CLIENT_GONE] = "the client left",
    [CANCEL_REQUESTED] = "on request",
    [CANCEL_DEADLINE] = "its deadline passed",
    [CANCEL_STALLED] = "the client stopped reading",
    [CANCEL_DRAIN] = "the server stops",
    [CANCEL_BAD_VALUE] = "a value could not be sent",
};

static void loop_cancel(struct loop *loop, struct run *run, uint32_t reason)
{
    const char *text = reason < CANCEL_REASON_COUNT ? cancel_texts[reason] : NULL;
    if (!text)
        text = "reason unknown";
    failure_set(&loop->worker->failure, ERROR_UNKNOWN, "cancelled: %s", text);
    loop_fail(loop, run);
}

static void loop_fail(struct loop *loop, struct run *run)
{
    loop_end(loop, run, &loop->worker->failure);
    failure_clear(&loop->worker->failure);
}

/* Closes the iterators, gives memory and slot back, and sends the run's last record. */
static void loop_end(struct loop *loop, struct run *run, const struct failure *failure)
{
    struct reply *reply = &loop->worker->reply;
    line_close(&run->line);
    if (loop->host->finish)
        loop->host->finish(loop->host, run);
    log_capture_flush();

    uint32_t last = loop->active[--loop->active_count];
    loop->active[run->active_index] = last;
    loop->runs[last].active_index = run->active_index;
    if (!slot_move(run->slot, run->reply.generation, SLOT_RUNNING, SLOT_ENDED))
        leave(WORKER_EXIT_PROTOCOL, "slot %u is not running: its word was overwritten",
              run->reply.slot);
    if (failure)
        reply_error(reply, &run->reply, failure);
    else
        reply_end(reply, &run->reply);
    run_finish(run);
}
