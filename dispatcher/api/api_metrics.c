/* SPDX-License-Identifier: MIT */
/*
 * api_metrics.c - GET /metrics: everything that is counted, by family.
 *
 * docs/operations.md lists the families; a test compares that list with what is here.
 */
#include "dispatcher/api/api_metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "build/version.h"
#include "dispatcher/api/api.h"
#include "dispatcher/api/callback.h"
#include "dispatcher/api/exposition.h"
#include "dispatcher/fetcher/fetching.h"
#include "dispatcher/files/files.h"
#include "dispatcher/http/response.h"
#include "dispatcher/reader/reading.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/recycle.h"
#include "dispatcher/workers/usage.h"

/* No name of a token. */
#define TOKENS_OTHERS "(others)"

static void metrics_config(const struct api *api, struct exposition *out);
static void metrics_server(const struct api *api, struct exposition *out);

static void metrics_counter(struct exposition *out, const char *name, const char *help,
                            uint64_t value)
{
    exposition_family(out, name, METRIC_COUNTER, help);
    exposition_sample(out, "", value);
}

static void metrics_gauge(struct exposition *out, const char *name, const char *help,
                          uint64_t value)
{
    exposition_family(out, name, METRIC_GAUGE, help);
    exposition_sample(out, "", value);
}

/* A sample with the pipeline and one more label. */
static void metrics_sample_of(struct exposition *out, const struct pipeline *pipeline,
                              const char *name, const char *value, uint64_t count)
{
    char labels[LABELS_BYTES_MAX];
    metrics_labels_of(labels, pipeline);
    labels_add(labels, name, value);
    exposition_sample(out, labels, count);
}

/* ---- runs ---------------------------------------------------------------------------------- */

static void metrics_runs_accepted(const struct api *api, struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    exposition_family(out, "millrace_runs_accepted", METRIC_COUNTER,
                      "Runs that were taken: each is queued, active, cancelled, or has ended.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_sample(out, labels, api->runs->pipelines[i]->tally->accepted_count);
    }
}

static void metrics_runs_ended(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_runs_ended", METRIC_COUNTER,
                      "Runs that completed, or failed with this type of error.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (unsigned end = 0; end < RUN_END_COUNT; end++)
            metrics_sample_of(out, api->runs->pipelines[i], "end", run_end_name(end),
                              api->runs->pipelines[i]->tally->ends[end]);
}

static void metrics_runs_cancelled(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_runs_cancelled", METRIC_COUNTER,
                      "Runs that were cancelled, by cause; these are in no other end.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (enum cancel_reason reason = CANCEL_NONE + 1; reason < CANCEL_REASON_COUNT; reason++)
            if (cancel_reason_is_cancel(reason))
                metrics_sample_of(out, api->runs->pipelines[i], "cause", cancel_reason_name(reason),
                                  api->runs->pipelines[i]->tally->cancels[reason]);
}

static void metrics_run_timeouts(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_run_timeouts", METRIC_COUNTER,
                      "Of the runs that ended with timeout, those that passed this limit.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (enum deadline_kind kind = DEADLINE_QUEUE; kind <= DEADLINE_TOTAL; kind++)
            metrics_sample_of(out, api->runs->pipelines[i], "limit", deadline_kind_name(kind),
                              api->runs->pipelines[i]->tally->timeouts[kind]);
}

static void metrics_refusals(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_refusals", METRIC_COUNTER,
                      "What was not taken, by cause: runs of a pipeline, requests, connections.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (enum refusal refusal = REFUSAL_NONE + 1; refusal < REFUSAL_COUNT; refusal++)
            metrics_sample_of(out, api->runs->pipelines[i], "cause", refusal_name(refusal),
                              api->runs->pipelines[i]->tally->refusals[refusal]);
    for (enum request_refusal i = REQUEST_REFUSAL_NONE + 1; i < REQUEST_REFUSAL_COUNT; i++) {
        char labels[LABELS_BYTES_MAX] = "";
        labels_add(labels, "cause", request_refusal_name(i));
        exposition_sample(out, labels, api->front->counts.refusals[i]);
    }
}

/* One gauge of each pipeline. */
static void metrics_pipeline_gauge(const struct api *api, struct exposition *out, const char *name,
                                   const char *help, uint64_t (*value)(const struct pipeline *))
{
    char labels[LABELS_BYTES_MAX];
    exposition_family(out, name, METRIC_GAUGE, help);
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_sample(out, labels, value(api->runs->pipelines[i]));
    }
}

