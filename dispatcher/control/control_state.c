/* SPDX-License-Identifier: MIT */
/* control_state.c - the state of the server as JSON. */
#include "dispatcher/control/control_state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build/version.h"
#include "dispatcher/api/answer.h"
#include "dispatcher/api/api.h"
#include "dispatcher/config/config_hold.h"
#include "dispatcher/config/preload.h"
#include "dispatcher/control/control.h"
#include "dispatcher/control/control_clients.h"
#include "dispatcher/control/control_devices.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/held_devices.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/usage.h"

static const char *const phase_names[PHASE_COUNT] = {
    [PHASE_SERVED] = "served",
    [PHASE_COMING] = "coming",
    [PHASE_FOLLOWED] = "followed",
    [PHASE_LEAVING] = "leaving",
};

static void state_text_add(struct text *text, const char *string)
{
    if (string)
        text_add_json(text, string, strlen(string));
    else
        text_add(text, "null");
}

/* ---- the server ---------------------------------------------------------------------------- */

static void state_listeners(struct text *text, const struct front *front)
{
    const char *comma = "";
    for (uint32_t i = 0; i < front->listener_count; i++) {
        if (front->listeners[i].fd < 0)
            continue;
        text_add(text, "%s", comma);
        state_text_add(text, front->listeners[i].name);
        comma = ",";
    }
}

static void state_server(const struct control *control, struct text *text)
{
    const struct api *api = control->api;
    const struct reactor *reactor = control->reactor;
    double uptime_s = (double)(reactor->now_ms - reactor->started_ms) / 1000;
    text_add(text,
             "\"server\":{\"pid\":%d,\"version\":\"%s\",\"started_at\":%.3f,\"uptime_s\":%.3f,"
             "\"state\":\"%s\",\"listen\":[",
             (int)getpid(), MILLRACE_VERSION, reactor->started_wall_s, uptime_s,
             control->ops->state(control->owner));
    state_listeners(text, api->front);
    text_add(text, "],\"config\":");
    state_text_add(text, control->config->said.file);
    text_add(text,
             ",\"connections\":%u,\"connections_max\":%u,\"runs\":%u,\"queued\":%u,"
             "\"input_bytes\":%llu,\"input_bytes_max\":%llu,\"output_bytes\":%llu,"
             "\"output_bytes_max\":%llu,\"lines\":%llu}",
             api->front->conn_count, api->front->conn_count_max, api->runs->count,
             api->runs->queue_count, (unsigned long long)api->input->bytes,
             (unsigned long long)api->input->bytes_max,
             (unsigned long long)out_pool_used_bytes(&api->front->out),
             (unsigned long long)control->config->output_bytes_max,
             (unsigned long long)api->line_count);
}

static void state_reload(const struct control *control, struct text *text)
{
    const struct reload_outcome *outcome = &control->api->reload_outcome;
    text_add(text,
             ",\"reload\":{\"state\":\"%s\",\"generation\":%u,\"succeeded\":%llu,\"failed\":%llu,"
             "\"last_at\":",
             control->ops->reload_state(control->owner), control->config->holders->number,
             (unsigned long long)outcome->counts[1], (unsigned long long)outcome->counts[0]);
    if (outcome->wall_s > 0)
        text_add(text, "%.3f,\"last_result\":\"%s\"}", outcome->wall_s,
                 outcome->has_failed ? "failed" : "done");
    else
        text_add(text, "null,\"last_result\":null}");
}

/* ---- pipelines ----------------------------------------------------------------------------- */

static void state_worker(const struct control *control, struct text *text,
                         const struct worker *worker)
{
    const struct worker_usage *usage = usage_of(worker);
    text_add(text, "{\"number\":%u,\"pid\":", worker->number);
    if (worker_has_process(worker))
        text_add(text, "%d,\"state\":\"%s\",\"age_s\":%.3f", (int)worker->pid,
                 worker_state_name(worker->state),
                 (double)(control->reactor->now_ms - worker->started_ms) / 1000);
    else
        text_add(text, "null,\"state\":\"%s\",\"age_s\":null", worker_state_name(worker->state));
    text_add(text, ",\"active\":%u,\"slots\":%u,\"restarts\":%llu", worker->active_count,
             worker_has_process(worker) ? worker->capacity : worker->pool->worker_capacity,
             (unsigned long long)worker->restart_count);
    if (usage)
        text_add(text, ",\"memory_bytes\":%llu,\"cpu_s\":%.3f",
                 (unsigned long long)usage->resident_bytes, (double)usage->cpu_ns / 1e9);
    else
        text_add(text, ",\"memory_bytes\":null,\"cpu_s\":null");
    text_add(text, ",\"ring_bytes\":%u,\"ring_used_bytes\":%llu,\"device\":",
             worker->pool->config->options.reply_ring_bytes,
             (unsigned long long)worker->ring_used_bytes);
    api_device_format(text, held_device(worker));
    text_add(text, "}");
}

