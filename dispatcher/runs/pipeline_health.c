/* SPDX-License-Identifier: MIT */
/* pipeline_health.c - states of pipelines, reasons, refusals. */
#include "dispatcher/runs/pipeline_health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/runs/run.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/text/paths.h"
#include "dispatcher/workers/pool.h"

#define STOPPING_RETRY_AFTER_S 5u
#define YIELD_RETRY_AFTER_S 5u
#define DEVICE_RETRY_AFTER_S 5u /* it is looked for, and probed, again and again */

static bool health_refuse(struct run_failure *out, enum refusal refusal, int status,
                          enum error_type type, uint32_t retry_after_s, const char *message);
static bool health_refuse_failed(struct run_failure *out, enum refusal refusal, int status,
                                 uint32_t retry_after_s, const struct pipeline *pipeline,
                                 const char *message);
static bool health_refuse_loading(struct pipeline *pipeline, struct run_failure *out);
static bool health_refuse_waking(struct pipeline *pipeline, struct run_failure *out);
static bool health_refuse_lacking(const struct pipeline *pipeline, struct run_failure *out);
static bool health_refuse_quarantined(struct runs *runs, struct pipeline *pipeline,
                                      struct run_failure *out);
static bool health_refuse_full(struct runs *runs, struct pipeline *pipeline,
                               const struct run_rank *rank, struct run_failure *out);
static bool health_has_runs(const struct pipeline *pipeline);
static bool health_may_recover(const struct runs *runs, const struct pipeline *pipeline);

/* ---- reasons ------------------------------------------------------------------------------- */

bool pipeline_refuses(struct runs *runs, struct pipeline *pipeline, const struct run_rank *rank,
                      bool waits_for_load, struct run_failure *failure)
{
    if (runs->is_draining)
        return health_refuse(failure, REFUSAL_DRAINING, 503, ERROR_UNKNOWN, STOPPING_RETRY_AFTER_S,
                             "the server is stopping");
    if (pipeline->is_yielding)
        return health_refuse(failure, REFUSAL_NOT_READY, 503, ERROR_LOADING, YIELD_RETRY_AFTER_S,
                             "the pipeline is being replaced, and loads when its runs have ended");
    if (pipeline_is_drained(runs, pipeline))
        return health_refuse(failure, REFUSAL_DRAINED, 503, ERROR_UNKNOWN, STOPPING_RETRY_AFTER_S,
                             runs->is_drained ? "the server takes no runs now: it is drained"
                                              : "the pipeline takes no runs now: it is drained");
    if (pipeline->phase != PHASE_LEAVING && pool_lacks_devices(pipeline->pool) && !waits_for_load)
        return health_refuse_lacking(pipeline, failure);
    if (pipeline->phase != PHASE_LEAVING && pipeline->state == PIPELINE_LOADING &&
        !waits_for_load) {
        pipeline_ask(runs, pipeline);
        return health_refuse_loading(pipeline, failure);
    }
    return pipeline_refuses_accepted(runs, pipeline, rank, failure);
}

bool pipeline_refuses_unread(struct runs *runs, struct pipeline *pipeline,
                             struct run_failure *failure)
{
    if (pipeline->pool->is_known)
        return false;
    pipeline_ask(runs, pipeline);
    return health_refuse_loading(pipeline, failure);
}

