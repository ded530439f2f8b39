/* SPDX-License-Identifier: MIT */
/*
 * pipeline_scale.c - pipelines have as many workers as scaling.h says: when that is looked at, and
 * what is done.
 *
 * A timer is armed only while there is something to decide: while runs wait and more workers may
 * be, and while there are more than the least. Whether a run waits is noted where it finds no
 * worker, that one may go where a run ends; both are a comparison for each run, no more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

static void scale_take(struct runs *runs, struct pipeline *pipeline,
                       const struct scaling_decision *decision);
static void scale_arm(struct runs *runs, struct pipeline *pipeline);
static void scale_arm_at(struct runs *runs, struct pipeline *pipeline, uint64_t due_ms);
static struct scaling_view scale_view(const struct pipeline *pipeline);
static bool scale_is_decided_elsewhere(const struct pipeline *pipeline);

struct scaling_bounds pipeline_bounds(const struct runs *runs, const struct pipeline_config *config)
{
    const struct pipeline_options *options = &config->options;
    uint32_t room = placement_room(runs->fleet, config);
    struct cli_range workers = options->workers;
    if (options->devices_count_workers && room > 0)
        workers = (struct cli_range){room, room};
    if (room > 0 && workers.max > room)
        workers.max = room;
    if (workers.min > workers.max)
        workers.min = workers.max;
    return (struct scaling_bounds){.min = workers.min,
                                   .max = workers.max,
                                   .concurrency = options->concurrency,
                                   .idle_ms = options->worker_idle_ms};
}

/* There may be more devices than users for workers: then there are as many workers as users. */
static void scale_fit_users(struct runs *runs, const struct pipeline *pipeline,
                            struct scaling_bounds *bounds)
{
    uint32_t room = pool_user_room(pipeline->pool);
    if (bounds->max <= room)
        return;
    log_event(&runs->reactor->log, LEVEL_WARNING, "scale_failed",
              LOG_WORD("pipeline", pipeline->config->pointer),
              LOG_NATURAL("from", pipeline->pool->worker_count), LOG_NATURAL("to", bounds->max),
              LOG_TEXT("reason", "there are fewer users for workers: as many as there are"));
    bounds->max = room;
    bounds->min = bounds->min < room ? bounds->min : room;
}

void pipeline_recount(struct runs *runs, struct pipeline *pipeline)
{
    struct scaling_bounds bounds = pipeline_bounds(runs, pipeline->config);
    const struct scaling_bounds *now = &pipeline->scaling.bounds;
    uint32_t before = pipeline->pool->worker_count;
    uint64_t more = bounds.max > now->max ? bounds.max - now->max : 0;
    char reason[RUNS_REASON_BYTES] = "not enough memory";
    uint32_t room = placement_room(runs->fleet, pipeline->config);
    /* What its operator has scaled stays so. */
    if (room == pipeline->device_room || pipeline->phase == PHASE_LEAVING || pipeline->is_yielding)
        return;
    pipeline->device_room = room;
    if (bounds.min == now->min && bounds.max == now->max)
        return;
    scale_fit_users(runs, pipeline, &bounds);
    int rc = runs_reserve(runs, more * bounds.concurrency, 0);
    if (rc == 0)
        rc = pool_resize(pipeline->pool, scaling_clamp(&bounds, before), reason);
    if (rc < 0) {
        log_event(&runs->reactor->log, LEVEL_ERROR, "scale_failed",
                  LOG_WORD("pipeline", pipeline->config->pointer), LOG_NATURAL("from", before),
                  LOG_NATURAL("to", bounds.max), LOG_TEXT("reason", reason));
        return;
    }
    log_event(&runs->reactor->log, LEVEL_INFO, "workers_counted",
              LOG_WORD("pipeline", pipeline->config->pointer), LOG_NATURAL("min", bounds.min),
              LOG_NATURAL("max", bounds.max));
    pipeline_scale_follow(runs, pipeline, &bounds, before);
}

/* More than there are devices for would wait for ever. */
static bool scale_fits(const struct runs *runs, const struct pipeline *pipeline, uint32_t max,
                       char reason[RUNS_REASON_BYTES])
{
    uint32_t room = placement_room(runs->fleet, pipeline->config);
    if (room == 0 || max <= room)
        return true;
    snprintf(reason, RUNS_REASON_BYTES, "its devices have room for %u workers", room);
    return false;
}

