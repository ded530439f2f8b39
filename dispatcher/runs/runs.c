/* SPDX-License-Identifier: MIT */
/* runs.c - the room is made and given back; pipelines come and go. */
#include "dispatcher/runs/runs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/owner.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/renewal.h"
#include "dispatcher/workers/supervisor.h"

#define TIMERS_PER_PIPELINE 2u

static void runs_unlist_pipeline(struct runs *runs, const struct pipeline *pipeline);
static void runs_free_pipeline(struct runs *runs, struct pipeline *pipeline);
static void runs_free_list(struct runs *runs, struct pipeline **list);
static void runs_let_go_pipeline(struct runs *runs, struct pipeline *pipeline);

int runs_init(struct runs *runs, const struct runs_options *options)
{
    const struct config *config = options->config;
    *runs = (struct runs){.config = config,
                          .reactor = options->reactor,
                          .fleet = options->fleet,
                          .input = options->input,
                          .given_ops = options->given_ops,
                          .given_owner = options->given_owner,
                          .unread_ops = options->unread_ops,
                          .unread_owner = options->unread_owner};
    if (rank_secret_make(&runs->rank_secret) < 0)
        return -ENOMEM;
    runs->newest = calloc(owner_count(config), sizeof(struct run *));
    if (!runs->newest || history_init(&runs->history, owner_count(config)) < 0)
        return -ENOMEM;
    return 0;
}

void runs_finish(struct runs *runs)
{
    for (uint32_t i = 0; i < runs->slab_count * RUN_SLAB_COUNT; i++) {
        struct run *run = runs_at(runs, i);
        if (run->id[0] == '\0')
            continue;
        run->state = RUN_FREE; /* the loop is over: no table is asked any more */
        run_destroy(runs, run);
    }
    while (runs->pipeline_count > 0)
        runs_free_pipeline(runs, runs->pipelines[--runs->pipeline_count]);
    runs_free_list(runs, &runs->coming);
    runs_free_list(runs, &runs->leaving);
    history_finish(&runs->history);
    id_index_finish(&runs->index);
    for (uint32_t i = 0; i < runs->slab_count; i++)
        free(runs->slabs[i]);
    free(runs->slabs);
    aliases_finish(&runs->aliases);
    free(runs->newest);
    free(runs->pipelines);
}

/* ---- pipelines ----------------------------------------------------------------------------- */

/* As many as another one of its pointer has. There is one even of those that need none: it shows
 * that the pipeline loads, and tells what that takes. */
static uint32_t runs_first_workers(const struct runs *runs, const struct pipeline_config *config,
                                   const struct scaling_bounds *bounds)
{
    const struct pipeline *former = runs_find_pipeline(runs, config->pointer);
    uint32_t wanted = scaling_clamp(bounds, former ? former->pool->worker_count : bounds->min);
    return wanted > 0 ? wanted : 1;
}

static int runs_make_parts(struct runs *runs, struct pipeline *pipeline,
                           char reason[RUNS_REASON_BYTES])
{
    const struct pipeline_options *options = &pipeline->config->options;
    uint64_t place_count =
        (uint64_t)pipeline_config_worker_max(pipeline->config) + options->recycle_overlap;
    /* One more may stand in a full queue for a moment: it has a slot. */
    if (tickets_init(&pipeline->tickets, options->queue_count_max + 1) < 0 ||
        runs_reserve(runs, place_count * options->concurrency + 1, options->queue_count_max) < 0)
        return -ENOMEM;
    if (pipeline_pick_prepare(runs, pipeline, pipeline->config) < 0)
        return -ENOMEM;
    struct scaling_bounds bounds = pipeline_bounds(runs, pipeline->config);
    uint32_t wanted = runs_first_workers(runs, pipeline->config, &bounds);
    int rc = pool_create(runs->fleet, pipeline->config, wanted, pipeline, &pipeline->pool, reason);
    if (rc < 0)
        return rc;
    pipeline->pool->calls = &pipeline->tally->calls;
    scaling_set(&pipeline->scaling, &bounds, wanted, runs->reactor->now_ms);
    return 0;
}

/* Room in the list for all that are coming, and one more. */
static int runs_list_grow(struct runs *runs)
{
    size_t count = runs->pipeline_count + (size_t)1;
    for (const struct pipeline *coming = runs->coming; coming; coming = coming->next)
        count++;
    struct pipeline **pipelines = realloc(runs->pipelines, count * sizeof *pipelines);
    if (!pipelines)
        return -ENOMEM;
    runs->pipelines = pipelines;
    return 0;
}

