/* SPDX-License-Identifier: MIT */
/* runs_reserve.c - how many runs there can be at once, and room for them. */
#include <errno.h>
#include <stdlib.h>

#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"

static uint64_t runs_needed(const struct runs *runs, uint64_t more, uint64_t more_queued);
static uint64_t runs_of_renewal(const struct runs *runs);
static int runs_grow(struct runs *runs, uint64_t count_max);

int runs_reserve(struct runs *runs, uint64_t more, uint64_t more_queued)
{
    return runs_grow(runs, runs_needed(runs, more, more_queued));
}

int runs_reserve_renewal(struct runs *runs)
{
    return runs_reserve(runs, runs_of_renewal(runs), 0);
}

/* ---- how many ------------------------------------------------------------------------------ */

/* Those that there may be, or those that there are, which may be about to go. */
uint64_t runs_places(const struct pipeline *pipeline)
{
    uint64_t most = pipeline->scaling.bounds.max + pipeline->config->options.recycle_overlap;
    return most > pipeline->pool->place_count ? most : pipeline->pool->place_count;
}

static uint64_t runs_of_places(const struct pipeline *pipeline)
{
    return runs_places(pipeline) * pipeline->config->options.concurrency;
}

/* Of the one place more that there is while all workers are replaced, whosever turn it is. */
static uint64_t runs_of_renewal(const struct runs *runs)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        if (runs->pipelines[i]->config->options.concurrency > most)
            most = runs->pipelines[i]->config->options.concurrency;
    return most;
}

/* Runs there can be at once of all pipelines, with `more` that can run and `more_queued` that can
 * wait. One more each, since a run that is being refused is a run, too. Places that are about to go
 * still have runs. */
static uint64_t runs_needed(const struct runs *runs, uint64_t more, uint64_t more_queued)
{
    uint64_t total_max = runs->config->queue_total_max;
    uint64_t running = more, queued = more_queued;
    if (runs->fleet->renewal.is_on)
        running += runs_of_renewal(runs);
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        running += runs_of_places(runs->pipelines[i]) + 1;
        queued += runs->pipelines[i]->config->options.queue_count_max;
    }
    for (const struct pipeline *coming = runs->coming; coming; coming = coming->next) {
        running += runs_of_places(coming) + 1;
        queued += coming->config->options.queue_count_max;
    }
    for (const struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next) {
        running += runs_of_places(leaving) + 1;
        queued += leaving->queue_count;
    }
    return running + (total_max > 0 && total_max < queued ? total_max : queued);
}

/* ---- room ---------------------------------------------------------------------------------- */

/* The index by ids for so many runs, with all in it that were in the last one. */
static int runs_index(struct runs *runs, uint32_t place_count)
{
    struct id_index index;
    if (id_index_init(&index, place_count) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < runs->slab_count * RUN_SLAB_COUNT; i++) {
        const struct run *run = runs_at(runs, i);
        if (run_is_live(run->state))
            id_index_add(&index, run->id, i);
    }
    id_index_finish(&runs->index);
    runs->index = index;
    return 0;
}

static int runs_add_slab(struct runs *runs)
{
    uint32_t at = runs->slab_count;
    struct run **slabs = realloc(runs->slabs, (at + 1) * sizeof *slabs);
    if (!slabs)
        return -ENOMEM;
    runs->slabs = slabs;
    slabs[at] = calloc(RUN_SLAB_COUNT, sizeof *slabs[at]);
    if (!slabs[at])
        return -ENOMEM;
    if (timers_reserve(&runs->reactor->timers, RUN_SLAB_COUNT) < 0) {
        free(slabs[at]);
        return -ENOMEM;
    }
    runs->slab_count++;
    return 0;
}

/* Those of the slabs that may be used: as many as were asked for, no more. */
static void runs_release(struct runs *runs, uint32_t from, uint32_t to)
{
    for (uint32_t i = to; i-- > from;) {
        struct run *run = runs_at(runs, i);
        run->next = runs->free;
        runs->free = run;
    }
}

/* Room for so many runs at once. What a pipeline leaves behind is kept for the next one. */
static int runs_grow(struct runs *runs, uint64_t count_max)
{
    if (count_max <= runs->count_max)
        return 0;
    if (count_max > RUN_COUNT_MAX)
        return -ENOMEM;
    while ((uint64_t)runs->slab_count * RUN_SLAB_COUNT < count_max) {
        uint32_t first = runs->slab_count * RUN_SLAB_COUNT;
        if (runs_add_slab(runs) < 0)
            return -ENOMEM;
        for (uint32_t i = 0; i < RUN_SLAB_COUNT; i++) {
            struct run *run = runs_at(runs, first + i);
            run->index = first + i;
            run->timer = (struct timer){.kind = TIMER_RUN, .owner = run};
        }
    }
    if (runs->index.place_count < runs->slab_count * RUN_SLAB_COUNT) {
        int rc = runs_index(runs, runs->slab_count * RUN_SLAB_COUNT);
        if (rc < 0)
            return rc;
    }
    runs_release(runs, runs->count_max, (uint32_t)count_max);
    runs->count_max = (uint32_t)count_max;
    return 0;
}
