/* SPDX-License-Identifier: MIT */
/* api_runs.c - the handlers of /v4/runs: start, look up, list, cancel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/line.h"
#include "dispatcher/config/owner.h"
#include "dispatcher/http/response.h"
#include "dispatcher/inputs/api_error.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reader/read_job.h"
#include "dispatcher/server/loop.h"

#define LIST_COUNT_MAX 100u

/* {"detail":<json>}\n */
static void detail_send(struct loop *loop, struct conn *conn, int status, const char *json)
{
    char body[sizeof(((struct api_error *)0)->detail) + 32];
    int count = snprintf(body, sizeof(body), "{\"detail\":%s}\n", json);
    mr_assert(count > 0 && (size_t)count < sizeof(body));
    front_count_refusal(&loop->front, request_refusal_of_status(status));
    response_send(&loop->front, conn,
                  &(struct response){.status = status, .body = body, .body_bytes = (size_t)count});
}

static void out_of_memory(struct loop *loop, struct conn *conn)
{
    response_detail(&loop->front, conn, 503, "Out of memory.");
}

static long queue_position(const struct loop *loop, const struct run *run)
{
    return run->state == RUN_QUEUED
               ? (long)pipeline_queue_position(&loop->pipelines[run->pipeline_index], run)
               : -1;
}

static void live_format(struct loop *loop, struct text *text, const struct run *run)
{
    line_format(
        text, &(struct line_result){.id = run->id,
                                    .pipeline_id = loop->pipelines[run->pipeline_index].config->id,
                                    .state = run->state == RUN_QUEUED   ? "queued"
                                             : run->state == RUN_ACTIVE ? "running"
                                                                        : "failed",
                                    .created_at = run->created_at,
                                    .updated_at = loop->reactor.wall_s,
                                    .queue_position = queue_position(loop, run),
                                    .line_count = (int64_t)run->line_count});
}

static void live_send(struct loop *loop, struct conn *conn, const struct run *run)
{
    struct text text = {0};
    live_format(loop, &text, run);
    response_text(&loop->front, conn, 200, NULL, &text);
}

/* Answers a run that is not admitted; counted by the caller where its failure names no refusal. */
static void refuse(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    if (failure->refusal != REFUSAL_NONE)
        loop->pipelines[run->pipeline_index].tally.refusals[failure->refusal]++;
    history_add(&loop->history, run, loop->reactor.wall_s, failure);
    line_fail(loop, run, failure);
    run_destroy(loop, run);
}

static void input_refuse(struct loop *loop, struct conn *conn, struct run *run,
                         const struct api_error *error)
{
    if (!error->is_result) {
        run_destroy(loop, run);
        detail_send(loop, conn, error->status, error->detail);
        return;
    }
    refuse(loop, run,
           &(struct run_failure){.type = error->type,
                                 .status = error->status,
                                 .refusal = REFUSAL_INPUT,
                                 .message = error->message,
                                 .message_count = strlen(error->message)});
}

/* The pipeline a request means; answers and returns NULL when there is none. */
static struct pipeline *pipeline_choose(struct loop *loop, struct conn *conn,
                                        const struct run_request *request)
{
    struct pipeline *pipeline = NULL;
    if (request->pipeline)
        pipeline = pipeline_find(loop, request->pipeline);
    else if (loop->pipeline_count == 1)
        pipeline = &loop->pipelines[0];
    else
        detail_send(loop, conn, 422,
                    "[{\"loc\":[\"body\",\"pipeline\"],\"msg\":\"field required\","
                    "\"type\":\"value_error.missing\"}]");
    if (request->pipeline && !pipeline)
        detail_send(loop, conn, 404, "{\"message\":\"Pipeline not found\"}");
    return pipeline;
}

/* An asynchronous run is answered as what it is now, before it can end. */
static void run_admit_and_answer(struct loop *loop, struct conn *conn, struct run *run,
                                 bool is_async)
{
    if (is_async)
        run_let_go(loop, run);
    run_admit(loop, run);
    if (is_async)
        live_send(loop, conn, run);
}

static const struct run_failure no_room = {
    .type = ERROR_UNKNOWN,
    .status = 503,
    .retry_after_s = 1,
    .state = "no_resources_available",
    .message = "there is no memory left for requests that wait",
    .message_count = sizeof("there is no memory left for requests that wait") - 1,
};

/* What a run that waits holds must fit; the body it was made of is about to go. One that gets a
 * slot at once holds nothing. */