int runs_prepare_pipeline(struct runs *runs, const struct config *config, uint32_t number,
                          struct pipeline **out, char reason[RUNS_REASON_BYTES])
{
    int rc = -ENOMEM;
    struct timers *timers = &runs->reactor->timers;
    snprintf(reason, RUNS_REASON_BYTES, "not enough memory");
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    struct tally *tally = calloc(1, sizeof *tally);
    if (!pipeline || !tally || runs_list_grow(runs) < 0)
        goto free_pipeline;
    mr_assert(number < config->pipeline_count);
    pipeline->config = &config->pipelines[number];
    pipeline->phase = PHASE_COMING;
    pipeline->tally = tally;
    tally->holder_count = 1;
    pipeline->timer = (struct timer){.kind = TIMER_PIPELINE, .owner = pipeline};
    pipeline->scale_timer = (struct timer){.kind = TIMER_SCALING, .owner = pipeline};
    if (timers_reserve(timers, TIMERS_PER_PIPELINE) < 0)
        goto free_pipeline;
    rc = runs_make_parts(runs, pipeline, reason);
    if (rc < 0)
        goto unreserve;
    config_hold(config, &pipeline->hold, "pipeline", pipeline->config->pointer);
    pipeline->next = runs->coming;
    runs->coming = pipeline;
    *out = pipeline;
    return 0;

unreserve:
    pipeline_pick_finish(pipeline);
    tickets_finish(&pipeline->tickets);
    timers_unreserve(timers, TIMERS_PER_PIPELINE);
free_pipeline:
    free(tally);
    free(pipeline);
    return rc;
}

int runs_add_pipeline(struct runs *runs, const struct config *config, uint32_t number,
                      struct pipeline **out, char reason[RUNS_REASON_BYTES])
{
    int rc = runs_prepare_pipeline(runs, config, number, out, reason);
    if (rc == 0)
        runs_serve_pipeline(runs, *out);
    return rc;
}

static void runs_unlink(struct pipeline **list, struct pipeline *pipeline)
{
    while (*list != pipeline)
        list = &(*list)->next;
    *list = pipeline->next;
    pipeline->next = NULL;
}

/* It was not, or is no more among the pipelines. */
static void runs_leave(struct runs *runs, struct pipeline *pipeline, enum pipeline_phase phase)
{
    pipeline->phase = phase;
    pipeline->next = runs->leaving;
    runs->leaving = pipeline;
    runs->reactor->has_chores = true;
}

/* Both count in one place from now on. */
static void runs_take_over(struct pipeline *pipeline, const struct pipeline *former)
{
    free(pipeline->tally);
    pipeline->tally = former->tally;
    pipeline->tally->holder_count++;
    pipeline->pool->calls = &pipeline->tally->calls;
    pipeline->service_ms = former->service_ms;
    pipeline->service_count = former->service_count;
    pipeline->is_drained = former->is_drained;
    for (uint32_t i = 0; i < WORKER_END_COUNT; i++)
        pipeline->pool->restarts[i] += former->pool->restarts[i];
}

void runs_serve_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    uint32_t at = 0;
    mr_assert(pipeline->phase == PHASE_COMING);
    runs_unlink(&runs->coming, pipeline);
    pipeline->phase = PHASE_SERVED;
    pipeline_scale_note_ready(runs, pipeline, true);
    while (at < runs->pipeline_count &&
           strcmp(runs->pipelines[at]->config->pointer, pipeline->config->pointer) != 0)
        at++;
    if (at == runs->pipeline_count) {
        runs->pipelines[runs->pipeline_count++] = pipeline;
        return;
    }
    struct pipeline *former = runs->pipelines[at];
    runs->pipelines[at] = pipeline;
    runs_take_over(pipeline, former);
    runs_leave(runs, former, PHASE_FOLLOWED);
}

void runs_drop_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    mr_assert(pipeline->phase == PHASE_COMING);
    runs_unlink(&runs->coming, pipeline);
    runs_leave(runs, pipeline, PHASE_LEAVING);
    runs_let_go_pipeline(runs, pipeline);
}

static const struct run_failure runs_removed = {
    .type = ERROR_UNKNOWN,
    .status = 503,
    .retry_after_s = 1,
    .state = "no_resources_available",
    .message = "the pipeline was removed",
    .message_count = sizeof "the pipeline was removed" - 1,
    .reason = CANCEL_DRAIN,
};