static uint64_t metrics_queue_depth(const struct pipeline *pipeline)
{
    return pipeline->queue_count;
}

static uint64_t metrics_active_count(const struct pipeline *pipeline)
{
    return pipeline->tally->active_count;
}

/* A histogram of each pipeline, which lies so many bytes into its tally. */
static void metrics_histogram(const struct api *api, struct exposition *out, const char *name,
                              const char *help, size_t offset, const struct bucket_scale *scale)
{
    char labels[LABELS_BYTES_MAX];
    exposition_family(out, name, METRIC_HISTOGRAM, help);
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct tally *tally = api->runs->pipelines[i]->tally;
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_histogram(out, labels,
                             (const struct buckets *)(const void *)((const char *)tally + offset),
                             scale);
    }
}

static void metrics_run_times(const struct api *api, struct exposition *out)
{
    metrics_histogram(api, out, "millrace_run_wait_seconds",
                      "Time a run waited until a worker had a slot for it.",
                      offsetof(struct tally, wait), &bucket_scale_runs);
    metrics_histogram(api, out, "millrace_run_first_chunk_seconds",
                      "Time from a run's acceptance to its first chunk, waiting included.",
                      offsetof(struct tally, first_chunk), &bucket_scale_runs);
    metrics_histogram(api, out, "millrace_chunk_gap_seconds",
                      "Time between a chunk and the one before it of the same run.",
                      offsetof(struct tally, gap), &bucket_scale_gaps);
    metrics_histogram(api, out, "millrace_run_duration_seconds",
                      "Time from a run's acceptance to its end, waiting included.",
                      offsetof(struct tally, duration), &bucket_scale_runs);
}

static void metrics_aliases(const struct api *api, struct exposition *out)
{
    if (api->runs->aliases.served_count == 0)
        return;
    exposition_family(out, "millrace_alias_runs", METRIC_COUNTER,
                      "Runs that were asked for by an alias, by the pipeline it led them to.");
    for (const struct alias *alias = aliases_first(&api->runs->aliases); alias;
         alias = alias_next(alias))
        for (uint32_t i = 0; i < alias->place_count; i++) {
            char labels[LABELS_BYTES_MAX] = "";
            labels_add(labels, "alias", alias->pointer);
            labels_add(labels, "pipeline", alias->places[i].pointer);
            exposition_sample(out, labels, alias->places[i].run_count);
        }
}

/* Names of tokens are for those who have one: not where everybody may ask. */
static void metrics_tokens(const struct api *api, struct exposition *out)
{
    const struct tokens *tokens = &api->config->tokens;
    if (api->config->metrics_access != METRICS_TOKEN || tokens->count == 0)
        return;
    exposition_family(out, "millrace_token_runs", METRIC_COUNTER,
                      "Runs by the token they came with and by state, once there are some.");
    for (uint32_t i = 0; i <= TOKEN_SERIES_MAX && i < tokens->count; i++) {
        const uint64_t *ends = api->runs->token_ends[i];
        uint64_t total = 0;
        for (enum run_end_kind kind = 0; kind < RUN_END_KIND_COUNT; kind++)
            total += ends[kind];
        for (enum run_end_kind kind = 0; kind < RUN_END_KIND_COUNT && total > 0; kind++) {
            char labels[LABELS_BYTES_MAX] = "";
            labels_add(labels, "token",
                       i < TOKEN_SERIES_MAX ? tokens->entries[i].name : TOKENS_OTHERS);
            labels_add(labels, "state", run_end_kind_name(kind));
            exposition_sample(out, labels, ends[kind]);
        }
    }
}

static void metrics_runs(const struct api *api, struct exposition *out)
{
    metrics_runs_accepted(api, out);
    metrics_runs_ended(api, out);
    metrics_runs_cancelled(api, out);
    metrics_run_timeouts(api, out);
    metrics_refusals(api, out);
    metrics_pipeline_gauge(api, out, "millrace_queue_depth", "Runs that wait for a slot.",
                           metrics_queue_depth);
    metrics_pipeline_gauge(api, out, "millrace_runs_active",
                           "Runs on a slot whose clients wait for their end.",
                           metrics_active_count);
    metrics_gauge(out, "millrace_runs", "Runs queued, active, or cancelled and not gone yet.",
                  api->runs->count);
    metrics_run_times(api, out);
    metrics_calls(api, out);
    metrics_schedule(api, out);
    metrics_aliases(api, out);
    metrics_tokens(api, out);
}