bool pipeline_refuses_accepted(struct runs *runs, struct pipeline *pipeline,
                               const struct run_rank *rank, struct run_failure *failure)
{
    if (pipeline->phase == PHASE_LEAVING)
        return health_refuse(failure, REFUSAL_DRAINING, 503, ERROR_UNKNOWN, 1,
                             "the pipeline was removed");
    switch (pipeline->state) {
    case PIPELINE_FAILED:
        if (pool_lacks_devices(pipeline->pool))
            break; /* which may come */
        pipeline_ask(runs, pipeline);
        return health_refuse_failed(failure, REFUSAL_FAILED, 500, 0, pipeline, pipeline->told);
    case PIPELINE_QUARANTINED:
        pipeline_ask(runs, pipeline);
        return health_refuse_quarantined(runs, pipeline, failure);
    case PIPELINE_TRIAL:
        if (health_has_runs(pipeline))
            return health_refuse_quarantined(runs, pipeline, failure);
        return health_refuse_full(runs, pipeline, rank, failure);
    case PIPELINE_IDLE:
    case PIPELINE_WAKING:
        if (pipeline->config->options.queue_count_max > 0)
            break;
        pipeline_ask(runs, pipeline); /* who comes after this one may find a worker */
        return health_refuse_waking(pipeline, failure);
    case PIPELINE_LOADING: /* for which it may wait */
    case PIPELINE_READY:
    case PIPELINE_RESTARTING:
    case PIPELINE_STATE_COUNT:
        break;
    }
    return health_refuse_full(runs, pipeline, rank, failure);
}

void pipeline_note_traceback(struct pipeline *pipeline, const char *text, size_t count)
{
    mr_assert(!pipeline->traceback);
    pipeline->traceback = text_duplicate(text, count);
    pipeline->traceback_count = pipeline->traceback ? count : 0;
}

static bool health_refuse(struct run_failure *out, enum refusal refusal, int status,
                          enum error_type type, uint32_t retry_after_s, const char *message)
{
    *out = (struct run_failure){.type = type,
                                .status = status,
                                .state = status == 500 ? NULL : "no_resources_available",
                                .refusal = refusal,
                                .retry_after_s = retry_after_s,
                                .message = message,
                                .message_count = strlen(message)};
    return true;
}

static bool health_refuse_lacking(const struct pipeline *pipeline, struct run_failure *out)
{
    return health_refuse(out, REFUSAL_NOT_READY, 503, ERROR_LOADING, DEVICE_RETRY_AFTER_S,
                         pipeline->told);
}

/* The pipeline's own failure is the reason. */
static bool health_refuse_failed(struct run_failure *out, enum refusal refusal, int status,
                                 uint32_t retry_after_s, const struct pipeline *pipeline,
                                 const char *message)
{
    health_refuse(out, refusal, status, pipeline->failure_type, retry_after_s, message);
    out->traceback = pipeline->traceback;
    out->traceback_count = pipeline->traceback_count;
    return true;
}

/* Seconds until the next process of the pipeline starts; 1 when one is about to be ready. */
static uint32_t health_next_try_s(const struct runs *runs, const struct pipeline *pipeline)
{
    uint64_t due_ms = UINT64_MAX;
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++) {
        const struct worker *worker = pipeline->pool->places[i];
        if (worker->state == WORKER_SPARE || worker->is_surplus)
            continue;
        if (worker->state != WORKER_EMPTY || worker->timer.position == 0)
            return 1;
        if (worker->timer.due_ms < due_ms)
            due_ms = worker->timer.due_ms;
    }
    uint64_t wait_ms = due_ms > runs->reactor->now_ms ? due_ms - runs->reactor->now_ms : 0;
    return 1 + (uint32_t)(wait_ms / 1000);
}

static bool health_refuse_loading(struct pipeline *pipeline, struct run_failure *out)
{
    char words[LOAD_WORDS_BYTES];
    pipeline_load_words(pipeline, words);
    snprintf(pipeline->refusal, sizeof pipeline->refusal, "pipeline %s is loading%s",
             pipeline->config->pointer, words);
    *out = pipeline_loads(pipeline, pipeline->refusal);
    return true;
}

static bool health_refuse_waking(struct pipeline *pipeline, struct run_failure *out)
{
    char words[LOAD_WORDS_BYTES];
    pipeline_load_words(pipeline, words);
    snprintf(pipeline->refusal, sizeof pipeline->refusal,
             "the pipeline is being started%s, and no run may wait", words);
    *out = pipeline_loads(pipeline, pipeline->refusal);
    return true;
}