static bool may_wait(struct loop *loop, const struct conn *conn, struct pipeline *pipeline)
{
    return loop->input.bytes - conn->body.kept.room <= loop->input.bytes_max ||
           pipeline_has_slot(loop, pipeline);
}

/* A run, whether it may be taken or not; NULL: it is answered that there is none. */
static struct run *run_make(struct loop *loop, struct conn *conn, struct pipeline *pipeline,
                            enum run_mode mode, bool final_line)
{
    struct run *run = run_create(loop, pipeline, conn, mode);
    if (!run) {
        pipeline->tally.refusals[REFUSAL_TOO_MANY_RUNS]++;
        response_send(&loop->front, conn,
                      &(struct response){.status = 503,
                                         .body = "{\"detail\":\"Too many runs.\"}\n",
                                         .body_bytes = 28,
                                         .retry_after_s = 1});
        return NULL;
    }
    run->final_line = final_line;
    const struct read_job *job = conn->read_job;
    if (job)
        run_backdate(loop, run, job->run_id, job->created_at, job->created_ms);
    return run;
}

/* A run that may be taken; NULL: it is answered why there is none. */
static struct run *run_prepare(struct loop *loop, struct conn *conn, struct pipeline *pipeline,
                               enum run_mode mode, bool final_line)
{
    struct run_failure failure;
    struct run *run = run_make(loop, conn, pipeline, mode, final_line);
    if (!run || !pipeline_refuses(loop, pipeline, &failure))
        return run;
    refuse(loop, run, &failure);
    return NULL;
}

/* Its inputs are packed and taken over, or why they are not: admits it, or answers. */
static void run_begin(struct loop *loop, struct conn *conn, struct run *run, bool is_async, int rc,
                      const struct api_error *error)
{
    struct pipeline *pipeline = &loop->pipelines[run->pipeline_index];
    if (rc == 0 && !may_wait(loop, conn, pipeline)) {
        front_count_refusal(&loop->front, REQUEST_REFUSAL_INPUT_MEMORY);
        refuse(loop, run, &no_room);
    } else if (rc == 0) {
        run_admit_and_answer(loop, conn, run, is_async);
        pipeline_schedule(loop, pipeline);
    } else if (rc == -EINVAL) {
        input_refuse(loop, conn, run, error);
    } else {
        run_destroy(loop, run);
        out_of_memory(loop, conn);
    }
}

/* The pipeline of a request that was parsed, or not; NULL: it is answered. */
static struct pipeline *request_accept(struct loop *loop, struct conn *conn, enum run_mode mode,
                                       const struct run_request *request, int rc,
                                       const struct api_error *error)
{
    if (rc == -EINVAL)
        detail_send(loop, conn, error->status, error->detail);
    else if (rc < 0)
        out_of_memory(loop, conn);
    else if (request->async_run && mode != RUN_MODE_RESULT)
        detail_send(loop, conn, 422,
                    "[{\"loc\":[\"body\",\"async_run\"],\"msg\":\"a stream cannot be asynchronous; "
                    "use /v4/runs\",\"type\":\"value_error\"}]");
    else
        return pipeline_choose(loop, conn, request);
    return NULL;
}

static void run_start(struct loop *loop, struct conn *conn, const char *body, size_t bytes,
                      enum run_mode mode)
{
    if (reading_takes(loop, conn, body, bytes)) {
        reading_begin(loop, conn, body, bytes, mode);
        return;
    }
    struct run_request request = {0};
    struct api_error error;
    int rc = run_request_parse(&request, body, bytes, &error);
    struct pipeline *pipeline = request_accept(loop, conn, mode, &request, rc, &error);
    struct run *run = pipeline ? run_prepare(loop, conn, pipeline, mode, request.final_line) : NULL;
    if (run) {
        uint8_t *payload;
        rc = run_request_pack(&request, &pipeline->variables, run->id, &payload, &bytes, &error);
        if (rc == 0)
            run_payload_take(loop, run, payload, bytes);
        run_begin(loop, conn, run, request.async_run, rc, &error);
    }
    run_request_finish(&request);
}

