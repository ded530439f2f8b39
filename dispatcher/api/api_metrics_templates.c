/* SPDX-License-Identifier: MIT */
/* api_metrics_templates.c - what GET /metrics says of templates, which workers are copies of. */
#include "dispatcher/api/api.h"
#include "dispatcher/api/api_metrics.h"
#include "dispatcher/config/preload.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"

static uint64_t template_is_ready(const struct pool_template *template)
{
    return template->worker && template->worker->state == WORKER_READY;
}

static uint64_t template_copy_count(const struct pool_template *template)
{
    return template->copy_count;
}

/* Of pipelines that have one, or would if it could be copied. */
static void metrics_templates_add(const struct api *api, struct exposition *out,
                                  uint64_t (*value)(const struct pool_template *template))
{
    char labels[LABELS_BYTES_MAX];
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct pipeline *pipeline = api->runs->pipelines[i];
        if (pipeline->config->options.preload == PRELOAD_NONE)
            continue;
        metrics_labels_of(labels, pipeline);
        exposition_sample(out, labels, value(&pipeline->pool->template));
    }
}

static bool metrics_templates_are_wanted(const struct api *api)
{
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        if (api->runs->pipelines[i]->config->options.preload != PRELOAD_NONE)
            return true;
    return false;
}

void metrics_templates(const struct api *api, struct exposition *out)
{
    if (!metrics_templates_are_wanted(api))
        return;
    exposition_family(out, "millrace_template_ready", METRIC_GAUGE,
                      "1 while workers of the pipeline can begin as copies of its template.");
    metrics_templates_add(api, out, template_is_ready);
    exposition_family(out, "millrace_template_copies", METRIC_COUNTER,
                      "Workers that began as copies of their pipeline's template.");
    metrics_templates_add(api, out, template_copy_count);
}
