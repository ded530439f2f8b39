/* SPDX-License-Identifier: MIT */
/* runs_check.c - what holds of runs, pipelines and aliases between passes. */
#include "dispatcher/runs/runs.h"

#include "dispatcher/workers/pool.h"

static void runs_check_pipeline(const struct runs *runs, const struct pipeline *pipeline);
static void runs_check_aliases(const struct runs *runs);

void runs_check(const struct runs *runs)
{
    uint32_t count = 0, queued = 0;
    for (uint32_t i = 0; i < runs->slab_count * RUN_SLAB_COUNT; i++) {
        const struct run *run = runs_at(runs, i);
        mr_assert(run->index == i);
        count += run->id[0] != '\0';
        queued += run->state == RUN_QUEUED;
        mr_assert(run->state != RUN_ACTIVE || run->sink);
        mr_assert(run->state == RUN_FREE || run->pipeline);
        mr_assert(run->state == RUN_FREE || run->state == RUN_QUEUED || !run->is_unread);
        mr_assert(run->state != RUN_ACTIVE || run->worker->slots[run->slot_index].run == run);
    }
    mr_assert(count == runs->count);
    mr_assert(queued == runs->queue_count);
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        queued -= runs->pipelines[i]->queue_count;
        runs_check_pipeline(runs, runs->pipelines[i]);
    }
    for (const struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next) {
        queued -= leaving->queue_count;
        runs_check_pipeline(runs, leaving);
    }
    mr_assert(queued == 0);
    for (const struct pipeline *coming = runs->coming; coming; coming = coming->next)
        runs_check_pipeline(runs, coming);
    runs_check_aliases(runs);
}

static void runs_check_aliases(const struct runs *runs)
{
    for (const struct alias *alias = runs->aliases.first; alias; alias = alias->next) {
        uint32_t user_count = 0;
        for (uint32_t i = 0; i < runs->slab_count * RUN_SLAB_COUNT; i++)
            user_count += runs_at(runs, i)->id[0] != '\0' && runs_at(runs, i)->alias == alias;
        mr_assert(alias->user_count >= user_count); /* others are being answered */
        mr_assert(alias->is_served || alias->user_count > 0);
        for (uint32_t i = 0; i < alias->place_count && alias->is_served; i++)
            mr_assert(runs_find_pipeline(runs, alias->places[i].pointer));
    }
}

static void runs_check_pipeline(const struct runs *runs, const struct pipeline *pipeline)
{
    uint32_t user_count = 0;
    for (uint32_t i = 0; i < runs->slab_count * RUN_SLAB_COUNT; i++)
        user_count += runs_at(runs, i)->id[0] != '\0' && runs_at(runs, i)->pipeline == pipeline;
    mr_assert(pipeline->user_count >= user_count); /* others are with the reader */
    mr_assert(pipeline->pool->owner == pipeline);
    mr_assert((pipeline->phase == PHASE_LEAVING) == pipeline->pool->is_leaving);
    mr_assert(pipeline->scaling.wanted == pipeline->pool->worker_count ||
              pipeline->pool->is_leaving);
    mr_assert((pipeline->state == PIPELINE_IDLE) == (pipeline->scaling.wanted == 0));
    mr_assert(pipeline->queue_count == 0 || pipeline->phase == PHASE_SERVED ||
              pipeline->phase == PHASE_FOLLOWED);
    if (pipeline->fair) {
        mr_assert(pipeline->fair->waiting_count == pipeline->queue_count);
        fair_queue_check(pipeline->fair);
    }
    pool_check(pipeline->pool);
}
