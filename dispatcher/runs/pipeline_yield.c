/* SPDX-License-Identifier: MIT */
/*
 * pipeline_yield.c - a pipeline makes room for the one that is to follow it, where a device or the
 * memory holds the workers of one of them only, --reload-after.
 *
 * It takes no new runs. When those that it has taken have ended its workers go, and it is IDLE, as
 * one that nobody needs; but nobody wakes it. Then the other one's workers start. Where these do
 * not become ready it takes its place back.
 */
#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"

/* It has workers, or soon will, and they can be let go: its table has PIPELINE_EV_UNWANTED. */
static bool yield_has_workers(const struct pipeline *pipeline)
{
    return pipeline->state == PIPELINE_READY || pipeline->state == PIPELINE_RESTARTING ||
           pipeline->state == PIPELINE_WAKING;
}

bool runs_yield_pipeline(struct pipeline *pipeline)
{
    pipeline->is_yielding = yield_has_workers(pipeline) && pipeline->config->options.reload_after;
    return pipeline->is_yielding;
}

/* Those of a quarantine that began meanwhile go with the pipeline. */
static bool yield_may_end(const struct pipeline *pipeline)
{
    return pipeline->queue_count == 0 && pipeline->coming_count == 0 &&
           pool_active_count(pipeline->pool) == 0 && yield_has_workers(pipeline);
}

bool runs_has_yielded(struct runs *runs, struct pipeline *pipeline)
{
    char reason[RUNS_REASON_BYTES];
    if (!pipeline->is_yielding || pipeline->state == PIPELINE_QUARANTINED)
        return true;
    if (yield_may_end(pipeline)) {
        pool_template_want(pipeline->pool, false);
        int rc = pipeline_scale_to(runs, pipeline, 0, reason);
        mr_assert(rc == 0); /* no place is added */
    }
    return pipeline->pool->worker_count == 0 && pool_is_vacant(pipeline->pool);
}

void runs_take_back_pipeline(struct runs *runs, struct pipeline *pipeline)
{
    char reason[RUNS_REASON_BYTES];
    uint32_t min = pipeline->scaling.bounds.min;
    pipeline->is_yielding = false;
    pool_template_want(pipeline->pool, true);
    if (pipeline->state != PIPELINE_IDLE)
        return;
    /* Without memory for that it stays idle, and the next run tries again. */
    if (min > 0 && pipeline_scale_to(runs, pipeline, min, reason) < 0)
        log_event(&runs->reactor->log, LEVEL_ERROR, "scale_failed",
                  LOG_WORD("pipeline", pipeline->config->pointer), LOG_NATURAL("from", 0),
                  LOG_NATURAL("to", min), LOG_TEXT("reason", reason));
}