int runs_scale_pipeline(struct runs *runs, struct pipeline *pipeline, uint32_t min, uint32_t max,
                        char reason[RUNS_REASON_BYTES])
{
    struct scaling_bounds bounds = pipeline->scaling.bounds;
    uint32_t before = pipeline->pool->worker_count;
    uint64_t more = max > bounds.max ? max - bounds.max : 0;
    mr_assert(pipeline->phase == PHASE_SERVED);
    if (min > max || max == 0 || max > WORKER_COUNT_MAX) {
        snprintf(reason, RUNS_REASON_BYTES,
                 "workers must be from 0 to %u, and the most 1 or more and no less than the least",
                 WORKER_COUNT_MAX);
        return -EINVAL;
    }
    if (pipeline->is_yielding) {
        snprintf(reason, RUNS_REASON_BYTES, "the pipeline is being replaced");
        return -EINVAL;
    }
    if (!scale_fits(runs, pipeline, max, reason))
        return -EINVAL;
    bounds.min = min;
    bounds.max = max;
    snprintf(reason, RUNS_REASON_BYTES, "not enough memory");
    if (runs_reserve(runs, more * pipeline->config->options.concurrency, 0) < 0)
        return -ENOMEM;
    int rc = pool_resize(pipeline->pool, scaling_clamp(&bounds, before), reason);
    if (rc == 0)
        pipeline_scale_follow(runs, pipeline, &bounds, before);
    return rc;
}

/* ---- what happens -------------------------------------------------------------------------- */

void pipeline_scale_follow(struct runs *runs, struct pipeline *pipeline,
                           const struct scaling_bounds *bounds, uint32_t before)
{
    struct worker_pool *pool = pipeline->pool;
    if (before == 0 && pool->worker_count > 0)
        pipeline_wanted(runs, pipeline);
    scaling_set(&pipeline->scaling, bounds, pool->worker_count, runs->reactor->now_ms);
    pipeline->scaling.bounds.concurrency = pool->worker_capacity;
    pipeline->scale_is_watched = false;
    /* One that was to go, and had not been told yet, is there already. */
    if (pipeline->state == PIPELINE_WAKING && pool_ready_count(pool) > 0)
        pipeline_served(runs, pipeline);
    supervisor_resize(runs->fleet, pool);
    scale_arm(runs, pipeline);
}

void pipeline_scale_watch(struct runs *runs, struct pipeline *pipeline)
{
    if (pipeline->scale_is_watched || pipeline->scaling.wanted >= pipeline->scaling.bounds.max)
        return;
    pipeline->scale_is_watched = true;
    scale_arm(runs, pipeline);
}

void pipeline_scale_note_less(struct runs *runs, struct pipeline *pipeline)
{
    struct scaling *scaling = &pipeline->scaling;
    uint64_t now_ms = runs->reactor->now_ms;
    if (scaling_note_less(scaling, pipeline->user_count, now_ms) && scaling->bounds.idle_ms > 0)
        scale_arm_at(runs, pipeline, now_ms + scaling->bounds.idle_ms);
}

void pipeline_scale_note_ready(struct runs *runs, struct pipeline *pipeline, bool is_first)
{
    pipeline->scaling.bounds.concurrency = pipeline->pool->worker_capacity;
    scaling_note_ready(&pipeline->scaling, is_first, runs->reactor->now_ms);
    pipeline->scale_is_watched = false;
    scale_arm(runs, pipeline);
}

void pipeline_ask(struct runs *runs, struct pipeline *pipeline)
{
    pipeline->asked_ms = runs->reactor->now_ms;
    if (pipeline->scaling.wanted > 0)
        return;
    pipeline->scale_is_asked = true;
    scale_arm(runs, pipeline);
}

void pipeline_scale_on_timer(struct runs *runs, struct pipeline *pipeline)
{
    struct scaling_view view = scale_view(pipeline);
    pipeline->scale_is_watched = false;
    if (runs->is_draining || pipeline->phase == PHASE_LEAVING || pipeline->phase == PHASE_COMING ||
        pipeline->is_yielding)
        return;
    if (scale_is_decided_elsewhere(pipeline)) {
        /* Whoever ends that looks again, too, but for a trial. */
        scale_arm_at(runs, pipeline,
                     runs->reactor->now_ms + SCALING_AGAIN_MS + pipeline->scaling.bounds.idle_ms);
        return;
    }
    struct scaling_decision decision =
        scaling_decide(&pipeline->scaling, &view, runs->reactor->now_ms);
    if (decision.reason != SCALING_STAYS)
        scale_take(runs, pipeline, &decision);
    scale_arm(runs, pipeline);
}

/* ---- what is done -------------------------------------------------------------------------- */

int pipeline_scale_to(struct runs *runs, struct pipeline *pipeline, uint32_t wanted,
                      char reason[CGROUP_REASON_BYTES])
{
    uint32_t before = pipeline->pool->worker_count;
    struct scaling_bounds bounds = pipeline->scaling.bounds;
    int rc = pool_resize(pipeline->pool, wanted, reason);
    if (rc < 0)
        return rc;
    if (wanted == 0)
        pipeline_unwanted(runs, pipeline);
    pipeline_scale_follow(runs, pipeline, &bounds, before);
    return 0;
}