static void runs_refuse_queued(struct runs *runs, struct pipeline *pipeline,
                               const struct run_failure *failure)
{
    while (pipeline->queue_first)
        run_cancel(runs, pipeline->queue_first, failure);
}

void runs_remove_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    mr_assert(pipeline->phase == PHASE_SERVED);
    runs_unlist_pipeline(runs, pipeline);
    runs_leave(runs, pipeline, PHASE_LEAVING);
    runs_refuse_queued(runs, pipeline, &runs_removed);
    runs_let_go_pipeline(runs, pipeline);
}

void runs_retire_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    mr_assert(pipeline->phase == PHASE_SERVED);
    runs_unlist_pipeline(runs, pipeline);
    runs_leave(runs, pipeline, PHASE_FOLLOWED);
}

/* None of its workers is wanted any more. */
static void runs_let_go_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    pool_leave(pipeline->pool);
    supervisor_resize(runs->fleet, pipeline->pool);
}

int runs_renew(struct runs *runs, const struct pipeline *pipeline)
{
    if (runs_reserve_renewal(runs) == 0) {
        renewal_begin(runs->fleet, pipeline ? pipeline->pool : NULL);
        return 0;
    }
    log_event(&runs->reactor->log, LEVEL_ERROR, "renewal_failed",
              LOG_TEXT("reason", "not enough memory for the runs of one more worker"));
    return -ENOMEM;
}

void runs_drain(struct runs *runs, struct pipeline *pipeline, bool does_drain)
{
    struct log *log = &runs->reactor->log;
    const char *pointer = pipeline ? pipeline->config->pointer : NULL;
    uint32_t count = pipeline ? pipeline->user_count : runs->count;
    if (pipeline)
        pipeline->is_drained = does_drain;
    else
        runs->is_drained = does_drain;
    for (uint32_t i = 0; i < runs->pipeline_count && !pipeline && !does_drain; i++)
        runs->pipelines[i]->is_drained = false;
    if (does_drain)
        log_event(log, LEVEL_INFO, "drained", LOG_WORD("pipeline", pointer),
                  LOG_NATURAL("runs", count));
    else
        log_event(log, LEVEL_INFO, "resumed", LOG_WORD("pipeline", pointer),
                  LOG_NATURAL("runs", count));
}

bool pipeline_is_drained(const struct runs *runs, const struct pipeline *pipeline)
{
    return runs->is_drained || pipeline->is_drained;
}

void runs_sweep(struct runs *runs)
{
    for (struct pipeline **link = &runs->leaving; *link;) {
        struct pipeline *pipeline = *link;
        if (pipeline->phase == PHASE_FOLLOWED && pipeline->queue_count == 0 &&
            pipeline->coming_count == 0) {
            pipeline->phase = PHASE_LEAVING;
            runs_let_go_pipeline(runs, pipeline);
        }
        if (pipeline->user_count > 0 || pipeline->pool->place_count > 0 ||
            !pool_is_vacant(pipeline->pool)) { /* its template goes last */
            link = &pipeline->next;
            continue;
        }
        *link = pipeline->next;
        runs_free_pipeline(runs, pipeline);
    }
}

/* A queue that may be longer than before. */
static int runs_grow_queue(struct pipeline *pipeline, uint32_t count_max)
{
    struct tickets tickets;
    if (count_max <= pipeline->config->options.queue_count_max)
        return 0;
    if (tickets_init(&tickets, count_max + 1) < 0)
        return -ENOMEM;
    tickets_finish(&pipeline->tickets);
    pipeline->tickets = tickets;
    for (struct run *run = pipeline->queue_first; run; run = run->next)
        run->ticket = tickets_draw(&pipeline->tickets);
    return 0;
}

int runs_move_pipeline(struct runs *runs, struct pipeline *pipeline, const struct config *config,
                       uint32_t number, char reason[RUNS_REASON_BYTES])
{
    const struct pipeline_options *before = &pipeline->config->options;
    const struct pipeline_config *next = &config->pipelines[number];
    const struct pipeline_options *options = &next->options;
    struct scaling_bounds bounds = pipeline_bounds(runs, next);
    uint64_t now = runs_places(pipeline);
    uint64_t more = bounds.max + options->recycle_overlap;
    more = more > now ? more - now : 0;
    uint32_t more_queued = options->queue_count_max > before->queue_count_max
                               ? options->queue_count_max - before->queue_count_max
                               : 0;
    snprintf(reason, RUNS_REASON_BYTES, "not enough memory");
    if (runs_reserve(runs, more * options->concurrency, more_queued) < 0 ||
        runs_grow_queue(pipeline, options->queue_count_max) < 0 ||
        pipeline_pick_prepare(runs, pipeline, next) < 0)
        return -ENOMEM;
    uint32_t worker_count = pipeline->pool->worker_count;
    int rc = pool_move(pipeline->pool, next, scaling_clamp(&bounds, worker_count), reason);
    if (rc < 0) {
        supervisor_resize(runs->fleet, pipeline->pool);
        return rc;
    }
    pipeline->config = next;
    config_let_go(&pipeline->hold, &runs->reactor->log);
    config_hold(config, &pipeline->hold, "pipeline", next->pointer);
    pipeline_scale_follow(runs, pipeline, &bounds, worker_count);
    return 0;
}