/* ---- pipelines and workers ----------------------------------------------------------------- */

static void metrics_pipeline_states(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_pipeline_state", METRIC_GAUGE,
                      "1 for the state the pipeline is in.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (enum pipeline_state state = 0; state < PIPELINE_STATE_COUNT; state++)
            metrics_sample_of(out, api->runs->pipelines[i], "state", pipeline_state_name(state),
                              api->runs->pipelines[i]->state == state);
}

/* Of pipelines that say so. */
static void metrics_loading_ratios(const struct api *api, struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    exposition_family(out, "millrace_pipeline_loading_ratio", METRIC_GAUGE,
                      "How far the worker that starts says to be, where one does.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct worker *worker = pool_first_starting(api->runs->pipelines[i]->pool);
        if (!worker || worker->progress.permille == MESSAGE_PROGRESS_UNKNOWN)
            continue;
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_sample_real(out, labels, worker->progress.permille / 1000.0);
    }
}

static void metrics_worker_states(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_workers", METRIC_GAUGE, "Workers by state.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct pipeline *pipeline = api->runs->pipelines[i];
        uint64_t counts[WORKER_STATE_COUNT] = {0};
        for (uint32_t k = 0; k < pipeline->pool->place_count; k++)
            counts[pipeline->pool->places[k]->state]++;
        for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
            metrics_sample_of(out, pipeline, "state", worker_state_name(state), counts[state]);
    }
}

static uint64_t metrics_workers_wanted(const struct pipeline *pipeline)
{
    return pipeline->pool->worker_count;
}

static uint64_t metrics_workers_min(const struct pipeline *pipeline)
{
    return pipeline->scaling.bounds.min;
}

static uint64_t metrics_workers_max(const struct pipeline *pipeline)
{
    return pipeline->scaling.bounds.max;
}

static void metrics_scaling(const struct api *api, struct exposition *out)
{
    metrics_pipeline_gauge(api, out, "millrace_workers_wanted",
                           "Workers that there should be now, for the runs that there are.",
                           metrics_workers_wanted);
    metrics_pipeline_gauge(api, out, "millrace_workers_min", "The least that may be.",
                           metrics_workers_min);
    metrics_pipeline_gauge(api, out, "millrace_workers_max", "The most that may be.",
                           metrics_workers_max);
    exposition_family(out, "millrace_scale_events", METRIC_COUNTER,
                      "Times that another number of workers was wanted, by direction.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        const struct pipeline *pipeline = api->runs->pipelines[i];
        metrics_sample_of(out, pipeline, "direction", "up", pipeline->tally->scale_up_count);
        metrics_sample_of(out, pipeline, "direction", "down", pipeline->tally->scale_down_count);
    }
    exposition_family(out, "millrace_swaps", METRIC_COUNTER,
                      "Times that workers of a pipeline went so that another one had their room on "
                      "a device.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        char labels[LABELS_BYTES_MAX];
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_sample(out, labels, api->runs->pipelines[i]->tally->swap_count);
    }
}

