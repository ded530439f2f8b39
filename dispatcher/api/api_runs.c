/* SPDX-License-Identifier: MIT */
/* api_runs.c - the handlers of /v4/runs that look: list, show, cancel. */
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/formats/run_text.h"
#include "dispatcher/config/owner.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/runs/runs.h"

static void api_runs_live_format(struct api *api, struct text *text, const struct run *run,
                                 bool with_course);
static void api_runs_past_send(struct api *api, struct conn *conn, const char *id,
                               bool with_course);
static void api_runs_past_format(const struct api *api, struct text *text,
                                 const struct history_entry *entry, bool is_whole,
                                 bool with_course);

void api_run_show(struct api *api, struct conn *conn, const struct run *run, int status)
{
    struct text text = {0};
    char headers[RUN_TEXT_HEADERS_BYTES];
    api_runs_live_format(api, &text, run, false);
    response_text_with(api->front, conn, status, NULL, run_text_headers(run, headers), &text);
}

/* As clients know them. */
static const char *const state_words[RUN_STATE_COUNT] = {
    [RUN_FREE] = "failed",    [RUN_STAGING] = "routing",   [RUN_QUEUED] = "queued",
    [RUN_ACTIVE] = "running", [RUN_CANCELLING] = "failed",
};

static long api_runs_queue_position(const struct run *run)
{
    return run->state == RUN_QUEUED ? (long)pipeline_queue_position(run->pipeline, run) : -1;
}

static void api_runs_live_format(struct api *api, struct text *text, const struct run *run,
                                 bool with_course)
{
    const struct run_course course = {.queued = run->created_at,
                                      .started = run->started_at,
                                      .first_chunk = run->first_chunk_at,
                                      .worker = run_worker_number(run),
                                      .attempt = run->offer_count};
    run_text_format(text, &(struct run_text){.id = run->id,
                                             .pipeline_id = run->pipeline->config->id,
                                             .state = state_words[run->state],
                                             .created_at = run->created_at,
                                             .updated_at = api->reactor->wall_s,
                                             .queue_position = api_runs_queue_position(run),
                                             .line_count = (int64_t)run->value_count,
                                             .course = with_course ? &course : NULL});
}

/* ---- looking up ---------------------------------------------------------------------------- */

void api_run_get(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    const struct run *run = run_find(api->runs, conn->request.owner, conn->request.argument);
    if (!run) {
        api_runs_past_send(api, conn, conn->request.argument, true);
        return;
    }
    struct text text = {0};
    api_runs_live_format(api, &text, run, true);
    response_text(api->front, conn, 200, NULL, &text);
}

void api_run_delete(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    static const char message[] = "cancelled: DELETE was called for this run";
    (void)body, (void)bytes;
    struct run *run = run_find(api->runs, conn->request.owner, conn->request.argument);
    if (run)
        run_cancel(api->runs, run,
                   &(struct run_failure){.type = ERROR_UNKNOWN,
                                         .status = 200,
                                         .message = message,
                                         .message_count = sizeof(message) - 1,
                                         .reason = CANCEL_REQUESTED});
    /* Also for a run that had ended before: cancelling twice is no mistake. */
    api_runs_past_send(api, conn, conn->request.argument, false);
}

void api_runs_list(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    uint32_t count = 0, limit = conn->request.list_count_max;
    if (limit == 0)
        limit = LIST_COUNT_MAX;
    text_add(&text, "{\"data\":[");
    mr_assert(conn->request.owner < owner_count(api->config));
    const struct run *run = api->runs->newest[conn->request.owner];
    for (; run && count < limit; run = run->older) {
        if (count++ > 0)
            text_add(&text, ",");
        api_runs_live_format(api, &text, run, true);
        text.count--; /* the newline */
    }
    const struct history_entry *entry = history_newest(&api->runs->history, conn->request.owner);
    for (; entry && count < limit; entry = history_older(&api->runs->history, entry)) {
        if (count++ > 0)
            text_add(&text, ",");
        api_runs_past_format(api, &text, entry, false, true);
        text.count--;
    }
    text_add(&text, "],\"total\":%u,\"limit\":%u}\n", count, limit);
    response_text(api->front, conn, 200, NULL, &text);
}

static void api_runs_past_format(const struct api *api, struct text *text,
                                 const struct history_entry *entry, bool is_whole, bool with_course)
{
    bool has_traceback = is_whole && entry->traceback_bytes > 0;
    const struct run_failure failure = {
        .type = entry->type,
        .message = entry->words ? entry->words : "",
        .message_count = entry->message_bytes,
        .traceback = has_traceback ? entry->words + entry->message_bytes : NULL,
        .traceback_count = entry->traceback_bytes};
    const struct run_course course = {.queued = entry->created_at,
                                      .started = entry->started_at,
                                      .first_chunk = entry->first_chunk_at,
                                      .ended = entry->updated_at,
                                      .worker = entry->worker,
                                      .attempt = entry->offer_count};
    run_text_format(
        text,
        &(struct run_text){.id = entry->id,
                           .pipeline_id = entry->pipeline_id,
                           .state = entry->state,
                           .created_at = entry->created_at,
                           .updated_at = entry->updated_at,
                           .queue_position = -1,
                           .line_count = (int64_t)entry->line_count,
                           .outputs = is_whole && entry->outputs.count > 0 ? &entry->outputs : NULL,
                           .failure = entry->failed ? &failure : NULL,
                           .has_traceback = run_text_shows_tracebacks(api),
                           .course = with_course ? &course : NULL});
}

static void api_runs_past_send(struct api *api, struct conn *conn, const char *id, bool with_course)
{
    const struct history_entry *entry = history_find(&api->runs->history, conn->request.owner, id);
    if (!entry) {
        api_detail(api, conn, 404, "{\"message\":\"Run not found\"}");
        return;
    }
    struct text text = {0};
    api_runs_past_format(api, &text, entry, true, with_course);
    response_text(api->front, conn, 200, NULL, &text);
}
