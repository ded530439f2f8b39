/* SPDX-License-Identifier: MIT */
/* api_run_start.c - the handlers of /v4/runs that start runs, and what the reader says of
 * bodies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/api/api.h"
#include "dispatcher/api/api_rank.h"
#include "dispatcher/api/formats/format.h"
#include "dispatcher/fetcher/fetching.h"
#include "dispatcher/http/collector.h"
#include "dispatcher/http/response.h"
#include "dispatcher/inputs/api_error.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reader/reading.h"
#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/run_end.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/staging/staging.h"

static void start(struct api *api, struct conn *conn, const char *body, size_t bytes,
                  const struct format *format);

void api_run_stream(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    start(api, conn, body, bytes, conn->request.wants_events ? &format_events : &format_ndjson);
}

void api_run_result(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    start(api, conn, body, bytes, &format_result);
}

void api_detail(struct api *api, struct conn *conn, int status, const char *json)
{
    char body[sizeof((struct api_error *)0)->detail + 32];
    int count = snprintf(body, sizeof body, "{\"detail\":%s}\n", json);
    mr_assert(count > 0 && (size_t)count < sizeof body);
    front_count_refusal(api->front, request_refusal_of_status(status));
    response_send(api->front, conn,
                  &(struct response){.status = status, .body = body, .body_bytes = (size_t)count});
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void start_without_memory(struct api *api, struct conn *conn)
{
    response_detail(api->front, conn, 503, "Out of memory.");
}

/* Answers a run that is not admitted. */
static void start_refuse_run(struct api *api, struct run *run, const struct run_failure *failure)
{
    struct sink *sink = run->sink;
    run_end_refuse(api->runs, run, failure);
    run->sink = NULL;
    int status = sink->ops->finish(sink, run, failure);
    run_end_log(api->runs, run, RUN_REFUSED, failure, status);
    run_destroy(api->runs, run);
}

static void start_refuse_input(struct api *api, struct run *run, const struct api_error *error)
{
    struct conn *conn = answer_of(run->sink)->conn;
    if (!error->is_result) {
        run_destroy(api->runs, run);
        api_detail(api, conn, error->status, error->detail);
        return;
    }
    start_refuse_run(api, run,
                     &(struct run_failure){.type = error->type,
                                           .status = error->status,
                                           .refusal = REFUSAL_INPUT,
                                           .message = error->message,
                                           .message_count = strlen(error->message)});
}

const struct run_failure api_run_no_room = {
    .type = ERROR_UNKNOWN,
    .status = 503,
    .retry_after_s = 1,
    .state = "no_resources_available",
    .refusal = REFUSAL_INPUT_MEMORY,
    .message = "there is no memory left for requests that wait",
    .message_count = sizeof "there is no memory left for requests that wait" - 1,
};

/* ---- steps --------------------------------------------------------------------------------- */

/* The pipeline that has this name, or that the alias of this name leads this request to. */
static struct pipeline *start_find_pipeline(struct answer *answer, const char *name)
{
    struct api *api = answer->api;
    struct pipeline *pipeline = runs_find_pipeline(api->runs, name);
    struct alias *alias = pipeline ? NULL : aliases_find(&api->runs->aliases, name);
    if (!alias)
        return pipeline;
    pipeline = api_alias_lead(api, alias, &answer->conn->request);
    if (pipeline) {
        alias_keep(alias);
        answer->alias = alias;
    }
    return pipeline;
}

/* The pipeline a request means; answers and returns NULL when there is none. */
static struct pipeline *start_choose_pipeline(struct answer *answer,
                                              const struct run_request *request)
{
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    struct pipeline *pipeline = NULL;
    if (request->pipeline)
        pipeline = start_find_pipeline(answer, request->pipeline);
    else if (api->runs->pipeline_count == 1)
        pipeline = api->runs->pipelines[0];
    else
        api_detail(api, conn, 422,
                   "[{\"loc\":[\"body\",\"pipeline\"],\"msg\":\"field required\","
                   "\"type\":\"value_error.missing\"}]");
    if (request->pipeline && !pipeline)
        api_pipeline_missing(api, conn, request->pipeline);
    return pipeline;
}

