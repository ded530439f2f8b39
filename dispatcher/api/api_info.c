/* SPDX-License-Identifier: MIT */
/* api_info.c - the handlers that say what is served and how it is. */
#include <stdio.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/error_type.h"
#include "dispatcher/loop/loop.h"
#include "dispatcher/api/response.h"
#include "build/version.h"

#define REASON_BYTES 512u

/* ---- pipelines ----------------------------------------------------------------------------- */

static void pipeline_format(struct loop *loop, struct text *text, const struct pipeline *pipeline)
{
    const struct pipeline_config *config = pipeline->config;
    text_add(text, "{\"id\":\"%s\",\"pointer\":\"%s\",\"state\":\"%s\",\"name\":", config->id,
             config->pointer, pipeline_state_name(pipeline->state));
    if (pipeline->is_known)
        text_add_json(text, pipeline->variables.name, strlen(pipeline->variables.name));
    else
        text_add(text, "null");
    text_add(text, ",\"error\":");
    if (pipeline->failure[0] != '\0') {
        text_add(text, "{\"type\":\"%s\",\"message\":", error_type_name(pipeline->failure_type));
        text_add_json(text, pipeline->failure, strlen(pipeline->failure));
        text_add(text, ",\"traceback\":null}");
    } else {
        text_add(text, "null");
    }
    text_add(text, ",\"queued\":%u,\"workers\":[", pipeline->queue_count);
    for (uint32_t i = 0; i < pipeline->worker_count; i++) {
        const struct worker *worker = &loop->workers[pipeline->worker_first + i];
        text_add(text,
                 "%s{\"index\":%u,\"pid\":%d,\"state\":\"%s\",\"active\":%u,\"restarts\":%llu}",
                 i > 0 ? "," : "", i, (int)worker->pid, worker_state_name(worker->state),
                 worker->active_count, (unsigned long long)worker->restart_count);
    }
    text_add(text, "]");
    if (pipeline->is_known) {
        /* The variables are an object: its members go on in ours. */
        text_add(text, ",");
        text_add_bytes(text, pipeline->variables.json + 1, strlen(pipeline->variables.json) - 1);
    } else {
        text_add(text, ",\"input_variables\":null,\"output_variables\":null}");
    }
}

void api_pipelines_list(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    text_add(&text, "{\"data\":[");
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        if (i > 0)
            text_add(&text, ",");
        pipeline_format(loop, &text, &loop->pipelines[i]);
    }
    text_add(&text, "],\"total\":%u}\n", loop->pipeline_count);
    response_text(loop, conn, 200, NULL, &text);
}

void api_pipeline_get(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    const struct pipeline *pipeline = pipeline_find(loop, conn->request.argument);
    if (pipeline) {
        pipeline_format(loop, &text, pipeline);
        text_add(&text, "\n");
    } else {
        text_add(&text, "{\"detail\":{\"message\":\"Pipeline not found\"}}\n");
    }
    response_text(loop, conn, pipeline ? 200 : 404, NULL, &text);
}

void api_token_validate(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    text_add(&text, "{\"valid\":true}\n");
    response_text(loop, conn, 200, NULL, &text);
}

/* ---- health -------------------------------------------------------------------------------- */

void api_livez(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    text_add(&text, "ok\n");
    response_text(loop, conn, 200, "text/plain; charset=utf-8", &text);
}

/* The first reason not to send traffic here; NULL: ready. What user code said of its failure is
 * for those who may call it. */
static const char *unready_reason(const struct loop *loop, const struct request *request,
                                  char *text, size_t text_bytes)
{
    if (loop->state != LOOP_SERVING)
        return "the server is stopping";
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        const struct pipeline *pipeline = &loop->pipelines[i];
        if (pipeline->state == PIPELINE_READY)
            continue;
        bool is_told = request->is_trusted && pipeline->failure[0] != '\0';
        snprintf(text, text_bytes, "pipeline %s is not ready (%s)%s%s", pipeline->config->pointer,
                 pipeline_state_name(pipeline->state), is_told ? ": " : "",
                 is_told ? pipeline->failure : "");
        return text;
    }
    return NULL;
}

void api_readyz(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    char reason[REASON_BYTES];
    struct text text = {0};
    const char *why = unready_reason(loop, &conn->request, reason, sizeof(reason));
    text_add(&text, "%s\n", why ? why : "ok");
    response_text(loop, conn, why ? 503 : 200, "text/plain; charset=utf-8", &text);
}

void api_status(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    char reason[REASON_BYTES];
    struct text text = {0};
    const char *why = unready_reason(loop, &conn->request, reason, sizeof(reason));
    text_add(&text,
             "{\"status\":\"%s\",\"version\":\"%s\",\"uptime_s\":%.3f,\"runs\":%u,"
             "\"connections\":%u,\"reason\":",
             why ? "unready" : "ok", MILLRACE_VERSION,
             (double)(loop->now_ms - loop->started_ms) / 1000, loop->run_count, loop->conn_count);
    if (why)
        text_add_json(&text, why, strlen(why));
    else
        text_add(&text, "null");
    text_add(&text, ",\"pipelines\":[");
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        text_add(&text, "%s{\"pointer\":\"%s\",\"state\":\"%s\"}", i > 0 ? "," : "",
                 loop->pipelines[i].config->pointer, pipeline_state_name(loop->pipelines[i].state));
    text_add(&text, "]}\n");
    response_text(loop, conn, 200, NULL, &text);
}

/* The SDK's word for what a pipeline is. */
static const char *container_word(const struct pipeline *pipeline)
{
    switch (pipeline->state) {
    case PIPELINE_LOADING:
    case PIPELINE_RESTARTING:
        return "loading";
    case PIPELINE_FAILED:
    case PIPELINE_QUARANTINED:
    case PIPELINE_TRIAL:
        return "startup_failed";
    case PIPELINE_READY:
    case PIPELINE_STATE_COUNT:
        break;
    }
    return "loaded";
}

