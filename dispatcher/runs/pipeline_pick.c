/* SPDX-License-Identifier: MIT */
/*
 * pipeline_pick.c - which run goes next, and to which worker: by --schedule and --affinity.
 *
 * Without an affinity it is the next one and the least loaded worker. With one, a run whose key a
 * worker is known to have goes there, unless that is too busy. Then one of those behind it may go
 * first whose worker is not, so that slots are used by those who find something there; but no run
 * is passed more often than PASS_COUNT_MAX times, and of a fair schedule only by runs of its flow.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatcher/runs/affinity.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"

#define PASS_COUNT_MAX 16u
#define LOOK_AHEAD_COUNT 8u /* runs that are looked at for one slot */

/* Of a payload that is in a file: the longest prefix, and what may stand before its text. */
#define PAYLOAD_AHEAD_BYTES (2 * RANK_PREFIX_BYTES_MAX)

uint64_t pipeline_now_us(const struct runs *runs)
{
    return runs->reactor->now_ns / 1000;
}

bool pipeline_is_fair(const struct pipeline *pipeline)
{
    return pipeline->config->options.schedule == SCHEDULE_FAIR;
}

struct run *pipeline_run_of(struct fair_item *item)
{
    return (struct run *)(void *)((char *)item - offsetof(struct run, fair));
}

struct run *pipeline_next(const struct runs *runs, const struct pipeline *pipeline)
{
    if (!pipeline->queue_first || !pipeline_is_fair(pipeline))
        return pipeline->queue_first;
    return pipeline_run_of(fair_queue_next(pipeline->fair, pipeline_now_us(runs)));
}

/* ---- affinity ------------------------------------------------------------------------------ */

/* The worker that has this key, as long as its process takes runs; NULL: nobody is known to. */
static struct worker *pick_holder(const struct runs *runs, const struct pipeline *pipeline,
                                  uint64_t key)
{
    struct affinity_holder holder;
    if (key == 0 || !affinity_find(pipeline->affinity, key, &holder))
        return NULL;
    struct worker *worker =
        fleet_worker(runs->fleet, (struct uring_ref){0, holder.worker, holder.generation});
    return worker && worker->pool == pipeline->pool && worker_serves(worker) ? worker : NULL;
}

/* Whether a run finds the worker that has its key, and whether that one can take it. */
enum finding { FOUND_NOBODY = 0, FOUND_BUSY, FOUND };

static enum finding pick_find(const struct runs *runs, const struct pipeline *pipeline,
                              const struct run *run, const struct worker *least,
                              struct worker **out)
{
    struct worker *worker = pick_holder(runs, pipeline, run->rank.affinity);
    uint32_t most = least->active_count + pipeline->config->options.affinity_load;
    if (!worker)
        return FOUND_NOBODY;
    if (worker_free_count(worker) == 0 || worker->active_count > most)
        return FOUND_BUSY;
    *out = worker;
    return FOUND;
}

/* The one behind it; of a fair schedule, of its flow. */
static struct run *pick_after(const struct pipeline *pipeline, const struct run *run)
{
    if (!pipeline_is_fair(pipeline))
        return run->next;
    return run->fair.next ? pipeline_run_of(run->fair.next) : NULL;
}

/* One of those behind it that finds its worker, for which all before it are passed; NULL: none. */
static struct run *pick_ahead(const struct runs *runs, const struct pipeline *pipeline,
                              struct run *first, const struct worker *least, struct worker **worker)
{
    struct run *run = first;
    for (uint32_t i = 0; i < LOOK_AHEAD_COUNT && run->passed_count < PASS_COUNT_MAX; i++) {
        run = pick_after(pipeline, run);
        if (!run)
            return NULL;
        if (pick_find(runs, pipeline, run, least, worker) != FOUND)
            continue;
        for (struct run *passed = first; passed != run; passed = pick_after(pipeline, passed))
            passed->passed_count++;
        return run;
    }
    return NULL;
}