/* Where its result goes is needed when the request is gone. False: it is answered. */
static bool start_keep_callback(struct answer *answer, const struct run_request *request)
{
    if (!request->callback_url)
        return true;
    answer->callback_url = strdup(request->callback_url);
    if (!answer->callback_url)
        start_without_memory(answer->api, answer->conn);
    return answer->callback_url != NULL;
}

/* The pipeline of a request that was parsed, or not; NULL: it is answered. */
static struct pipeline *start_accept(struct answer *answer, const struct run_request *request,
                                     int rc, const struct api_error *error)
{
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    if (rc == -EINVAL)
        api_detail(api, conn, error->status, error->detail);
    else if (rc < 0)
        start_without_memory(api, conn);
    else if (request->async_run && !answer->format->may_be_asynchronous)
        api_detail(api, conn, 422,
                   "[{\"loc\":[\"body\",\"async_run\"],\"msg\":\"a stream cannot be asynchronous; "
                   "use /v4/runs\",\"type\":\"value_error\"}]");
    else
        return start_keep_callback(answer, request) ? start_choose_pipeline(answer, request) : NULL;
    return NULL;
}

/* A run, whether it may be taken or not, which has the answer for its sink; NULL: it is answered
 * that there is none. */
static struct run *start_make_run(struct answer *answer, struct pipeline *pipeline,
                                  const struct run_birth *birth)
{
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    const struct run_origin origin = {.request_id = conn->request.id,
                                      .client = conn_client(conn),
                                      .token = conn->request.token,
                                      .token_index = conn->request.token_index,
                                      .alias = answer->alias};
    struct run *run =
        run_create(api->runs, &(struct run_options){.pipeline = pipeline,
                                                    .sink = &answer->sink,
                                                    .owner = conn->request.owner,
                                                    .timeout_ms = conn->request.timeout_ms,
                                                    .waits = answer->waits_for_load,
                                                    .rank = answer->rank,
                                                    .birth = birth,
                                                    .origin = origin});
    if (run) {
        answer->run = run;
        return run;
    }
    run_end_refuse_none(api->runs, pipeline, &origin, 503);
    answer_give(answer);
    response_send(api->front, conn,
                  &(struct response){.status = 503,
                                     .body = "{\"detail\":\"Too many runs.\"}\n",
                                     .body_bytes = 28,
                                     .retry_after_s = 1});
    return NULL;
}

/* A run that may be taken; NULL: it is answered why there is none. */
static struct run *start_prepare_run(struct answer *answer, struct pipeline *pipeline,
                                     const struct run_birth *birth)
{
    struct api *api = answer->api;
    struct run_failure failure;
    struct run *run = start_make_run(answer, pipeline, birth);
    if (!run ||
        !pipeline_refuses(api->runs, pipeline, &answer->rank, answer->waits_for_load, &failure))
        return run;
    start_refuse_run(api, run, &failure);
    return NULL;
}

/* Its pipeline is not known yet: the run keeps its request, which is read later (unread.h). 0 or
 * -ENOMEM. */
static int start_keep(struct api *api, struct run *run, const char *body, size_t bytes)
{
    uint8_t *copy = malloc(bytes);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, body, bytes);
    run_payload_take(api->runs, run, copy, bytes);
    run->is_unread = true;
    return 0;
}

/* What a run that waits holds must fit; the body it was made of is about to go. One that gets a
 * slot at once holds nothing. */
static bool start_may_wait(struct api *api, uint32_t body_room, struct pipeline *pipeline)
{
    return api->input->bytes - body_room <= api->input->bytes_max ||
           pipeline_has_slot(api->runs, pipeline);
}

