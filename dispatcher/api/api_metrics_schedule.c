/* SPDX-License-Identifier: MIT */
/* api_metrics_schedule.c - what GET /metrics says of classes, tenants and affinity. */
#include "dispatcher/api/api.h"
#include "dispatcher/api/api_metrics.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/runs/runs.h"

static bool schedule_has_affinity(const struct pipeline *pipeline)
{
    return pipeline->config->affinity_by.kind != RANK_BY_NOTHING;
}

static bool schedule_has_some(const struct api *api, bool (*is_one)(const struct pipeline *))
{
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        if (is_one(api->runs->pipelines[i]))
            return true;
    return false;
}

/* A sample of each class that has been used, of all fair pipelines. */
static void schedule_classes_add(const struct api *api, struct exposition *out,
                                 double (*value)(const struct pipeline *pipeline, uint32_t class))
{
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct pipeline *pipeline = api->runs->pipelines[i];
        for (uint32_t k = 0; k < RUN_CLASS_COUNT && pipeline_is_fair(pipeline); k++) {
            char labels[LABELS_BYTES_MAX];
            if (pipeline->tally->class_starts[k] == 0 &&
                pipeline->fair->classes[k].waiting_count == 0)
                continue;
            metrics_labels_of(labels, pipeline);
            labels_add(labels, "class", run_class_name(k));
            exposition_sample_real(out, labels, value(pipeline, k));
        }
    }
}

static double schedule_waiting(const struct pipeline *pipeline, uint32_t class)
{
    return pipeline->fair->classes[class].waiting_count;
}

static double schedule_starts(const struct pipeline *pipeline, uint32_t class)
{
    return (double)pipeline->tally->class_starts[class];
}

static double schedule_wait_s(const struct pipeline *pipeline, uint32_t class)
{
    return (double)pipeline->tally->class_wait_ms[class] / 1000;
}

static uint64_t schedule_tenants(const struct pipeline *pipeline)
{
    return pipeline->fair->busy_count;
}

static uint64_t schedule_displaced(const struct pipeline *pipeline)
{
    return pipeline->tally->displaced_count;
}

static void schedule_fair_add(const struct api *api, struct exposition *out,
                              uint64_t (*value)(const struct pipeline *pipeline))
{
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        char labels[LABELS_BYTES_MAX];
        if (!pipeline_is_fair(api->runs->pipelines[i]))
            continue;
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_sample(out, labels, value(api->runs->pipelines[i]));
    }
}

static void schedule_fair(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_class_queue_depth", METRIC_GAUGE,
                      "Runs of a class that wait for a slot, once it has been used.");
    schedule_classes_add(api, out, schedule_waiting);
    exposition_family(out, "millrace_class_runs_started", METRIC_COUNTER,
                      "Runs of a class that got a slot.");
    schedule_classes_add(api, out, schedule_starts);
    exposition_family(out, "millrace_class_wait_seconds", METRIC_COUNTER,
                      "Time that those had waited, all together.");
    schedule_classes_add(api, out, schedule_wait_s);
    exposition_family(out, "millrace_tenants", METRIC_GAUGE,
                      "Tenants, in each class, that have runs which wait or are active.");
    schedule_fair_add(api, out, schedule_tenants);
    exposition_family(out, "millrace_runs_displaced", METRIC_COUNTER,
                      "Runs that left a full queue so that one of a tenant with fewer had room.");
    schedule_fair_add(api, out, schedule_displaced);
}

static void schedule_affinity(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_affinity_runs", METRIC_COUNTER,
                      "Runs with a key that got a slot: on the worker that has it, on any since "
                      "none is known to, or elsewhere since that one is too busy.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (enum affinity_end end = 0; end < AFFINITY_END_COUNT; end++) {
            const struct pipeline *pipeline = api->runs->pipelines[i];
            char labels[LABELS_BYTES_MAX];
            if (!schedule_has_affinity(pipeline))
                continue;
            metrics_labels_of(labels, pipeline);
            labels_add(labels, "result", affinity_end_name(end));
            exposition_sample(out, labels, pipeline->tally->affinity_counts[end]);
        }
}

void metrics_schedule(const struct api *api, struct exposition *out)
{
    if (schedule_has_some(api, pipeline_is_fair))
        schedule_fair(api, out);
    if (schedule_has_some(api, schedule_has_affinity))
        schedule_affinity(api, out);
}