static void state_workers(const struct control *control, struct text *text,
                          const struct worker_pool *pool)
{
    const char *comma = "";
    for (uint32_t i = 0; i < pool->place_count; i++) {
        if (pool->places[i]->state == WORKER_SPARE)
            continue;
        text_add(text, "%s", comma);
        state_worker(control, text, pool->places[i]);
        comma = ",";
    }
}

/* null where there is none, and nothing is to be said of that. */
static void state_template(struct text *text, const struct worker_pool *pool)
{
    const struct pool_template *template = &pool->template;
    const struct worker *self = template->worker;
    bool is_used = self && !template->is_refused;
    text_add(text, ",\"template\":");
    if (pool->config->options.preload == PRELOAD_NONE) {
        text_add(text, "null");
        return;
    }
    text_add(text, "{\"preload\":\"%s\",\"state\":\"%s\",\"pid\":",
             preload_words[pool->config->options.preload],
             is_used ? worker_state_name(self->state) : "refused");
    if (is_used && worker_has_process(self))
        text_add(text, "%d", (int)self->pid);
    else
        text_add(text, "null");
    text_add(text, ",\"copies\":%llu,\"reason\":", (unsigned long long)template->copy_count);
    state_text_add(text, template->reason[0] != '\0' ? template->reason : NULL);
    text_add(text, "}");
}

static uint64_t state_sum(const uint64_t *counts, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += counts[i];
    return sum;
}

/* Values of the runs that ended, and of those that have a slot now. */
static uint64_t state_lines(const struct pipeline *pipeline)
{
    uint64_t count = pipeline->tally->line_count;
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++) {
        const struct worker *worker = pipeline->pool->places[i];
        uint32_t left = worker->active_count;
        for (uint32_t k = 0; left > 0 && k < pipeline->config->options.concurrency; k++) {
            const struct run *run = worker->slots[k].run;
            left -= run != NULL;
            if (run && run->state == RUN_ACTIVE)
                count += run->value_count;
        }
    }
    return count;
}

static void state_first_chunks(struct text *text, const struct buckets *buckets)
{
    const struct bucket_scale *scale = &bucket_scale_runs;
    uint64_t sum = 0;
    text_add(text, ",\"first_chunk\":{\"le_s\":[");
    for (uint32_t i = 0; i < scale->count; i++)
        text_add(text, "%s%s", i > 0 ? "," : "", scale->texts[i]);
    text_add(text, "],\"counts\":[");
    for (uint32_t i = 0; i < scale->count; i++) {
        sum += buckets->counts[i];
        text_add(text, "%s%llu", i > 0 ? "," : "", (unsigned long long)sum);
    }
    text_add(text, "],\"count\":%llu}", (unsigned long long)(sum + buckets->counts[scale->count]));
}

/* null: who came first is next. */
static void state_schedule(struct text *text, const struct pipeline *pipeline)
{
    const char *comma = "";
    if (!pipeline_is_fair(pipeline)) {
        text_add(text, ",\"fair\":null");
        return;
    }
    text_add(text, ",\"fair\":{\"tenants\":%u,\"displaced\":%llu,\"classes\":[",
             pipeline->fair->busy_count, (unsigned long long)pipeline->tally->displaced_count);
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++) {
        uint32_t waiting_count = pipeline->fair->classes[i].waiting_count;
        if (waiting_count == 0)
            continue;
        text_add(text, "%s{\"class\":\"%s\",\"queued\":%u}", comma, run_class_name(i),
                 waiting_count);
        comma = ",";
    }
    text_add(text, "]}");
}