/* -EINVAL: its result cannot be sent to where it should go. */
static int start_check_callback(const struct answer *answer, struct api_error *error)
{
    char reason[FETCH_REASON_BYTES];
    const char *url = answer->callback_url;
    if (!url || fetch_check(answer->api->fetching, url, strlen(url), reason) == 0)
        return 0;
    api_error_input(error, "callback_url: %s", reason);
    return -EINVAL;
}

static void start_answer_now(struct answer *answer, struct conn *conn, const struct run *run)
{
    api_run_show(answer->api, conn, run, answer->callback_url ? 202 : 200);
    answer->status = conn->request.status;
}

/* An asynchronous run is answered as what it is now, before it can end. */
static void start_admit(struct api *api, struct conn *conn, struct run *run, bool is_async)
{
    struct answer *answer = answer_of(run->sink);
    if (is_async)
        answer_let_go(answer);
    run_admit(api->runs, run);
    if (is_async)
        start_answer_now(answer, conn, run);
}

/* What is known of a run whose inputs were packed. */
struct start_inputs {
    bool is_async;
    uint32_t body_room;        /* that the body still holds */
    const uint8_t *references; /* to files */
    size_t reference_bytes;
};

/* Its files are brought before it is admitted. */
static void start_stage(struct api *api, struct conn *conn, struct run *run,
                        const struct start_inputs *inputs)
{
    struct answer *answer = answer_of(run->sink);
    struct api_error error;
    int rc = staging_begin(api->staging, run, conn->request.token, inputs->references,
                           inputs->reference_bytes, &error);
    if (rc == -EINVAL) {
        start_refuse_input(api, run, &error);
    } else if (rc == -ENOBUFS) {
        start_refuse_run(api, run, &api_run_no_room);
    } else if (rc < 0) {
        run_destroy(api->runs, run);
        start_without_memory(api, conn);
    } else if (inputs->is_async) {
        answer_let_go(answer);
        start_answer_now(answer, conn, run);
    }
}

/* Its inputs are packed and taken over, or why they are not: admits it, or answers. */
static void start_finish(struct api *api, struct conn *conn, struct run *run,
                         const struct start_inputs *inputs, int rc, const struct api_error *error)
{
    struct pipeline *pipeline = run->pipeline;
    struct api_error callback_error;
    if (rc == 0 && start_check_callback(answer_of(run->sink), &callback_error) < 0) {
        start_refuse_input(api, run, &callback_error);
    } else if (rc == 0 && inputs->reference_bytes > 0) {
        start_stage(api, conn, run, inputs);
    } else if (rc == 0 && !start_may_wait(api, inputs->body_room, pipeline)) {
        start_refuse_run(api, run, &api_run_no_room);
    } else if (rc == 0) {
        start_admit(api, conn, run, inputs->is_async);
        pipeline_schedule(api->runs, pipeline);
    } else if (rc == -EINVAL) {
        start_refuse_input(api, run, error);
    } else {
        run_destroy(api->runs, run);
        start_without_memory(api, conn);
    }
}

static void start_note(struct answer *answer, const struct pipeline *pipeline,
                       const struct run_request *request)
{
    answer->rank = api_rank(answer->api, pipeline, &answer->conn->request, &request->scheduling);
    answer->final_line = request->final_line;
    answer->waits_for_load = request->wait_for_resources;
}

/* The whole body is here, and small. */
static void start_now(struct answer *answer, const char *body, size_t bytes)
{
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    struct run_request request = {0};
    struct api_error error;
    int rc = run_request_parse(&request, body, bytes, &error);
    struct pipeline *pipeline = start_accept(answer, &request, rc, &error);
    if (!pipeline)
        answer_give(answer);
    else
        start_note(answer, pipeline, &request);
    struct run *run = pipeline ? start_prepare_run(answer, pipeline, NULL) : NULL;
    if (run) {
        struct run_payload payload = {0};
        rc = pipeline->pool->is_known
                 ? run_request_pack(&request, &pipeline->pool->variables, run->id, &payload, &error)
                 : start_keep(api, run, body, bytes);
        if (payload.memory)
            run_payload_take(api->runs, run, payload.memory, payload.bytes);
        start_finish(api, conn, run,
                     &(struct start_inputs){.is_async = request.async_run,
                                            .body_room = conn->body.kept.room,
                                            .references = payload.memory + payload.bytes,
                                            .reference_bytes = payload.reference_bytes},
                     rc, &error);
    }
    run_request_finish(&request);
}