static void metrics_worker_restarts(const struct api *api, struct exposition *out)
{
    /* STOPPED is the last cause: nothing follows. */
    exposition_family(out, "millrace_worker_restarts", METRIC_COUNTER,
                      "Worker processes that ended and were followed by another, by cause.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        for (enum worker_end end = 0; end < WORKER_END_STOPPED; end++)
            metrics_sample_of(out, api->runs->pipelines[i], "cause", worker_end_name(end),
                              api->runs->pipelines[i]->pool->restarts[end]);
}

bool metrics_labels_of_worker(const struct api *api, uint32_t index, char labels[LABELS_BYTES_MAX])
{
    const struct worker *worker = api->fleet->workers[index];
    char number[16];
    if (!worker || worker->is_template || worker->state == WORKER_SPARE || worker->predecessor ||
        worker->is_surplus || ((const struct pipeline *)worker->pool->owner)->phase != PHASE_SERVED)
        return false;
    snprintf(number, sizeof(number), "%u", worker->number);
    metrics_labels_of(labels, worker->pool->owner);
    labels_add(labels, "worker", number);
    return true;
}

/* Of processes of which something is known: a worker without one has no sample. */
static void metrics_worker_usage(const struct api *api, struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    const struct worker_usage *usage;
    usage_look(api->fleet);
    exposition_family(out, "millrace_worker_resident_bytes", METRIC_GAUGE,
                      "Resident memory of a worker's process.");
    for (uint32_t i = 0; i < api->fleet->worker_count; i++)
        if (metrics_labels_of_worker(api, i, labels) &&
            (usage = usage_of(api->fleet->workers[i])) != NULL)
            exposition_sample(out, labels, usage->resident_bytes);
    exposition_family(out, "millrace_worker_cpu_seconds", METRIC_COUNTER,
                      "Processor time that a worker's process has used.");
    for (uint32_t i = 0; i < api->fleet->worker_count; i++)
        if (metrics_labels_of_worker(api, i, labels) &&
            (usage = usage_of(api->fleet->workers[i])) != NULL)
            exposition_sample_real(out, labels, (double)usage->cpu_ns / 1e9);
}

static void metrics_ring_fills(const struct api *api, struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    exposition_family(out, "millrace_ring_used_bytes", METRIC_GAUGE,
                      "Bytes in a worker's reply ring when it was last drained.");
    for (uint32_t i = 0; i < api->fleet->worker_count; i++)
        if (metrics_labels_of_worker(api, i, labels))
            exposition_sample(out, labels, api->fleet->workers[i]->ring_used_bytes);
    exposition_family(out, "millrace_ring_size_bytes", METRIC_GAUGE,
                      "Size of each worker's reply ring.");
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        metrics_labels_of(labels, api->runs->pipelines[i]);
        exposition_sample(out, labels, api->runs->pipelines[i]->config->options.reply_ring_bytes);
    }
}

static void metrics_workers(const struct api *api, struct exposition *out)
{
    const struct fleet *fleet = api->fleet;
    uint64_t bells = fleet->bell_count;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        bells += fleet->workers[i] ? fleet->workers[i]->bell_count : 0;
    metrics_pipeline_states(api, out);
    metrics_loading_ratios(api, out);
    metrics_worker_states(api, out);
    metrics_scaling(api, out);
    metrics_worker_restarts(api, out);
    metrics_templates(api, out);
    metrics_worker_usage(api, out);
    metrics_ring_fills(api, out);
    metrics_counter(out, "millrace_worker_starts", "Worker processes started.", fleet->start_count);
    metrics_counter(out, "millrace_worker_exits", "Worker processes that ended.",
                    fleet->exit_count);
    metrics_counter(out, "millrace_worker_kills", "Workers ended by the server.",
                    fleet->killed_count);
    metrics_counter(out, "millrace_worker_pauses",
                    "Times that a worker was not heard for a moment.", fleet->pause_count);
    metrics_counter(out, "millrace_spawner_losses", "Processes that start workers, replaced.",
                    fleet->spawner_lost_count);
    metrics_counter(out, "millrace_doorbells", "Wake-ups written to workers.", bells);
}

/* ---- clients ------------------------------------------------------------------------------- */

static void metrics_responses(const struct api *api, struct exposition *out)
{
    exposition_family(out, "millrace_responses", METRIC_COUNTER,
                      "Responses by status; that of a stream is said before its end.");
    for (int i = 0; i < RESPONSE_STATUS_COUNT; i++) {
        char labels[LABELS_BYTES_MAX], status[16];
        if (api->front->counts.responses[i] == 0)
            continue;
        labels[0] = '\0';
        snprintf(status, sizeof(status), "%d", RESPONSE_STATUS_MIN + i);
        labels_add(labels, "status", status);
        exposition_sample(out, labels, api->front->counts.responses[i]);
    }
}