/* What the SDK asks of a container: its state in one word, the last one's that is not loaded. */
void api_container_state(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    char reason[REASON_BYTES];
    struct text text = {0};
    const char *why = unready_reason(loop, &conn->request, reason, sizeof(reason));
    const char *state = "loaded";
    for (uint32_t i = 0; i < loop->pipeline_count && why; i++)
        if (loop->pipelines[i].state != PIPELINE_READY)
            state = container_word(&loop->pipelines[i]);
    text_add(&text, "{\"state\":\"%s\",\"message\":", state);
    if (why)
        text_add_json(&text, why, strlen(why));
    else
        text_add(&text, "null");
    text_add(&text, ",\"current_run\":null}\n");
    response_text(loop, conn, 200, NULL, &text);
}

/* ---- metrics ------------------------------------------------------------------------------- */

static void counter(struct text *text, const char *name, const char *help, uint64_t value)
{
    text_add(text, "# HELP millrace_%s %s\n# TYPE millrace_%s counter\nmillrace_%s %llu\n", name,
             help, name, name, (unsigned long long)value);
}

static void gauge(struct text *text, const char *name, const char *help, uint64_t value)
{
    text_add(text, "# HELP millrace_%s %s\n# TYPE millrace_%s gauge\nmillrace_%s %llu\n", name,
             help, name, name, (unsigned long long)value);
}

static void pipeline_metrics(const struct loop *loop, struct text *text)
{
    text_add(text, "# HELP millrace_runs_total Finished runs by pipeline and end.\n"
                   "# TYPE millrace_runs_total counter\n");
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        const struct pipeline *pipeline = &loop->pipelines[i];
        const struct {
            const char *end;
            uint64_t count;
        } ends[] = {{"completed", pipeline->completed_count},
                    {"failed", pipeline->failed_count},
                    {"cancelled", pipeline->cancelled_count},
                    {"refused", pipeline->refused_count}};
        for (size_t k = 0; k < ARRAY_COUNT(ends); k++)
            text_add(text, "millrace_runs_total{pipeline=\"%s\",end=\"%s\"} %llu\n",
                     pipeline->config->pointer, ends[k].end, (unsigned long long)ends[k].count);
    }
    text_add(text, "# HELP millrace_queue_depth Runs that wait for a worker.\n"
                   "# TYPE millrace_queue_depth gauge\n");
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        text_add(text, "millrace_queue_depth{pipeline=\"%s\"} %u\n",
                 loop->pipelines[i].config->pointer, loop->pipelines[i].queue_count);
    text_add(text, "# HELP millrace_workers_ready Workers that take runs.\n"
                   "# TYPE millrace_workers_ready gauge\n");
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        text_add(text, "millrace_workers_ready{pipeline=\"%s\"} %u\n",
                 loop->pipelines[i].config->pointer,
                 pipeline_ready_count(loop, &loop->pipelines[i]));
}

void api_metrics(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    const struct metrics *metrics = &loop->metrics;
    struct text text = {0};
    uint64_t bells = 0;
    for (uint32_t i = 0; i < loop->worker_count; i++)
        bells += loop->workers[i].bell_count;
    pipeline_metrics(loop, &text);
    text_add(&text, "# HELP millrace_runs_failed_total Failed runs by the type clients see.\n"
                    "# TYPE millrace_runs_failed_total counter\n");
    for (unsigned i = 0; i < ERROR_TYPE_COUNT; i++)
        text_add(&text, "millrace_runs_failed_total{type=\"%s\"} %llu\n",
                 error_type_name((enum error_type)i),
                 (unsigned long long)metrics->run_failed_count[i]);
    gauge(&text, "connections", "Open connections.", loop->conn_count);
    gauge(&text, "runs", "Runs queued, running or being cancelled.", loop->run_count);
    gauge(&text, "output_waiting_blocks", "Blocks of 16 KiB that hold output.",
          loop->out.block_count - loop->out.free_count);
    counter(&text, "connections_accepted_total", "Accepted connections.", metrics->accepted_count);
    counter(&text, "connections_refused_total", "Connections above the limit.",
            metrics->conn_refused_count);
    counter(&text, "accept_failures_total", "Failed accepts, as for lack of descriptors.",
            metrics->accept_failed_count);
    counter(&text, "requests_total", "Requests handled.", metrics->request_count);
    counter(&text, "requests_bad_total", "Requests refused as malformed.",
            metrics->bad_request_count);
    counter(&text, "requests_unauthorized_total", "Requests without a good token.",
            metrics->unauthorized_count);
    counter(&text, "records_total", "Records taken from workers.", metrics->record_count);
    counter(&text, "lines_total", "Result lines written.", metrics->line_count);
    counter(&text, "sent_bytes_total", "Bytes the kernel took for clients.", metrics->byte_count);
    counter(&text, "sends_total", "Sends submitted.", metrics->send_count);
    counter(&text, "passes_total", "Passes of the loop.", metrics->pass_count);
    counter(&text, "enters_total", "io_uring_enter system calls.", uring_enter_count(loop->uring));
    counter(&text, "doorbells_total", "Wake-ups written to workers.", bells);
    counter(&text, "worker_starts_total", "Worker processes started.", metrics->worker_start_count);
    counter(&text, "worker_exits_total", "Worker processes that ended.",
            metrics->worker_exit_count);
    counter(&text, "worker_kills_total", "Workers ended by the server.",
            metrics->worker_killed_count);
    counter(&text, "log_lines_dropped_total", "Log lines that were lost.", loop->log.dropped_total);
    response_text(loop, conn, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
}