static void scale_log_up(struct runs *runs, const struct pipeline *pipeline, uint32_t before,
                         const struct scaling_decision *decision, uint32_t queue_count)
{
    pipeline->tally->scale_up_count++;
    log_event(&runs->reactor->log, LEVEL_INFO, "scale_up",
              LOG_WORD("pipeline", pipeline->config->pointer), LOG_NATURAL("from", before),
              LOG_NATURAL("to", decision->wanted), LOG_NATURAL("queued", queue_count),
              LOG_NATURAL("waited_ms", decision->ms),
              LOG_NATURAL("start_ms", pipeline->pool->start_ms),
              LOG_TEXT("reason", scaling_reason_text(decision->reason)));
}

static void scale_log_down(struct runs *runs, const struct pipeline *pipeline, uint32_t before,
                           const struct scaling_decision *decision)
{
    pipeline->tally->scale_down_count++;
    log_event(&runs->reactor->log, LEVEL_INFO, "scale_down",
              LOG_WORD("pipeline", pipeline->config->pointer), LOG_NATURAL("from", before),
              LOG_NATURAL("to", decision->wanted), LOG_NATURAL("idle_ms", decision->ms),
              LOG_TEXT("reason", scaling_reason_text(decision->reason)));
}

static void scale_take(struct runs *runs, struct pipeline *pipeline,
                       const struct scaling_decision *decision)
{
    struct log *log = &runs->reactor->log;
    uint32_t before = pipeline->pool->worker_count;
    bool is_up = decision->wanted > before;
    uint32_t queue_count = pipeline->queue_count;
    char reason[RUNS_REASON_BYTES];
    pipeline->scale_is_asked = false;
    if (pipeline_scale_to(runs, pipeline, decision->wanted, reason) < 0) {
        scaling_note_failure(&pipeline->scaling, runs->reactor->now_ms);
        log_event(log, LEVEL_ERROR, "scale_failed", LOG_WORD("pipeline", pipeline->config->pointer),
                  LOG_NATURAL("from", before), LOG_NATURAL("to", decision->wanted),
                  LOG_TEXT("reason", reason));
        return;
    }
    if (is_up)
        scale_log_up(runs, pipeline, before, decision, queue_count);
    else
        scale_log_down(runs, pipeline, before, decision);
}

/* ---- when ---------------------------------------------------------------------------------- */

static void scale_arm(struct runs *runs, struct pipeline *pipeline)
{
    struct scaling_view view = scale_view(pipeline);
    uint64_t due_ms = scaling_look_ms(&pipeline->scaling, &view, runs->reactor->now_ms);
    if (due_ms != UINT64_MAX)
        scale_arm_at(runs, pipeline, due_ms);
    pipeline->scale_is_watched = due_ms != UINT64_MAX && pipeline->queue_count > 0;
}

/* A later one looks when the first one is due, and is armed then. */
static void scale_arm_at(struct runs *runs, struct pipeline *pipeline, uint64_t due_ms)
{
    struct timer *timer = &pipeline->scale_timer;
    if (timer->position == 0 || due_ms < timer->due_ms)
        timer_set(&runs->reactor->timers, timer, due_ms);
}

/* Who starts for somebody who is gone is not killed for that. */
static struct scaling_view scale_view(const struct pipeline *pipeline)
{
    const struct run *first = pipeline->queue_first;
    uint32_t run_count = pipeline->user_count;
    if (run_count == 0 && pipeline->state == PIPELINE_WAKING && pool_is_starting(pipeline->pool))
        run_count = 1;
    return (struct scaling_view){.absent_count = pool_absent_count(pipeline->pool),
                                 .run_count = run_count,
                                 .queue_count = pipeline->queue_count,
                                 .first_ms = first ? first->created_ms : 0,
                                 .service_ms = pipeline->service_ms,
                                 .start_ms = pipeline->pool->start_ms,
                                 .is_asked = pipeline->scale_is_asked};
}

/* Of a pipeline that never was ready, or is in quarantine, one worker after the other is tried
 * whatever happens. */
static bool scale_is_decided_elsewhere(const struct pipeline *pipeline)
{
    switch (pipeline->state) {
    case PIPELINE_LOADING:
    case PIPELINE_FAILED:
    case PIPELINE_QUARANTINED:
    case PIPELINE_TRIAL:
        return true;
    case PIPELINE_READY:
    case PIPELINE_RESTARTING:
    case PIPELINE_IDLE:
    case PIPELINE_WAKING:
    case PIPELINE_STATE_COUNT:
        break;
    }
    return false;
}