int runs_reserve_owners(struct runs *runs, uint32_t count)
{
    uint32_t before = runs->history.owner_count;
    if (count <= before)
        return 0;
    struct run **newest = realloc(runs->newest, count * sizeof(struct run *));
    if (!newest)
        return -ENOMEM;
    runs->newest = newest;
    memset(&newest[before], 0, (count - before) * sizeof(struct run *));
    return history_reserve_owners(&runs->history, count);
}

struct pipeline *runs_find_pipeline(const struct runs *runs, const char *name)
{
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        const struct pipeline_config *config = runs->pipelines[i]->config;
        if (strcmp(config->pointer, name) == 0 || strcmp(config->id, name) == 0)
            return runs->pipelines[i];
    }
    return NULL;
}

static void runs_unlist_pipeline(struct runs *runs, const struct pipeline *pipeline)
{
    uint32_t at = 0;
    while (runs->pipelines[at] != pipeline)
        at++;
    memmove(&runs->pipelines[at], &runs->pipelines[at + 1],
            (--runs->pipeline_count - at) * sizeof runs->pipelines[0]);
}

static void runs_free_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    timer_clear(&runs->reactor->timers, &pipeline->timer);
    timer_clear(&runs->reactor->timers, &pipeline->scale_timer);
    timers_unreserve(&runs->reactor->timers, TIMERS_PER_PIPELINE);
    pool_destroy(pipeline->pool);
    if (--pipeline->tally->holder_count == 0)
        free(pipeline->tally);
    tickets_finish(&pipeline->tickets);
    pipeline_pick_finish(pipeline);
    free(pipeline->traceback);
    config_let_go(&pipeline->hold, &runs->reactor->log);
    free(pipeline);
}

static void runs_free_list(struct runs *runs, struct pipeline **list)
{
    while (*list) {
        struct pipeline *pipeline = *list;
        *list = pipeline->next;
        runs_free_pipeline(runs, pipeline);
    }
}

/* ---- in a pass ----------------------------------------------------------------------------- */

void runs_schedule(struct runs *runs)
{
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        if (runs->pipelines[i]->queue_first)
            pipeline_schedule(runs, runs->pipelines[i]);
    for (struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next)
        if (leaving->queue_first)
            pipeline_schedule(runs, leaving);
}

bool runs_can_offer(struct runs *runs)
{
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        if (pipeline_can_offer(runs, runs->pipelines[i]))
            return true;
    for (struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next)
        if (pipeline_can_offer(runs, leaving))
            return true;
    return false;
}

static void runs_cancel_all(struct runs *runs, enum run_state state,
                            const struct run_failure *failure)
{
    for (uint32_t i = 0; i < runs->slab_count * RUN_SLAB_COUNT; i++)
        if (runs_at(runs, i)->state == state)
            run_cancel(runs, runs_at(runs, i), failure);
}

void runs_cancel_queued(struct runs *runs, const struct run_failure *failure)
{
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        runs_refuse_queued(runs, runs->pipelines[i], failure);
    for (struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next)
        runs_refuse_queued(runs, leaving, failure);
    runs_cancel_all(runs, RUN_STAGING, failure);
}

void runs_cancel_active(struct runs *runs, const struct run_failure *failure)
{
    runs_cancel_all(runs, RUN_ACTIVE, failure);
}

uint32_t runs_cancel_grace_ms(const struct runs *runs)
{
    uint32_t grace_ms = 0;
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        if (runs->pipelines[i]->config->options.cancel_grace_ms > grace_ms)
            grace_ms = runs->pipelines[i]->config->options.cancel_grace_ms;
    for (const struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next)
        if (leaving->config->options.cancel_grace_ms > grace_ms)
            grace_ms = leaving->config->options.cancel_grace_ms;
    return grace_ms;
}