static void metrics_clients(const struct api *api, struct exposition *out)
{
    const struct front_counts *counts = &api->front->counts;
    metrics_gauge(out, "millrace_connections", "Open connections.", api->front->conn_count);
    metrics_counter(out, "millrace_connections_accepted", "Accepted connections.",
                    counts->accepted_count);
    metrics_counter(out, "millrace_connections_refused", "Connections above a limit.",
                    counts->refusals[REQUEST_REFUSAL_CONNECTIONS] +
                        counts->refusals[REQUEST_REFUSAL_CLIENT_CONNECTIONS]);
    metrics_counter(out, "millrace_accept_failures", "Failed accepts, as for lack of descriptors.",
                    counts->accept_failed_count);
    metrics_counter(out, "millrace_client_stalls",
                    "Connections closed since their client read nothing.", counts->stall_count);
    metrics_counter(out, "millrace_requests", "Requests handled.", counts->request_count);
    metrics_responses(api, out);
    metrics_counter(out, "millrace_received_bytes", "Bytes received from clients.",
                    counts->received_byte_count);
    metrics_counter(out, "millrace_sent_bytes", "Bytes the kernel took for clients.",
                    counts->sent_byte_count);
    metrics_counter(out, "millrace_sends", "Sends submitted.", counts->send_count);
    metrics_counter(out, "millrace_records", "Records taken from workers.",
                    api->fleet->record_count);
    metrics_counter(out, "millrace_lines", "Result lines written.", api->line_count);
    metrics_gauge(out, "millrace_input_memory_bytes",
                  "Memory that holds requests that arrive or wait.", api->input->bytes);
    metrics_gauge(out, "millrace_input_memory_limit_bytes", "What that may be: --input-memory.",
                  api->config->input_bytes_max);
    metrics_gauge(out, "millrace_input_memory_unauthorized_bytes",
                  "Of that, held by connections that have shown no good token.",
                  api->front->stranger_input_bytes);
    metrics_counter(out, "millrace_reader_bodies",
                    "Large bodies given to the process that reads them.", api->reading->body_count);
    metrics_gauge(out, "millrace_reader_waiting", "Large bodies that wait to be read.",
                  api->reading->waiting_count);
    metrics_counter(out, "millrace_reader_losses", "Processes that read large bodies, replaced.",
                    api->reading->lost_count);
    metrics_gauge(out, "millrace_output_memory_bytes", "Memory that holds output for clients.",
                  out_pool_used_bytes(&api->front->out) + fleet_unfinished_bytes(api->fleet) +
                      api->collected_bytes);
    metrics_gauge(out, "millrace_output_memory_limit_bytes", "What that may be: --output-memory.",
                  api->config->output_bytes_max);
    metrics_gauge(out, "millrace_output_memory_unauthorized_bytes",
                  "Of that, answers to requests without a good token.",
                  api->front->stranger_output_bytes);
}

static void metrics_files(const struct api *api, struct exposition *out)
{
    const struct files *files = api->files;
    metrics_gauge(out, "millrace_files", "Files that are kept: uploaded, or given out by runs.",
                  files->file_count);
    metrics_gauge(out, "millrace_files_bytes", "Their bytes, and those of files on their way.",
                  files->bytes + files->reserved_bytes);
    metrics_gauge(out, "millrace_files_limit_bytes", "What that may be: --files-total.",
                  files_are_on(files) ? api->config->files_total_bytes : 0);
    metrics_counter(out, "millrace_files_kept", "Files that were stored.", files->kept_count);
    metrics_counter(out, "millrace_files_removed", "Files that were removed, for whatever reason.",
                    files->removed_count);
    metrics_counter(out, "millrace_files_failed", "Files that the disk did not take.",
                    files->failed_count);
}

static void metrics_fetches_of(const struct fetching *fetching, enum fetch_kind kind,
                               const char *word, struct exposition *out)
{
    for (unsigned fault = 0; fault < FETCH_FAULT_COUNT; fault++) {
        char labels[LABELS_BYTES_MAX] = "";
        labels_add(labels, "kind", word);
        labels_add(labels, "end", fetch_fault_name((enum fetch_fault)fault));
        exposition_sample(out, labels, fetching->counts[kind][fault]);
    }
}