static void state_pipeline(const struct control *control, struct text *text,
                           const struct pipeline *pipeline)
{
    const struct pipeline_options *options = &pipeline->config->options;
    const struct tally *tally = pipeline->tally;
    text_add(text,
             "{\"pointer\":\"%s\",\"id\":\"%s\",\"state\":\"%s\",\"phase\":\"%s\",\"drained\":%s,"
             "\"error\":",
             pipeline->config->pointer, pipeline->config->id, pipeline_state_name(pipeline->state),
             phase_names[pipeline->phase],
             pipeline_is_drained(control->api->runs, pipeline) ? "true" : "false");
    state_text_add(text, pipeline->failure[0] != '\0' ? pipeline->failure : NULL);
    text_add(text,
             ",\"active\":%u,\"queued\":%u,\"queue_max\":%u,\"workers_min\":%u,"
             "\"workers_max\":%u,\"workers_wanted\":%u",
             pool_active_count(pipeline->pool), pipeline->queue_count, options->queue_count_max,
             pipeline->scaling.bounds.min, pipeline->scaling.bounds.max,
             pipeline->pool->worker_count);
    text_add(text,
             ",\"accepted\":%llu,\"completed\":%llu,\"failed\":%llu,\"cancelled\":%llu,"
             "\"refused\":%llu,\"lines\":%llu",
             (unsigned long long)tally->accepted_count, (unsigned long long)tally->ends[0],
             (unsigned long long)state_sum(&tally->ends[1], ERROR_TYPE_COUNT),
             (unsigned long long)state_sum(tally->cancels, CANCEL_REASON_COUNT),
             (unsigned long long)state_sum(tally->refusals, REFUSAL_COUNT),
             (unsigned long long)state_lines(pipeline));
    state_first_chunks(text, &tally->first_chunk);
    text_add(text, ",\"loading\":");
    api_loading_format(control->api, text, pipeline);
    text_add(text, ",\"waiting\":");
    api_waiting_format(control->api, text, pipeline);
    text_add(text, ",\"device_memory_bytes\":");
    api_device_memory_format(text, pipeline);
    state_schedule(text, pipeline);
    state_template(text, pipeline->pool);
    text_add(text, ",\"workers\":[");
    state_workers(control, text, pipeline->pool);
    text_add(text, "]}");
}

static void state_pipeline_list(const struct control *control, struct text *text,
                                const struct pipeline *list, const char **comma)
{
    for (const struct pipeline *pipeline = list; pipeline; pipeline = pipeline->next) {
        text_add(text, "%s", *comma);
        state_pipeline(control, text, pipeline);
        *comma = ",";
    }
}

static void state_pipelines(const struct control *control, struct text *text)
{
    const struct runs *runs = control->api->runs;
    const char *comma = "";
    text_add(text, ",\"pipelines\":[");
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        text_add(text, "%s", comma);
        state_pipeline(control, text, runs->pipelines[i]);
        comma = ",";
    }
    state_pipeline_list(control, text, runs->coming, &comma);
    state_pipeline_list(control, text, runs->leaving, &comma);
    text_add(text, "]");
}

static void state_alias(struct text *text, const struct alias *alias)
{
    text_add(text, "{\"pointer\":\"%s\",\"targets\":[", alias->pointer);
    for (uint32_t i = 0; i < alias->place_count; i++)
        text_add(text, "%s{\"pointer\":\"%s\",\"weight\":%u,\"runs\":%llu}", i > 0 ? "," : "",
                 alias->places[i].pointer, alias->choices[i].weight,
                 (unsigned long long)alias->places[i].run_count);
    text_add(text, "]}");
}

static void state_aliases(const struct control *control, struct text *text)
{
    const char *comma = "";
    const struct alias *alias = aliases_first(&control->api->runs->aliases);
    text_add(text, ",\"aliases\":[");
    for (; alias; alias = alias_next(alias)) {
        text_add(text, "%s", comma);
        state_alias(text, alias);
        comma = ",";
    }
    text_add(text, "]");
}

void control_state(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    struct text text = {0};
    (void)body, (void)bytes;
    usage_look(control->api->fleet);
    text_add(&text, "{");
    state_server(control, &text);
    state_reload(control, &text);
    state_pipelines(control, &text);
    state_aliases(control, &text);
    control_devices_format(control->api->fleet, &text);
    control_clients_format(control->api->runs, control->reactor->now_ms, &text);
    text_add(&text, "}\n");
    response_text(&control->front, conn, 200, NULL, &text);
}