bool api_run_read(struct loop *loop, struct conn *conn, const struct run_request *request, int rc,
                  const struct api_error *error)
{
    struct read_job *job = conn->read_job;
    struct pipeline *pipeline = request_accept(loop, conn, job->mode, request, rc, error);
    if (!pipeline)
        return false;
    run_id_make(loop, job->run_id);
    job->pipeline_index = pipeline->index;
    job->async_run = request->async_run;
    job->final_line = request->final_line;
    /* What is refused anyway need not be packed. It is asked once: a worker may make room
     * meanwhile.
     */
    struct run_failure failure;
    bool is_refused = pipeline_refuses(loop, pipeline, &failure);
    if (loop->run_free && !is_refused)
        return true;
    struct run *run = run_make(loop, conn, pipeline, job->mode, job->final_line);
    if (run)
        refuse(loop, run, &failure);
    return false;
}

void api_run_packed(struct loop *loop, struct conn *conn, const struct run_payload *payload, int rc,
                    const struct api_error *error)
{
    const struct read_job *job = conn->read_job;
    struct run *run =
        run_prepare(loop, conn, &loop->pipelines[job->pipeline_index], job->mode, job->final_line);
    if (run && rc == 0 && payload->memory)
        run_payload_take(loop, run, payload->memory, payload->bytes);
    else if (run && rc == 0)
        run_payload_take_file(loop, run, payload->fd, payload->bytes);
    else if (payload->memory)
        free(payload->memory);
    else if (payload->fd >= 0)
        close(payload->fd);
    if (run)
        run_begin(loop, conn, run, job->async_run, rc, error);
}

void api_run_stream(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    run_start(loop, conn, body, bytes,
              conn->request.wants_events ? RUN_MODE_EVENTS : RUN_MODE_LINES);
}

void api_run_result(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    run_start(loop, conn, body, bytes, RUN_MODE_RESULT);
}

/* ---- looking up ---------------------------------------------------------------------------- */

static void past_format(struct loop *loop, struct text *text, const struct history_entry *entry,
                        bool with_outputs)
{
    struct run_failure failure = {
        .type = entry->type, .message = entry->message, .message_count = strlen(entry->message)};
    line_format(text,
                &(struct line_result){
                    .id = entry->id,
                    .pipeline_id = loop->pipelines[entry->pipeline_index].config->id,
                    .state = entry->state,
                    .created_at = entry->created_at,
                    .updated_at = entry->updated_at,
                    .queue_position = -1,
                    .line_count = (int64_t)entry->line_count,
                    .outputs = with_outputs && entry->outputs.count > 0 ? &entry->outputs : NULL,
                    .failure = entry->failed ? &failure : NULL});
}

static void past_send(struct loop *loop, struct conn *conn, const char *id)
{
    const struct history_entry *entry = history_find(&loop->history, conn->request.owner, id);
    if (!entry) {
        detail_send(loop, conn, 404, "{\"message\":\"Run not found\"}");
        return;
    }
    struct text text = {0};
    past_format(loop, &text, entry, true);
    response_text(&loop->front, conn, 200, NULL, &text);
}

void api_run_get(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    const struct run *run = run_find(loop, conn->request.owner, conn->request.argument);
    if (!run) {
        past_send(loop, conn, conn->request.argument);
        return;
    }
    live_send(loop, conn, run);
}

void api_run_delete(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    static const char message[] = "cancelled: DELETE was called for this run";
    (void)body, (void)bytes;
    struct run *run = run_find(loop, conn->request.owner, conn->request.argument);
    if (run)
        run_cancel(loop, run,
                   &(struct run_failure){.type = ERROR_UNKNOWN,
                                         .status = 200,
                                         .message = message,
                                         .message_count = sizeof(message) - 1,
                                         .reason = CANCEL_REQUESTED});
    /* Also for a run that had ended before: cancelling twice is no mistake. */
    past_send(loop, conn, conn->request.argument);
}

void api_runs_list(struct loop *loop, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    uint32_t count = 0;
    text_add(&text, "{\"data\":[");
    mr_assert(conn->request.owner < owner_count(loop->config));
    const struct run *run = loop->newest[conn->request.owner];
    for (; run && count < LIST_COUNT_MAX; run = run->older) {
        if (count++ > 0)
            text_add(&text, ",");
        live_format(loop, &text, run);
        text.count--; /* the newline */
    }
    const struct history_entry *entry = history_newest(&loop->history, conn->request.owner);
    for (; entry && count < LIST_COUNT_MAX; entry = history_older(&loop->history, entry)) {
        if (count++ > 0)
            text_add(&text, ",");
        past_format(loop, &text, entry, false);
        text.count--;
    }
    text_add(&text, "],\"total\":%u,\"limit\":%u}\n", count, LIST_COUNT_MAX);
    response_text(&loop->front, conn, 200, NULL, &text);
}