static bool health_refuse_quarantined(struct runs *runs, struct pipeline *pipeline,
                                      struct run_failure *out)
{
    snprintf(pipeline->refusal, sizeof(pipeline->refusal),
             "the pipeline is quarantined: each of its workers died %u times in a row without "
             "finishing a run; the last time: %s",
             pipeline->config->options.quarantine_after, pipeline->told);
    return health_refuse_failed(out, REFUSAL_QUARANTINED, 503, health_next_try_s(runs, pipeline),
                                pipeline, pipeline->refusal);
}

/* Nothing of a queue moves before a worker is there. */
static uint32_t health_full_retry_s(const struct pipeline *pipeline)
{
    uint32_t service_s = pipeline_retry_after_s(pipeline), load_s = 0;
    if (pool_ready_count(pipeline->pool) == 0 &&
        (pool_first_starting(pipeline->pool) || pipeline_room_waiting(pipeline)))
        load_s = pipeline_load_s(pipeline);
    return service_s > load_s ? service_s : load_s;
}

static bool health_is_full(const struct pipeline *pipeline)
{
    return pipeline->queue_count >= pipeline->config->options.queue_count_max;
}

static bool health_are_all_full(const struct runs *runs)
{
    uint32_t total_max = runs->config->queue_total_max;
    return total_max > 0 && runs->queue_count >= total_max;
}

/* Whether a worker has room is its own word, and no room for this run: one that comes for such a
 * slot and stays in the queue is the last. */
static bool health_may_have_slot(struct runs *runs, struct pipeline *pipeline)
{
    return pipeline->queue_count <= pipeline->config->options.queue_count_max &&
           pipeline_has_slot(runs, pipeline);
}

/* Who is to make room for one of this rank; NULL: nobody, or who came first has it. */
static struct run *health_displaced(const struct pipeline *pipeline, const struct run_rank *rank)
{
    if (!pipeline_is_fair(pipeline))
        return NULL;
    struct fair_item *item = fair_queue_displaced(pipeline->fair, rank->class, rank->tenant);
    return item ? pipeline_run_of(item) : NULL;
}

static bool health_refuse_full(struct runs *runs, struct pipeline *pipeline,
                               const struct run_rank *rank, struct run_failure *out)
{
    bool is_full = health_is_full(pipeline);
    if (!is_full && !health_are_all_full(runs))
        return false;
    if (health_may_have_slot(runs, pipeline) || health_displaced(pipeline, rank))
        return false;
    return health_refuse(out, is_full ? REFUSAL_QUEUE_FULL : REFUSAL_QUEUE_TOTAL, 429,
                         ERROR_UNKNOWN, health_full_retry_s(pipeline),
                         is_full ? "the queue of this pipeline is full"
                                 : "the queues of all pipelines together are full");
}

void pipeline_make_place(struct runs *runs, struct pipeline *pipeline, const struct run *run)
{
    static const char message[] = "displaced: the queue is full, and others have fewer runs in it";
    if ((!health_is_full(pipeline) && !health_are_all_full(runs)) ||
        health_may_have_slot(runs, pipeline))
        return;
    struct run *displaced = health_displaced(pipeline, &run->rank);
    if (!displaced)
        return;
    pipeline->tally->displaced_count++;
    run_worker_lost(runs, displaced,
                    &(struct run_failure){.type = ERROR_UNKNOWN,
                                          .status = 429,
                                          .state = "no_resources_available",
                                          .retry_after_s = health_full_retry_s(pipeline),
                                          .message = message,
                                          .message_count = sizeof message - 1});
}

static bool health_has_runs(const struct pipeline *pipeline)
{
    if (pipeline->queue_count > 0)
        return true;
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++)
        if (pipeline->pool->places[i]->active_count > 0)
            return true;
    return false;
}

