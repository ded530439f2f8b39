/* SPDX-License-Identifier: MIT */
/* pipeline.c - queues and scheduling. */
#include "dispatcher/runs/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"
#include "shm/clock.h"

/* Of requests that were kept, so many are read in a pass: a few milliseconds. */
#define UNREAD_PER_PASS 16u

static uint64_t pipeline_draw_ticket(struct pipeline *pipeline);
static struct worker *pipeline_least_loaded(const struct pipeline *pipeline);
static void pipeline_look_for_rooms(const struct runs *runs, const struct pipeline *pipeline);
static struct worker_offer pipeline_offer(struct run *run);

uint32_t pipeline_queue_position(const struct pipeline *pipeline, const struct run *run)
{
    if (pipeline_is_fair(pipeline))
        return fair_queue_position(pipeline->fair, &run->fair);
    return tickets_before(&pipeline->tickets, pipeline->queue_first->ticket, run->ticket);
}

void pipeline_enqueue(struct runs *runs, struct run *run)
{
    struct pipeline *pipeline = run->pipeline;
    if (pipeline_is_fair(pipeline))
        pipeline_make_place(runs, pipeline, run);
    if (pipeline->fair)
        fair_queue_join(pipeline->fair, &run->fair, run->rank.class, run->rank.tenant,
                        pipeline_now_us(runs));
    run->ticket = pipeline_draw_ticket(pipeline);
    run->next = NULL;
    run->previous = pipeline->queue_last;
    if (pipeline->queue_last)
        pipeline->queue_last->next = run;
    else
        pipeline->queue_first = run;
    pipeline->queue_last = run;
    pipeline->queue_count++;
    runs->queue_count++;
}

void pipeline_dequeue(struct runs *runs, struct run *run)
{
    struct pipeline *pipeline = run->pipeline;
    mr_assert(pipeline->queue_count > 0);
    tickets_return(&pipeline->tickets, run->ticket);
    if (pipeline->fair && run->state == RUN_ACTIVE)
        fair_queue_start(pipeline->fair, &run->fair, pipeline_now_us(runs));
    else if (pipeline->fair)
        fair_queue_leave(pipeline->fair, &run->fair);
    if (run->previous)
        run->previous->next = run->next;
    else
        pipeline->queue_first = run->next;
    if (run->next)
        run->next->previous = run->previous;
    else
        pipeline->queue_last = run->previous;
    run->next = run->previous = NULL;
    pipeline->queue_count--;
    runs->queue_count--;
}

bool pipeline_has_slot(struct runs *runs, struct pipeline *pipeline)
{
    pipeline_look_for_rooms(runs, pipeline);
    return pipeline_least_loaded(pipeline) != NULL;
}

void pipeline_schedule(struct runs *runs, struct pipeline *pipeline)
{
    uint32_t unread_left = UNREAD_PER_PASS;
    pipeline_look_for_rooms(runs, pipeline);
    /* Bounded by the slots: each turn takes one, or reads a run or ends it, or leaves out a
     * worker. */
    while (pipeline->queue_first) {
        struct worker *worker = pipeline_least_loaded(pipeline);
        if (!worker) {
            pipeline_scale_watch(runs, pipeline);
            return;
        }
        struct run *run = pipeline_pick(runs, pipeline, &worker);
        if (run->is_unread && unread_left-- == 0)
            return; /* pipeline_can_offer() sees it */
        if (run->is_unread) {
            runs->unread_ops->read(runs->unread_owner, run);
            continue;
        }
        struct worker_offer offer = pipeline_offer(run);
        int rc = worker_offer(worker, &offer, &run->slot_index);
        run->offer_count++;
        if (rc == 0) {
            run->worker = worker;
            if (pipeline->affinity)
                pipeline_note_pick(runs, pipeline, run, worker);
            run_payload_free(runs, run);
            run_assign(runs, run);
            continue;
        }
        if (rc == -EAGAIN)
            continue; /* it has no room or proved corrupt: another one may do */
        char message[128];
        int count = snprintf(message, sizeof(message),
                             "the request cannot be given to a worker: %s", strerror(-rc));
        run_cancel(runs, run,
                   &(struct run_failure){.type = rc == -ENOMEM ? ERROR_OOM : ERROR_UNKNOWN,
                                         .status = 503,
                                         .retry_after_s = 1,
                                         .message = message,
                                         .message_count = (size_t)count,
                                         .reason = CANCEL_REFUSED});
    }
}

