/* SPDX-License-Identifier: MIT */
/* api_info.c - the handlers that say what is served and how it is. */
#include <stdio.h>
#include <string.h>

#include "build/version.h"
#include "dispatcher/api/api.h"
#include "dispatcher/api/formats/run_text.h"
#include "dispatcher/config/device_kind.h"
#include "dispatcher/config/manifest.h"
#include "dispatcher/http/response.h"
#include "dispatcher/inputs/error_type.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/held_devices.h"
#include "dispatcher/workers/pool.h"

#define REASON_BYTES (512u + LOAD_WORDS_BYTES)

static void info_pipeline_format(const struct api *api, struct text *text,
                                 const struct pipeline *pipeline, const struct alias *alias);
static const char *info_unready_reason(const struct api *api, const struct request *request,
                                       char *text, size_t text_bytes);
static void info_unready_format(const struct request *request, char *text, size_t text_bytes,
                                const struct pipeline *pipeline);
static const char *info_container_word(const struct pipeline *pipeline);
static uint32_t info_ready_count_min(const struct pipeline *pipeline);
static bool info_takes_runs(const struct pipeline *pipeline);
static bool info_is_ready(const struct pipeline *pipeline);

/* ---- pipelines ----------------------------------------------------------------------------- */

void api_pipelines_list(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    text_add(&text, "{\"data\":[");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        if (i > 0)
            text_add(&text, ",");
        info_pipeline_format(api, &text, api->runs->pipelines[i], NULL);
    }
    text_add(&text, "],\"total\":%u,\"aliases\":[", api->runs->pipeline_count);
    for (const struct alias *alias = aliases_first(&api->runs->aliases); alias;
         alias = alias_next(alias)) {
        api_alias_format(api, &text, alias);
        text_add(&text, alias_next(alias) ? "," : "");
    }
    text_add(&text, "]}\n");
    response_text(api->front, conn, 200, NULL, &text);
}

void api_pipeline_get(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    const struct pipeline *pipeline = runs_find_pipeline(api->runs, conn->request.argument);
    const struct alias *alias =
        pipeline ? NULL : aliases_find(&api->runs->aliases, conn->request.argument);
    if (alias)
        pipeline = api_alias_main(api, alias);
    if (!pipeline) {
        api_pipeline_missing(api, conn, conn->request.argument);
        return;
    }
    info_pipeline_format(api, &text, pipeline, alias);
    text_add(&text, "\n");
    response_text(api->front, conn, 200, NULL, &text);
}

void api_token_validate(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    text_add(&text, "{\"valid\":true}\n");
    response_text(api->front, conn, 200, NULL, &text);
}

void api_loading_format(const struct api *api, struct text *text, const struct pipeline *pipeline)
{
    const struct worker *worker = pool_first_starting(pipeline->pool);
    if (!worker) {
        text_add(text, "null");
        return;
    }
    const struct start_progress *progress = &worker->progress;
    text_add(text, "{\"worker\":");
    if (worker->is_template) /* they wait for it */
        text_add(text, "null");
    else
        text_add(text, "%u", worker->number);
    text_add(text, ",\"elapsed_s\":%.3f,\"progress\":",
             (double)(api->reactor->now_ms - worker->started_ms) / 1000);
    if (progress->permille == MESSAGE_PROGRESS_UNKNOWN)
        text_add(text, "null");
    else
        text_add(text, "%.3f", progress->permille / 1000.0);
    text_add(text, ",\"text\":");
    if (progress->text[0] != '\0')
        text_add_json(text, progress->text, strlen(progress->text));
    else
        text_add(text, "null");
    text_add(text, "}");
}

/* Who has memory of the device; that may be the pipeline itself, with a worker that goes. */
static void info_holders_format(struct text *text, const struct worker *worker)
{
    const struct fleet *fleet = worker->pool->fleet;
    const char *comma = "";
    text_add(text, ",\"held_by\":[");
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        if (device_room_held(fleet->pools[i], &worker->device) == 0)
            continue;
        text_add(text, "%s\"%s\"", comma, fleet->pools[i]->config->pointer);
        comma = ",";
    }
    text_add(text, "]");
}

void api_waiting_format(const struct api *api, struct text *text, const struct pipeline *pipeline)
{
    const struct worker *worker = pipeline_room_waiting(pipeline);
    if (!worker) {
        text_add(text, "null");
        return;
    }
    text_add(text, "{\"worker\":%u,\"elapsed_s\":%.3f,\"bytes\":%llu,\"device\":", worker->number,
             (double)(api->reactor->now_ms - worker->room_since_ms) / 1000,
             (unsigned long long)device_room_need(pipeline->pool, &worker->device));
    api_device_format(text, &worker->device);
    info_holders_format(text, worker);
    text_add(text, "}");
}