static void health_failure_keep(const struct runs *runs, struct pipeline *pipeline,
                                enum error_type type, const char *text, size_t count)
{
    if (count > sizeof(pipeline->failure) - 1)
        count = sizeof(pipeline->failure) - 1;
    pipeline->failure_type = type;
    memcpy(pipeline->failure, text, count);
    pipeline->failure[count] = '\0';
    if (runs->config->tracebacks == TRACEBACKS_CLIENT)
        memcpy(pipeline->told, pipeline->failure, sizeof pipeline->told);
    else
        paths_shorten(pipeline->told, pipeline->failure);
    free(pipeline->traceback);
    pipeline->traceback = NULL;
    pipeline->traceback_count = 0;
}

/* ---- actions ------------------------------------------------------------------------------- */

/* Nobody who waits may wait for a worker that will not come. */
static void health_queue_refuse(struct runs *runs, struct pipeline *pipeline)
{
    struct run_failure failure;
    health_refuse_quarantined(runs, pipeline, &failure);
    while (pipeline->queue_first)
        run_worker_lost(runs, pipeline->queue_first, &failure);
}

/* It is tried again, for those who come. */
static void act_answer(struct runs *runs, struct pipeline *pipeline)
{
    struct run_failure failure;
    health_refuse_failed(&failure, REFUSAL_FAILED, 500, 0, pipeline, pipeline->told);
    while (pipeline->queue_first)
        run_worker_lost(runs, pipeline->queue_first, &failure);
}

static void act_close(struct runs *runs, struct pipeline *pipeline)
{
    log_event(&runs->reactor->log, LEVEL_ERROR, "pipeline_quarantined",
              LOG_WORD("pipeline", pipeline->config->pointer),
              LOG_NATURAL("deaths", pipeline->config->options.quarantine_after),
              LOG_NATURAL("queued", pipeline->queue_count),
              LOG_BYTES("text", pipeline->failure, strlen(pipeline->failure)));
    health_queue_refuse(runs, pipeline);
}

static void act_open(struct pipeline *pipeline)
{
    pipeline->failure[0] = '\0';
}

static void health_event_take(struct runs *runs, struct pipeline *pipeline,
                              enum pipeline_event event)
{
    if (pipeline->state == PIPELINE_IDLE && event != PIPELINE_EV_WANTED)
        return; /* of workers that go */
    struct pipeline_step step = pipeline_fsm_step(pipeline->state, event);
    pipeline->state = step.next;
    switch (step.action) {
    case PIPELINE_ACT_OPEN:
        act_open(pipeline);
        break;
    case PIPELINE_ACT_CLOSE:
        act_close(runs, pipeline);
        break;
    case PIPELINE_ACT_DOUBT:
        act_close(runs, pipeline);
        pipeline_on_timer(runs, pipeline);
        break;
    case PIPELINE_ACT_TRY:
        pipeline_on_timer(runs, pipeline);
        break;
    case PIPELINE_ACT_REFUSE:
        health_queue_refuse(runs, pipeline);
        break;
    case PIPELINE_ACT_RELEASE:
        log_event(&runs->reactor->log, LEVEL_INFO, "pipeline_recovered",
                  LOG_WORD("pipeline", pipeline->config->pointer));
        act_open(pipeline);
        break;
    case PIPELINE_ACT_ANSWER:
        act_answer(runs, pipeline);
        break;
    case PIPELINE_ACT_NONE:
        break;
    case PIPELINE_ACT_INVALID:
    case PIPELINE_ACT_COUNT:
        mr_unreachable("pipeline_fsm_step() gave an action that is none");
    }
}

/* ---- events -------------------------------------------------------------------------------- */

void pipeline_note_failure(struct runs *runs, struct pipeline *pipeline, enum error_type type,
                           const char *text, size_t count)
{
    health_failure_keep(runs, pipeline, type, text, count);
    health_event_take(runs, pipeline, PIPELINE_EV_FAILED);
}