/* What goes to URLs, and comes from them. */
static void metrics_urls(const struct api *api, struct exposition *out)
{
    const struct fetching *fetching = api->fetching;
    const struct callbacks *callbacks = api->callbacks;
    exposition_family(out, "millrace_fetches", METRIC_COUNTER,
                      "Files fetched from URLs and posts to them that are over, by their ends.");
    metrics_fetches_of(fetching, FETCH_GET, "get", out);
    metrics_fetches_of(fetching, FETCH_POST, "post", out);
    metrics_counter(out, "millrace_fetched_bytes", "Bytes of files that were fetched whole.",
                    fetching->byte_count);
    metrics_gauge(out, "millrace_fetches_waiting", "Files and posts that wait for their turn.",
                  fetching->waiting_count);
    metrics_counter(out, "millrace_fetcher_losses", "Processes that fetch, replaced.",
                    fetching->lost_count);
    exposition_family(out, "millrace_callbacks", METRIC_COUNTER,
                      "Results for a callback_url that are done with, by their ends.");
    for (unsigned end = 0; end < CALLBACK_END_COUNT; end++) {
        char labels[LABELS_BYTES_MAX] = "";
        labels_add(labels, "end", callback_end_name((enum callback_end)end));
        exposition_sample(out, labels, callbacks->counts[end]);
    }
    metrics_counter(out, "millrace_callback_retries",
                    "Posts of results that failed and were tried again.", callbacks->retry_count);
    metrics_gauge(out, "millrace_callbacks_waiting", "Results that are not posted yet.",
                  callbacks->count);
    metrics_gauge(out, "millrace_callbacks_bytes", "Their bytes.", callbacks->bytes);
}

/* ---- the loop and the process -------------------------------------------------------------- */

void api_metrics(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct exposition out = {.is_open = conn->request.wants_openmetrics};
    metrics_runs(api, &out);
    metrics_workers(api, &out);
    metrics_devices(api, &out);
    metrics_clients(api, &out);
    metrics_files(api, &out);
    metrics_urls(api, &out);
    metrics_server(api, &out);
    metrics_config(api, &out);
    exposition_end(&out);
    response_text(api->front, conn, 200,
                  out.is_open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                              : "text/plain; version=0.0.4; charset=utf-8",
                  &out.text);
}

static void metrics_config(const struct api *api, struct exposition *out)
{
    const struct reload_outcome *outcome = &api->reload_outcome;
    metrics_gauge(out, "millrace_config_generation",
                  "Number of the configuration that is served; the first one is 1.",
                  api->config->holders->number);
    exposition_family(out, "millrace_reloads", METRIC_COUNTER,
                      "Times another configuration was asked for, by whether all of it is served.");
    exposition_sample(out, "result=\"ok\"", outcome->counts[true]);
    exposition_sample(out, "result=\"failed\"", outcome->counts[false]);
    metrics_gauge(out, "millrace_reload_ok", "1: all of the last reload is served; 0: it is not.",
                  !outcome->has_failed);
    exposition_family(out, "millrace_reload_time_seconds", METRIC_GAUGE,
                      "When the last reload was done, or the server started, in Unix time.");
    exposition_sample_real(out, "",
                           outcome->wall_s > 0 ? outcome->wall_s : api->reactor->started_wall_s);
}

static void metrics_server(const struct api *api, struct exposition *out)
{
    struct timespec cpu;
    char labels[LABELS_BYTES_MAX] = "";
    labels_add(labels, "version", MILLRACE_VERSION);
    exposition_family(out, "millrace_build_info", METRIC_GAUGE, "1; the version is the label.");
    exposition_sample(out, labels, 1);
    metrics_counter(out, "millrace_passes", "Passes of the loop.", api->reactor->pass);
    metrics_counter(out, "millrace_enters", "io_uring_enter system calls.",
                    uring_enter_count(api->reactor->uring));
    exposition_family(out, "millrace_loop_pass_seconds", METRIC_HISTOGRAM,
                      "Time a pass of the loop took, for which everything else waited.");
    exposition_histogram(out, "", &api->reactor->pass_times, &bucket_scale_passes);
    exposition_family(out, "millrace_timer_lateness_seconds", METRIC_HISTOGRAM,
                      "How late the first timer of a pass fired.");
    exposition_histogram(out, "", &api->reactor->lateness, &bucket_scale_passes);
    metrics_counter(out, "millrace_log_lines_dropped", "Log lines that were lost.",
                    api->reactor->log.dropped_total);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    exposition_family(out, "process_cpu_seconds", METRIC_COUNTER,
                      "Processor time of the server, without its workers.");
    exposition_sample_real(out, "", (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    metrics_gauge(out, "process_resident_memory_bytes", "Resident memory of the server.",
                  recycle_resident_bytes(getpid()));
    exposition_family(out, "process_start_time_seconds", METRIC_GAUGE,
                      "When the server started, in Unix time.");
    exposition_sample_real(out, "", api->reactor->started_wall_s);
}