void api_device_memory_format(struct text *text, const struct pipeline *pipeline)
{
    const struct pipeline_options *options = &pipeline->config->options;
    uint64_t bytes = options->device_memory_learned ? pipeline->pool->room.learned_bytes
                                                    : options->device_memory_bytes;
    if (bytes > 0)
        text_add(text, "%llu", (unsigned long long)bytes);
    else
        text_add(text, "null");
}

void api_device_format(struct text *text, const struct device *device)
{
    if (!device) {
        text_add(text, "null");
        return;
    }
    text_add(text, "{\"kind\":\"%s\",\"index\":%u,\"uuid\":",
             device_kind_name((enum device_kind)device->kind), device->index);
    if (device->uuid[0] != '\0')
        text_add_json(text, device->uuid, strlen(device->uuid));
    else
        text_add(text, "null");
    text_add(text, "}");
}

/* Each once, however many workers hold it. */
static void info_devices_format(struct text *text, const struct worker_pool *pool)
{
    const char *separator = "";
    text_add(text, ",\"devices\":[");
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct device *device = held_device(pool->places[i]);
        bool is_first = device != NULL;
        for (uint32_t k = 0; k < i && is_first; k++)
            is_first = !held_device_is(pool->places[k], device);
        if (!is_first)
            continue;
        text_add(text, "%s", separator);
        api_device_format(text, device);
        separator = ",";
    }
    text_add(text, "]");
}

static void info_pipeline_format(const struct api *api, struct text *text,
                                 const struct pipeline *pipeline, const struct alias *alias)
{
    const struct pipeline_config *config = pipeline->config;
    text_add(text, "{\"id\":\"%s\",\"pointer\":\"%s\",\"state\":\"%s\",\"name\":", config->id,
             config->pointer, pipeline_state_name(pipeline->state));
    if (pipeline->pool->is_known)
        text_add_json(text, pipeline->pool->variables.name, strlen(pipeline->pool->variables.name));
    else
        text_add(text, "null");
    text_add(text, ",\"error\":");
    if (pipeline->failure[0] != '\0') {
        text_add(text, "{\"type\":\"%s\",\"message\":", error_type_name(pipeline->failure_type));
        text_add_json(text, pipeline->told, strlen(pipeline->told));
        text_add(text, ",\"traceback\":");
        if (pipeline->traceback && run_text_shows_tracebacks(api))
            text_add_json(text, pipeline->traceback, pipeline->traceback_count);
        else
            text_add(text, "null");
        text_add(text, "}");
    } else {
        text_add(text, "null");
    }
    const char *separator = "";
    text_add(text, ",\"loading\":");
    api_loading_format(api, text, pipeline);
    text_add(text, ",\"waiting\":");
    api_waiting_format(api, text, pipeline);
    text_add(text, ",\"device_memory_bytes\":");
    api_device_memory_format(text, pipeline);
    text_add(text, ",\"queued\":%u,\"workers\":[", pipeline->queue_count);
    for (uint32_t i = 0; i < pipeline->pool->place_count; i++) {
        const struct worker *worker = pipeline->pool->places[i];
        if (worker->state == WORKER_SPARE)
            continue;
        text_add(text,
                 "%s{\"index\":%u,\"pid\":%d,\"state\":\"%s\",\"active\":%u,\"restarts\":%llu}",
                 separator, worker->number, (int)worker->pid, worker_state_name(worker->state),
                 worker->active_count, (unsigned long long)worker->restart_count);
        separator = ",";
    }
    text_add(text, "]");
    info_devices_format(text, pipeline->pool);
    if (alias) {
        text_add(text, ",\"alias\":");
        api_alias_format(api, text, alias);
    }
    if (config->manifest) {
        text_add(text, ",");
        text_add_bytes(text, config->manifest->members, strlen(config->manifest->members));
    }
    if (pipeline->pool->is_known) {
        /* The variables are an object: its members go on in ours. */
        text_add(text, ",");
        text_add_bytes(text, pipeline->pool->variables.json + 1,
                       strlen(pipeline->pool->variables.json) - 1);
    } else {
        text_add(text, ",\"input_variables\":null,\"output_variables\":null}");
    }
}

/* ---- health -------------------------------------------------------------------------------- */

void api_livez(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    text_add(&text, "ok\n");
    response_text(api->front, conn, 200, "text/plain; charset=utf-8", &text);
}

void api_readyz(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    char reason[REASON_BYTES];
    struct text text = {0};
    const char *why = info_unready_reason(api, &conn->request, reason, sizeof(reason));
    text_add(&text, "%s\n", why ? why : "ok");
    response_text(api->front, conn, why ? 503 : 200, "text/plain; charset=utf-8", &text);
}