/* The lesser of two limits, of which 0 is none. */
static uint32_t start_lesser(uint32_t a_ms, uint32_t b_ms)
{
    return b_ms == 0 || (a_ms > 0 && a_ms < b_ms) ? a_ms : b_ms;
}

static uint32_t start_wait_ms(const struct pipeline *pipeline)
{
    const struct pipeline_options *options = &pipeline->config->options;
    return start_lesser(options->run_timeout_ms, options->queue_timeout_ms);
}

/* Which pipeline a body is for only the body says: until then any that waits longest may be it. */
static uint32_t start_wait_ms_max(const struct api *api)
{
    uint32_t most_ms = 0;
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++) {
        uint32_t wait_ms = start_wait_ms(api->runs->pipelines[i]);
        if (wait_ms == 0)
            return 0;
        most_ms = wait_ms > most_ms ? wait_ms : most_ms;
    }
    return most_ms;
}

/* The body is the reader's to read. */
static void start_later(struct answer *answer, const char *body, size_t bytes)
{
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    answer->job = (struct read_job){
        .timeout_ms = start_lesser(conn->request.timeout_ms, start_wait_ms_max(api))};
    run_birth_now(api->runs, &answer->job.birth);
    int rc = collector_move(api->front, conn, (struct http_text){body, bytes}, &answer->job.body);
    if (rc < 0) {
        answer_give(answer);
        front_count_refusal(api->front,
                            rc == -ENOBUFS ? REQUEST_REFUSAL_INPUT_MEMORY : REQUEST_REFUSAL_MEMORY);
        response_overload(api->front, conn);
        return;
    }
    reading_begin(api->reading, &answer->job);
    if (conn->pending == answer && answer->job.state != READ_JOB_NONE)
        conn_set_due(api->front, conn, answer->job.due_ms);
}

static void start(struct api *api, struct conn *conn, const char *body, size_t bytes,
                  const struct format *format)
{
    struct answer *answer = answer_take(api, conn, format);
    if (!answer)
        start_without_memory(api, conn);
    else if (reading_takes(api->reading, &conn->body, body, bytes))
        start_later(answer, body, bytes);
    else
        start_now(answer, body, bytes);
}

/* ---- what the reader says ------------------------------------------------------------------ */

/* The answer whose body was read. */
static struct answer *api_run_start_answer_of_job(struct read_job *job)
{
    return (struct answer *)((char *)job - offsetof(struct answer, job));
}

/* Now that its pipeline is known, so is how long it may wait. */
static void start_hurry(struct answer *answer)
{
    struct read_job *job = &answer->job;
    uint32_t wait_ms = start_wait_ms(answer->pipeline);
    if (wait_ms == 0 || job->birth.created_ms + wait_ms >= job->due_ms)
        return;
    job->due_ms = job->birth.created_ms + wait_ms;
    conn_set_due(answer->api->front, answer->conn, job->due_ms);
}

