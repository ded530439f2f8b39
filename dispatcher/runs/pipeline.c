/* SPDX-License-Identifier: MIT */
/* pipeline.c - queues and scheduling. */
#include "dispatcher/runs/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/loop/loop.h"

/* Starts in a row without a completed run after which nobody waits for a worker any more. */
#define FAILURE_STREAK_MAX 4u

void pipeline_enqueue(struct pipeline *pipeline, struct run *run)
{
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
        struct worker *worker = &loop->workers[pipeline->worker_first + i];
        uint32_t free_count = worker_free_count(worker);
        if (free_count > 0 && (!best || free_count > worker_free_count(best)))
            best = worker;
    }
    return best;
}

static void rooms_look(struct loop *loop, const struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->worker_count; i++)
        worker_look_for_room(&loop->workers[pipeline->worker_first + i]);
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
    /* A larger request goes another way, and takes only a header here. */
    size_t bytes = pipeline->queue_first->payload_bytes;
    bool is_blob = bytes > ring_payload_max(worker->requests.capacity);
    return ring_claimable(&worker->requests) >= (is_blob ? 1 : bytes);
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
        count += loop->workers[pipeline->worker_first + i].state == WORKER_READY;
    return count;
}

uint32_t pipeline_retry_after_s(const struct loop *loop, const struct pipeline *pipeline)
{
    double places = (double)pipeline->worker_count * loop->config->concurrency;
    double wait_s = pipeline->service_ms * (pipeline->queue_count + 1) / places / 1000;
    if (wait_s < 1)
        return 1;
    return wait_s > 60 ? 60 : (uint32_t)(wait_s + 0.999);
}

/* A worker that runs or will run soon: not one that failed again and again. */
static bool worker_is_hopeful(const struct worker *worker)
{
    switch (worker->state) {
    case WORKER_EMPTY:
    case WORKER_DYING:
    case WORKER_STARTING:
    case WORKER_LOADED:
        return worker->failure_streak < FAILURE_STREAK_MAX;
    case WORKER_READY:
    case WORKER_RETIRING:
        return true;
    case WORKER_STOPPING:
    case WORKER_STATE_COUNT:
        break;
    }
    return false;
}

static bool has_hope(const struct loop *loop, const struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->worker_count; i++)
        if (worker_is_hopeful(&loop->workers[pipeline->worker_first + i]))
            return true;
    return false;
}

static bool refuse(struct run_failure *out, int status, enum error_type type, const char *state,
                   uint32_t retry_after_s, const char *message)
{
    *out = (struct run_failure){.type = type,
                                .status = status,
                                .state = state,
                                .retry_after_s = retry_after_s,
                                .message = message,
                                .message_count = strlen(message)};
    return true;
}

/* The pipeline's own failure is the reason. */
static bool refuse_failed(struct run_failure *out, int status, const char *state,
                          uint32_t retry_after_s, const struct pipeline *pipeline)
{
    refuse(out, status, pipeline->failure_type, state, retry_after_s, pipeline->failure);
    out->traceback = pipeline->traceback;
    out->traceback_count = pipeline->traceback_count;
    return true;
}

bool pipeline_refuses(struct loop *loop, struct pipeline *pipeline, struct run_failure *failure)
{
    static const char none[] = "no_resources_available";
    if (loop->state != LOOP_SERVING)
        return refuse(failure, 503, ERROR_UNKNOWN, none, 5, "the server is stopping");
    if (pipeline_ready_count(loop, pipeline) == 0 &&
        (!pipeline->was_ready || !has_hope(loop, pipeline))) {
        if (pipeline->failure[0] != '\0' && !pipeline->was_ready)
            return refuse_failed(failure, 500, NULL, 0, pipeline);
        if (!pipeline->was_ready)
            return refuse(failure, 503, ERROR_LOADING, none, 1, "the pipeline is still loading");
        if (pipeline->failure[0] != '\0')
            return refuse_failed(failure, 503, none, 10, pipeline);
        return refuse(failure, 503, ERROR_UNKNOWN, none, 10, "no worker is ready");
    }
    rooms_look(loop, pipeline);
    if (pipeline->queue_count >= loop->config->queue_count_max && !least_loaded(loop, pipeline))
        return refuse(failure, 429, ERROR_UNKNOWN, none, pipeline_retry_after_s(loop, pipeline),
                      "the queue of this pipeline is full");
    return false;
}

void pipeline_fail_queue(struct loop *loop, struct pipeline *pipeline,
                         const struct run_failure *failure)
{
    while (pipeline->queue_first)
        run_worker_lost(loop, pipeline->queue_first, failure);
}

void pipeline_note_failure(struct pipeline *pipeline, enum error_type type, const char *text,
                           size_t count)
{
    if (count > sizeof(pipeline->failure) - 1)
        count = sizeof(pipeline->failure) - 1;
    pipeline->failure_type = type;
    memcpy(pipeline->failure, text, count);
    pipeline->failure[count] = '\0';
    free(pipeline->traceback);
    pipeline->traceback = NULL;
    pipeline->traceback_count = 0;
}

void pipeline_note_traceback(struct pipeline *pipeline, const char *text, size_t count)
{
    mr_assert(!pipeline->traceback);
    pipeline->traceback = text_duplicate(text, count);
    pipeline->traceback_count = pipeline->traceback ? count : 0;
}