bool pipeline_can_offer(struct runs *runs, struct pipeline *pipeline)
{
    if (!pipeline->queue_first)
        return false;
    pipeline_look_for_rooms(runs, pipeline);
    struct worker *worker = pipeline_least_loaded(pipeline);
    if (!worker)
        return false;
    struct run *run = pipeline_next(runs, pipeline);
    struct worker_offer offer = pipeline_offer(run);
    return run->is_unread || worker_has_room_for(worker, &offer);
}

void pipeline_note_start(const struct runs *runs, const struct run *run)
{
    struct tally *tally = run->pipeline->tally;
    uint64_t waited_ms = runs->reactor->now_ms - run->created_ms;
    buckets_add(&tally->wait, &bucket_scale_runs, waited_ms * CLOCK_NS_PER_MS);
    if (run->fair.is_active)
        tally_note_class(tally, run->rank.class, waited_ms);
}

void pipeline_note_end(const struct runs *runs, struct run *run)
{
    struct pipeline *pipeline = run->pipeline;
    uint64_t took_ms = runs->reactor->now_ms - run->started_ms;
    if (pipeline->service_count < SERVICE_COUNT_MAX)
        pipeline->service_count++;
    pipeline->service_ms += ((double)took_ms - pipeline->service_ms) / pipeline->service_count;
    if (run->fair.is_active)
        fair_queue_end(pipeline->fair, &run->fair, pipeline_now_us(runs));
}

/* Slots become free, all together, so many a second; the queue and one more need that many. */
uint32_t pipeline_retry_after_s(const struct pipeline *pipeline)
{
    uint32_t ready_count = pool_ready_count(pipeline->pool);
    double slot_count =
        (double)(ready_count > 0 ? ready_count : 1) * pipeline->pool->worker_capacity;
    double wait_s = pipeline->service_ms * (pipeline->queue_count + 1) / slot_count / 1000;
    if (wait_s < 1)
        return 1;
    return wait_s > 60 ? 60 : (uint32_t)(wait_s + 0.999);
}

/* Where the numbers end and the oldest is still out, all draw again. */
static uint64_t pipeline_draw_ticket(struct pipeline *pipeline)
{
    struct tickets *tickets = &pipeline->tickets;
    if (pipeline->queue_first && tickets_are_used_up(tickets, pipeline->queue_first->ticket)) {
        tickets_reset(tickets);
        for (struct run *run = pipeline->queue_first; run; run = run->next)
            run->ticket = tickets_draw(tickets);
    }
    return tickets_draw(tickets);
}

/* The ready worker with the most free slots; NULL: none has one. */
static struct worker *pipeline_least_loaded(const struct pipeline *pipeline)
{
    const struct worker_pool *pool = pipeline->pool;
    struct worker *best = NULL;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct worker *worker = pool->places[i];
        uint32_t free_count = worker_free_count(worker);
        if (free_count > 0 && (!best || free_count > worker_free_count(best)))
            best = worker;
    }
    return best;
}

static void pipeline_look_for_rooms(const struct runs *runs, const struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++)
        worker_look_for_room(pipeline->pool->places[i], runs->reactor->now_ms);
}

static struct worker_offer pipeline_offer(struct run *run)
{
    const struct staged_files *files = run->files;
    return (struct worker_offer){.run = run,
                                 .run_id = run->id,
                                 .payload = run->payload,
                                 .payload_fd = run->has_payload_file ? run->payload_fd : -1,
                                 .payload_bytes = run->payload_bytes,
                                 .files = files ? files->message : NULL,
                                 .files_bytes = files ? files->message_bytes : 0};
}
