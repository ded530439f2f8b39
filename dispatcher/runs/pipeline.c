/* SPDX-License-Identifier: MIT */
/* pipeline.c - queues and scheduling. */
#include "dispatcher/runs/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/server/loop.h"

/* Where the numbers end and the oldest is still out, all draw again. */
static uint64_t ticket_draw(struct pipeline *pipeline)
{
    struct tickets *tickets = &pipeline->tickets;
    if (pipeline->queue_first && tickets_are_used_up(tickets, pipeline->queue_first->ticket)) {
        tickets_reset(tickets);
        for (struct run *run = pipeline->queue_first; run; run = run->next)
            run->ticket = tickets_draw(tickets);
    }
    return tickets_draw(tickets);
}

uint32_t pipeline_queue_position(const struct pipeline *pipeline, const struct run *run)
{
    return tickets_before(&pipeline->tickets, pipeline->queue_first->ticket, run->ticket);
}

void pipeline_enqueue(struct pipeline *pipeline, struct run *run)
{
    run->ticket = ticket_draw(pipeline);
    run->next = NULL;
    run->previous = pipeline->queue_last;
    if (pipeline->queue_last)
        pipeline->queue_last->next = run;
    else
        pipeline->queue_first = run;
    pipeline->queue_last = run;
    pipeline->queue_count++;
}

void pipeline_dequeue(struct pipeline *pipeline, struct run *run)
{
    mr_assert(pipeline->queue_count > 0);
    tickets_return(&pipeline->tickets, run->ticket);
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
}

/* The ready worker with the most free slots; NULL: none has one. */
static struct worker *least_loaded(struct loop *loop, const struct pipeline *pipeline)
{
    struct worker *best = NULL;
    for (uint32_t i = 0; i < pipeline->worker_count; i++) {
        struct worker *worker = loop_place(loop, pipeline, i);
        uint32_t free_count = worker_free_count(worker);
        if (free_count > 0 && (!best || free_count > worker_free_count(best)))
            best = worker;
    }
    return best;
}

static void rooms_look(struct loop *loop, const struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->worker_count; i++)
        worker_look_for_room(loop_place(loop, pipeline, i), loop->reactor.now_ms);
}

bool pipeline_has_slot(struct loop *loop, struct pipeline *pipeline)
{
    rooms_look(loop, pipeline);
    return least_loaded(loop, pipeline) != NULL;
}

uint32_t pipelines_queue_count(const struct loop *loop)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        count += loop->pipelines[i].queue_count;
    return count;
}

void pipeline_schedule(struct loop *loop, struct pipeline *pipeline)
{
    rooms_look(loop, pipeline);
    /* Bounded by the slots: each turn takes one, or ends a run, or leaves out a worker. */
    while (pipeline->queue_first) {
        struct worker *worker = least_loaded(loop, pipeline);
        if (!worker)
            return;
        struct run *run = pipeline->queue_first;
        int rc = worker_offer(loop, worker, run);
        if (rc == 0) {
            run_assign(loop, run);
            continue;
        }
        if (rc == -EAGAIN)
            continue; /* it has no room or proved corrupt: another one may do */
        char message[128];
        int count = snprintf(message, sizeof(message),
                             "the request cannot be given to a worker: %s", strerror(-rc));
        run_cancel(loop, run,
                   &(struct run_failure){.type = rc == -ENOMEM ? ERROR_OOM : ERROR_UNKNOWN,
                                         .status = 503,
                                         .retry_after_s = 1,
                                         .message = message,
                                         .message_count = (size_t)count,
                                         .reason = CANCEL_REFUSED});
    }
}

bool pipeline_can_offer(struct loop *loop, struct pipeline *pipeline)
{
    if (!pipeline->queue_first)
        return false;
    rooms_look(loop, pipeline);
    struct worker *worker = least_loaded(loop, pipeline);
    if (!worker)
        return false;
    const struct run *run = pipeline->queue_first;
    bool is_blob = worker_takes_as_blob(worker, run);
    return ring_claimable(&worker->requests) >= (is_blob ? 1 : run->payload_bytes);
}

struct pipeline *pipeline_find(struct loop *loop, const char *name)
{
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        struct pipeline *pipeline = &loop->pipelines[i];
        if (strcmp(pipeline->config->pointer, name) == 0 || strcmp(pipeline->config->id, name) == 0)
            return pipeline;
    }
    return NULL;
}

uint32_t pipeline_ready_count(const struct loop *loop, const struct pipeline *pipeline)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pipeline->worker_count; i++)
        count += worker_serves(loop_place(loop, pipeline, i));
    return count;
}

void pipeline_note_service(struct pipeline *pipeline, uint64_t took_ms)
{
    if (pipeline->service_count < SERVICE_COUNT_MAX)
        pipeline->service_count++;
    pipeline->service_ms += ((double)took_ms - pipeline->service_ms) / pipeline->service_count;
}

/* Slots become free, all together, so many a second; the queue and one more need that many. */
uint32_t pipeline_retry_after_s(const struct loop *loop, const struct pipeline *pipeline)
{
    uint32_t ready_count = pipeline_ready_count(loop, pipeline);
    double slot_count = (double)(ready_count > 0 ? ready_count : 1) * loop->config->concurrency;
    double wait_s = pipeline->service_ms * (pipeline->queue_count + 1) / slot_count / 1000;
    if (wait_s < 1)
        return 1;
    return wait_s > 60 ? 60 : (uint32_t)(wait_s + 0.999);
}