void api_status(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    char reason[REASON_BYTES];
    struct text text = {0};
    const char *why = info_unready_reason(api, &conn->request, reason, sizeof(reason));
    text_add(&text,
             "{\"status\":\"%s\",\"version\":\"%s\",\"uptime_s\":%.3f,\"runs\":%u,"
             "\"connections\":%u,\"reason\":",
             why ? "unready" : "ok", MILLRACE_VERSION,
             (double)(api->reactor->now_ms - api->reactor->started_ms) / 1000, api->runs->count,
             api->front->conn_count);
    if (why)
        text_add_json(&text, why, strlen(why));
    else
        text_add(&text, "null");
    text_add(&text, ",\"pipelines\":[");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        text_add(&text, "%s{\"pointer\":\"%s\",\"state\":\"%s\"}", i > 0 ? "," : "",
                 api->runs->pipelines[i]->config->pointer,
                 pipeline_state_name(api->runs->pipelines[i]->state));
    text_add(&text, "]}\n");
    response_text(api->front, conn, 200, NULL, &text);
}

/* What the SDK asks of a container: its state in one word, the last one's that is not loaded. */
void api_container_state(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    char reason[REASON_BYTES];
    struct text text = {0};
    const char *why = info_unready_reason(api, &conn->request, reason, sizeof(reason));
    const char *state = "loaded";
    for (uint32_t i = 0; i < api->runs->pipeline_count && why; i++)
        if (!info_is_ready(api->runs->pipelines[i]))
            state = info_container_word(api->runs->pipelines[i]);
    text_add(&text, "{\"state\":\"%s\",\"message\":", state);
    if (why)
        text_add_json(&text, why, strlen(why));
    else
        text_add(&text, "null");
    text_add(&text, ",\"current_run\":null}\n");
    response_text(api->front, conn, 200, NULL, &text);
}

/* The first reason not to send traffic here; NULL: ready. What user code said of its failure is
 * for those who may call it. */
static const char *info_unready_reason(const struct api *api, const struct request *request,
                                       char *text, size_t text_bytes)
{
    if (api->runs->stop_is_announced)
        return "the server is stopping";
    if (api->runs->is_drained)
        return "the server is drained";
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct pipeline *pipeline = api->runs->pipelines[i];
        if (info_is_ready(pipeline))
            continue;
        if (info_takes_runs(pipeline))
            snprintf(text, text_bytes, "pipeline %s is not ready (%u of %u workers serve)",
                     pipeline->config->pointer, pool_ready_count(pipeline->pool),
                     info_ready_count_min(pipeline));
        else
            info_unready_format(request, text, text_bytes, pipeline);
        return text;
    }
    return NULL;
}

static void info_unready_format(const struct request *request, char *text, size_t text_bytes,
                                const struct pipeline *pipeline)
{
    char words[LOAD_WORDS_BYTES] = "";
    bool has_failed = request->is_trusted && pipeline->failure[0] != '\0';
    if (request->is_trusted && pipeline->state == PIPELINE_LOADING)
        pipeline_load_words(pipeline, words);
    snprintf(text, text_bytes, "pipeline %s is not ready (%s)%s%s%.480s", pipeline->config->pointer,
             pipeline_state_name(pipeline->state), words, has_failed ? ": " : "",
             has_failed ? pipeline->told : "");
}

/* The SDK's word for what a pipeline is. */
static const char *info_container_word(const struct pipeline *pipeline)
{
    switch (pipeline->state) {
    case PIPELINE_LOADING:
    case PIPELINE_RESTARTING:
        return "loading";
    case PIPELINE_FAILED:
    case PIPELINE_QUARANTINED:
    case PIPELINE_TRIAL:
        return "startup_failed";
    case PIPELINE_READY: /* too few of its workers are, or it is being replaced */
        return pipeline->is_yielding ? "loaded" : "loading";
    case PIPELINE_IDLE:
    case PIPELINE_WAKING:
    case PIPELINE_STATE_COUNT:
        break;
    }
    return "loaded";
}

/* Where fewer are wanted than are asked for, others come only when runs wait: who waits for them
 * with the runs would wait for ever. */
static uint32_t info_ready_count_min(const struct pipeline *pipeline)
{
    uint32_t count = pipeline->config->options.ready_count_min;
    return count < pipeline->pool->worker_count ? count : pipeline->pool->worker_count;
}

/* One that has no worker since nobody needed it starts one for them. */
static bool info_takes_runs(const struct pipeline *pipeline)
{
    if (pipeline->is_yielding)
        return false;
    return pipeline->state == PIPELINE_READY || pipeline->state == PIPELINE_IDLE ||
           pipeline->state == PIPELINE_WAKING;
}

/* Runs may be sent there. */
static bool info_is_ready(const struct pipeline *pipeline)
{
    if (!info_takes_runs(pipeline))
        return false;
    return pipeline->state != PIPELINE_READY ||
           pool_ready_count(pipeline->pool) >= info_ready_count_min(pipeline);
}