void pipeline_lacks_device(struct runs *runs, struct pipeline *pipeline, const char *text,
                           size_t count)
{
    struct run_failure failure;
    health_failure_keep(runs, pipeline, ERROR_STARTUP, text, count);
    if (!pool_lacks_devices(pipeline->pool))
        return;
    health_refuse_lacking(pipeline, &failure);
    for (struct run *run = pipeline->queue_first, *next; run; run = next) {
        next = run->next;
        if (!run->waits)
            run_worker_lost(runs, run, &failure);
    }
}

void pipeline_served(struct runs *runs, struct pipeline *pipeline)
{
    enum pipeline_state before = pipeline->state;
    health_event_take(runs, pipeline, PIPELINE_EV_SERVED);
    bool is_first = before != PIPELINE_READY && before != PIPELINE_RESTARTING;
    pipeline_scale_note_ready(runs, pipeline, is_first);
}

void pipeline_unwanted(struct runs *runs, struct pipeline *pipeline)
{
    health_event_take(runs, pipeline, PIPELINE_EV_UNWANTED);
}

void pipeline_wanted(struct runs *runs, struct pipeline *pipeline)
{
    if (pipeline->state == PIPELINE_IDLE)
        health_event_take(runs, pipeline, PIPELINE_EV_WANTED);
}

void pipeline_run_finished(struct runs *runs, struct pipeline *pipeline, struct worker *worker)
{
    worker->failure_streak = worker->death_streak = 0;
    if (pipeline->state != PIPELINE_READY)
        health_event_take(runs, pipeline, PIPELINE_EV_PROVED);
}

void pipeline_worker_died(struct runs *runs, struct pipeline *pipeline, struct worker *worker,
                          enum error_type type, const char *reason)
{
    bool was_never_ready =
        pipeline->state == PIPELINE_LOADING || pipeline->state == PIPELINE_FAILED;
    /* A pipeline that cannot start and says why has failed; that is another answer. */
    if (!worker->has_said_why || !was_never_ready)
        worker->death_streak++;
    if (!worker->has_said_why)
        pipeline_note_failure(runs, pipeline, type, reason, strlen(reason));
}

void pipeline_review(struct runs *runs, struct pipeline *pipeline)
{
    if (runs->is_stopping || pipeline->phase == PHASE_LEAVING)
        return; /* workers go because they are told to */
    bool may_recover = health_may_recover(runs, pipeline);
    if (pool_ready_count(pipeline->pool) == 0)
        health_event_take(runs, pipeline, may_recover ? PIPELINE_EV_LOST : PIPELINE_EV_GIVEN_UP);
    else if (!may_recover)
        health_event_take(runs, pipeline, PIPELINE_EV_DOUBTED);
}

void pipeline_on_timer(struct runs *runs, struct pipeline *pipeline)
{
    uint64_t end_ms = UINT64_MAX;
    if (pipeline->state != PIPELINE_TRIAL)
        return;
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++) {
        uint64_t due_ms = pool_proof_ms(pipeline->pool->places[i]);
        end_ms = due_ms < end_ms ? due_ms : end_ms;
    }
    if (end_ms > runs->reactor->now_ms)
        timer_set(&runs->reactor->timers, &pipeline->timer, end_ms);
    else
        health_event_take(runs, pipeline, PIPELINE_EV_PROVED);
}

static bool health_worker_may_recover(const struct runs *runs, const struct worker *worker)
{
    uint32_t after = worker->pool->config->options.quarantine_after;
    if (worker->state == WORKER_SPARE)
        return false;
    if (worker->is_surplus && !worker_serves(worker))
        return false; /* nothing follows it */
    /* A proof by time is forgotten with the next death, one by a finished run is not. */
    return after == 0 || worker->death_streak < after ||
           pool_proof_ms(worker) <= runs->reactor->now_ms;
}

static bool health_may_recover(const struct runs *runs, const struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++)
        if (health_worker_may_recover(runs, pipeline->pool->places[i]))
            return true;
    return false;
}