static bool on_parsed(struct read_job *job, const struct run_request *request, int rc,
                      const struct api_error *error)
{
    struct answer *answer = api_run_start_answer_of_job(job);
    struct api *api = answer->api;
    struct pipeline *pipeline = start_accept(answer, request, rc, error);
    if (!pipeline) {
        answer_give(answer);
        return false;
    }
    start_note(answer, pipeline, request);
    /* The reader reads a body once, and cannot do so before its pipeline is known. */
    answer->waits_for_load &= pipeline->pool->is_known;
    /* What is refused anyway need not be packed. It is asked once: a worker may make room
     * meanwhile. */
    struct run_failure failure;
    bool is_refused =
        pipeline_refuses(api->runs, pipeline, &answer->rank, answer->waits_for_load, &failure) ||
        pipeline_refuses_unread(api->runs, pipeline, &failure);
    if (api->runs->free && !is_refused) {
        answer->is_async = request->async_run;
        answer->pipeline = pipeline;
        pipeline->user_count++;
        pipeline->coming_count++;
        job->variables = &pipeline->pool->variables;
        start_hurry(answer);
        return true;
    }
    struct run *run = start_make_run(answer, pipeline, &job->birth);
    if (run)
        start_refuse_run(api, run, &failure);
    return false;
}

/* What stands behind a payload in its file; NULL: no memory. */
static uint8_t *start_references_read(const struct read_payload *payload)
{
    uint8_t *references = malloc(payload->reference_bytes);
    size_t done = 0;
    while (references && done < payload->reference_bytes) {
        ssize_t count = pread(payload->fd, references + done, payload->reference_bytes - done,
                              (off_t)(payload->bytes + done));
        if (count <= 0 && !(count == -1 && errno == EINTR)) {
            free(references);
            return NULL;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return references;
}

/* The payload becomes the run's, and what it names is known. */
static void start_take_packed(struct api *api, struct conn *conn, struct run *run, bool is_async,
                              const struct read_payload *payload, int rc,
                              const struct api_error *error)
{
    struct start_inputs inputs = {.is_async = is_async, .body_room = payload->body_room};
    uint8_t *references = NULL;
    if (rc == 0 && payload->memory) {
        run_payload_take(api->runs, run, payload->memory, payload->bytes);
        inputs.references = payload->memory + payload->bytes;
        inputs.reference_bytes = payload->reference_bytes;
    } else if (rc == 0) {
        if (payload->reference_bytes > 0)
            inputs.references = references = start_references_read(payload);
        if (references)
            inputs.reference_bytes = payload->reference_bytes;
        else if (payload->reference_bytes > 0)
            rc = -ENOMEM;
        run_payload_take_file(api->runs, run, payload->fd, payload->bytes);
    }
    start_finish(api, conn, run, &inputs, rc, error);
    free(references);
}

static void on_packed(struct read_job *job, const struct read_payload *payload, int rc,
                      const struct api_error *error)
{
    struct answer *answer = api_run_start_answer_of_job(job);
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    bool is_async = answer->is_async;
    struct pipeline *pipeline = answer->pipeline;
    conn_detach(conn); /* its time was the reader's */
    conn->pending = answer;
    answer_forget_pipeline(answer); /* nothing frees it within a pass */
    struct run *run = start_prepare_run(answer, pipeline, &job->birth);
    if (run)
        start_take_packed(api, conn, run, is_async, payload, rc, error);
    else if (payload->memory)
        free(payload->memory);
    else if (payload->fd >= 0)
        close(payload->fd);
}

static void on_refused(struct read_job *job, int status, const char *reason)
{
    struct answer *answer = api_run_start_answer_of_job(job);
    struct api *api = answer->api;
    struct conn *conn = answer->conn;
    char body[256];
    int count =
        snprintf(body, sizeof body, "{\"detail\":\"The request was not read: %s.\"}\n", reason);
    mr_assert(count > 0 && (size_t)count < sizeof body);
    answer_forget_pipeline(answer);
    answer_give(answer);
    front_count_refusal(api->front, REQUEST_REFUSAL_READER);
    response_send(api->front, conn,
                  &(struct response){.status = status,
                                     .body = body,
                                     .body_bytes = (size_t)count,
                                     .retry_after_s = status == 503 ? 1 : 0});
}

const struct reading_ops api_reading_ops = {
    .parsed = on_parsed,
    .packed = on_packed,
    .refused = on_refused,
};
