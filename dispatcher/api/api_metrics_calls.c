/* SPDX-License-Identifier: MIT */
/*
 * api_metrics_calls.c - what GET /metrics says of calls that serve many runs at once.
 *
 * Of what a worker counts itself: a pipeline has these series from its first call on.
 */
#include <stddef.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/api_metrics.h"
#include "dispatcher/runs/runs.h"

_Static_assert(CALLS_TIME_COUNT == BUCKET_BOUND_COUNT_MAX + 1, "the counts are those of the scale");
_Static_assert(CALLS_ITEM_COUNT <= BUCKET_BOUND_COUNT_MAX + 1, "the counts are those of the scale");

static struct buckets calls_times(const struct calls *calls)
{
    struct buckets buckets = {.sum = calls->time_ns};
    memcpy(buckets.counts, calls->time_counts, sizeof calls->time_counts);
    return buckets;
}

static struct buckets calls_items(const struct calls *calls)
{
    struct buckets buckets = {.sum = calls->item_count};
    memcpy(buckets.counts, calls->item_counts, sizeof calls->item_counts);
    return buckets;
}

/* The calls that lie so many bytes into the counts of each pipeline. */
static const struct calls *calls_of(const struct pipeline *pipeline, size_t offset)
{
    const char *counts = (const char *)&pipeline->tally->calls;
    return (const struct calls *)(const void *)(counts + offset);
}

static bool calls_are_there(const struct api *api, size_t offset)
{
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        if (calls_count(calls_of(api->runs->pipelines[i], offset)) > 0)
            return true;
    return false;
}

static void calls_family(const struct api *api, struct exposition *out, size_t offset,
                         struct buckets (*buckets_of)(const struct calls *calls),
                         const struct bucket_scale *scale)
{
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct pipeline *pipeline = api->runs->pipelines[i];
        const struct calls *calls = calls_of(pipeline, offset);
        char labels[LABELS_BYTES_MAX] = "";
        if (calls_count(calls) == 0)
            continue;
        labels_add(labels, "pipeline", pipeline->config->pointer);
        struct buckets buckets = buckets_of(calls);
        exposition_histogram(out, labels, &buckets, scale);
    }
}

static void metrics_batches(const struct api *api, struct exposition *out)
{
    const size_t batches = offsetof(struct call_counts, batches);
    if (!calls_are_there(api, batches))
        return;
    exposition_family(out, "millrace_batch_duration_seconds", METRIC_HISTOGRAM,
                      "Time a call of a batched pipe took.");
    calls_family(api, out, batches, calls_times, &bucket_scale_calls);
    exposition_family(out, "millrace_batch_runs", METRIC_HISTOGRAM,
                      "Runs that were in a call of a batched pipe.");
    calls_family(api, out, batches, calls_items, &bucket_scale_items);
}

static void metrics_steps(const struct api *api, struct exposition *out)
{
    const size_t steps = offsetof(struct call_counts, steps);
    if (!calls_are_there(api, steps))
        return;
    exposition_family(out, "millrace_step_duration_seconds", METRIC_HISTOGRAM,
                      "Time a step of a pipeline's engine took.");
    calls_family(api, out, steps, calls_times, &bucket_scale_calls);
    exposition_family(out, "millrace_step_values", METRIC_HISTOGRAM,
                      "Values that a step of a pipeline's engine emitted, of all runs together.");
    calls_family(api, out, steps, calls_items, &bucket_scale_items);
}

void metrics_calls(const struct api *api, struct exposition *out)
{
    fleet_collect_calls(api->fleet);
    metrics_steps(api, out);
    metrics_batches(api, out);
}
