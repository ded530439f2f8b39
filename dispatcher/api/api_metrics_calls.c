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
        char labels[LABELS_BYTES_MAX];
        if (calls_count(calls) == 0)
            continue;
        metrics_labels_of(labels, pipeline);
        struct buckets buckets = buckets_of(calls);
        exposition_histogram(out, labels, &buckets, scale);
    }
}

/* Calls of one kind, and what is said of them. */
struct calls_kind {
    size_t offset; /* into the counts of a pipeline */
    const char *times, *times_help;
    const char *items, *items_help;
};

static const struct calls_kind calls_kinds[] = {
    {.offset = offsetof(struct call_counts, steps),
     .times = "millrace_step_duration_seconds",
     .times_help = "Time a step of a pipeline's engine took.",
     .items = "millrace_step_values",
     .items_help = "Values that a step of a pipeline's engine emitted, of all runs together."},
    {.offset = offsetof(struct call_counts, batches),
     .times = "millrace_batch_duration_seconds",
     .times_help = "Time a call of a batched pipe took.",
     .items = "millrace_batch_runs",
     .items_help = "Runs that were in a call of a batched pipe."},
};

void metrics_calls(const struct api *api, struct exposition *out)
{
    fleet_collect_calls(api->fleet);
    for (size_t i = 0; i < ARRAY_COUNT(calls_kinds); i++) {
        const struct calls_kind *kind = &calls_kinds[i];
        if (!calls_are_there(api, kind->offset))
            continue;
        exposition_family(out, kind->times, METRIC_HISTOGRAM, kind->times_help);
        calls_family(api, out, kind->offset, calls_times, &bucket_scale_calls);
        exposition_family(out, kind->items, METRIC_HISTOGRAM, kind->items_help);
        calls_family(api, out, kind->offset, calls_items, &bucket_scale_items);
    }
}