struct run *pipeline_pick(const struct runs *runs, const struct pipeline *pipeline,
                          struct worker **worker)
{
    struct run *next = pipeline_next(runs, pipeline);
    if (pipeline->config->affinity_by.kind == RANK_BY_NOTHING)
        return next;
    const struct worker *least = *worker;
    if (pick_find(runs, pipeline, next, least, worker) != FOUND_BUSY)
        return next;
    struct run *ahead = pick_ahead(runs, pipeline, next, least, worker);
    return ahead ? ahead : next;
}

void pipeline_note_pick(const struct runs *runs, const struct pipeline *pipeline,
                        const struct run *run, const struct worker *worker)
{
    struct tally *tally = pipeline->tally;
    uint64_t key = run->rank.affinity;
    if (key == 0)
        return;
    const struct worker *holder = pick_holder(runs, pipeline, key);
    if (!holder)
        tally->affinity_counts[AFFINITY_MISS]++;
    else
        tally->affinity_counts[holder == worker ? AFFINITY_HIT : AFFINITY_DIVERTED]++;
    affinity_note(pipeline->affinity, key,
                  (struct affinity_holder){worker->index, worker->generation});
}

static uint64_t pick_prefix_of_file(const struct runs *runs, int fd, uint32_t prefix_bytes)
{
    uint64_t hash = 0;
    uint8_t *ahead = malloc(PAYLOAD_AHEAD_BYTES);
    ssize_t count = ahead ? pread(fd, ahead, PAYLOAD_AHEAD_BYTES, 0) : -1;
    if (count > 0)
        hash = rank_hash_prefix(&runs->rank_secret, ahead, (size_t)count, prefix_bytes);
    free(ahead);
    return hash;
}

void pipeline_rank_payload(const struct runs *runs, struct run *run)
{
    const struct rank_source *by = &run->pipeline->config->affinity_by;
    if (by->kind != RANK_BY_PREFIX || run->is_unread)
        return;
    if (run->has_payload_file)
        run->rank.affinity = pick_prefix_of_file(runs, run->payload_fd, by->prefix_bytes);
    else
        run->rank.affinity = rank_hash_prefix(&runs->rank_secret, run->payload, run->payload_bytes,
                                              by->prefix_bytes);
}

/* ---- what a pipeline has for it ------------------------------------------------------------ */

static int pick_make_fair(const struct runs *runs, struct pipeline *pipeline)
{
    struct fair_queue *fair = malloc(sizeof *fair);
    if (!fair || fair_queue_init(fair) < 0) {
        free(fair);
        return -ENOMEM;
    }
    pipeline->fair = fair;
    for (struct run *run = pipeline->queue_first; run; run = run->next)
        fair_queue_join(fair, &run->fair, run->rank.class, run->rank.tenant, pipeline_now_us(runs));
    return 0;
}

static int pick_make_affinity(struct pipeline *pipeline)
{
    struct affinity *affinity = malloc(sizeof *affinity);
    if (!affinity || affinity_init(affinity) < 0) {
        free(affinity);
        return -ENOMEM;
    }
    pipeline->affinity = affinity;
    return 0;
}

int pipeline_pick_prepare(const struct runs *runs, struct pipeline *pipeline,
                          const struct pipeline_config *config)
{
    int rc = 0;
    if (config->options.schedule == SCHEDULE_FAIR && !pipeline->fair)
        rc = pick_make_fair(runs, pipeline);
    if (rc == 0 && config->affinity_by.kind != RANK_BY_NOTHING && !pipeline->affinity)
        rc = pick_make_affinity(pipeline);
    return rc;
}

void pipeline_pick_finish(struct pipeline *pipeline)
{
    if (pipeline->fair)
        fair_queue_finish(pipeline->fair);
    if (pipeline->affinity)
        affinity_finish(pipeline->affinity);
    free(pipeline->fair);
    free(pipeline->affinity);
}
