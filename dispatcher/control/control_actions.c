/* SPDX-License-Identifier: MIT */
/* control_actions.c - operators drain, scale, restart and stop. */
#include "dispatcher/control/control_actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/api/api.h"
#include "dispatcher/control/control.h"
#include "dispatcher/control/control_request.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/renewal.h"

/* For a message that is no constant. */
static void actions_refuse(struct control *control, struct conn *conn, int status,
                           const char *message)
{
    struct text text = {0};
    text_add(&text, "{\"detail\":");
    text_add_json(&text, message, strlen(message));
    text_add(&text, "}\n");
    response_text(&control->front, conn, status, NULL, &text);
}

/* False: it is answered why not. */
static bool actions_parse(struct control *control, struct conn *conn, const char *body,
                          size_t bytes, unsigned members, struct control_request *request)
{
    char reason[CLI_REASON_BYTES];
    int rc = control_request_parse(request, body, bytes, members, reason);
    if (rc < 0)
        actions_refuse(control, conn, rc == -EINVAL ? 400 : 503, reason);
    return rc == 0;
}

/* The pipeline that is named; NULL: none is, or there is none, which is answered (*is_fine says
 * which). */
static struct pipeline *actions_pipeline(struct control *control, struct conn *conn,
                                         const struct control_request *request, bool *is_fine)
{
    struct pipeline *pipeline =
        request->pipeline ? runs_find_pipeline(control->api->runs, request->pipeline) : NULL;
    *is_fine = !request->pipeline || pipeline;
    if (!*is_fine) {
        char message[400];
        snprintf(message, sizeof message, "There is no pipeline %.300s.", request->pipeline);
        actions_refuse(control, conn, 404, message);
    }
    return pipeline;
}

/* ---- drain and resume ---------------------------------------------------------------------- */

static void actions_drained_format(struct text *text, const struct runs *runs,
                                   const struct pipeline *pipeline)
{
    text_add(text, "{\"pointer\":\"%s\",\"drained\":%s,\"active\":%u,\"queued\":%u}",
             pipeline->config->pointer, pipeline_is_drained(runs, pipeline) ? "true" : "false",
             pool_active_count(pipeline->pool), pipeline->queue_count);
}

/* One pipeline, or all of the server. */
static void actions_drain(struct control *control, struct conn *conn, const char *body,
                          size_t bytes, bool does_drain)
{
    struct runs *runs = control->api->runs;
    struct control_request request;
    struct text text = {0};
    const char *comma = "";
    bool is_fine;
    if (!actions_parse(control, conn, body, bytes, CONTROL_PIPELINE | CONTROL_WAIT, &request))
        return;
    struct pipeline *pipeline = actions_pipeline(control, conn, &request, &is_fine);
    control_request_finish(&request);
    if (!is_fine)
        return;
    runs_drain(runs, pipeline, does_drain);
    text_add(&text, "{\"pipelines\":[");
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        if (pipeline && runs->pipelines[i] != pipeline)
            continue;
        text_add(&text, "%s", comma);
        comma = ",";
        actions_drained_format(&text, runs, runs->pipelines[i]);
    }
    text_add(&text, "]}\n");
    response_text(&control->front, conn, 200, NULL, &text);
}

void control_drain(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    actions_drain(control, conn, body, bytes, true);
}

void control_resume(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    actions_drain(control, conn, body, bytes, false);
}

/* ---- scale --------------------------------------------------------------------------------- */

static void actions_scale(struct control *control, struct conn *conn, struct pipeline *pipeline,
                          const struct control_request *request)
{
    char reason[RUNS_REASON_BYTES];
    struct text text = {0};
    const struct scaling_bounds *bounds = &pipeline->scaling.bounds;
    int rc = runs_scale_pipeline(control->api->runs, pipeline, request->workers_min,
                                 request->workers_max, reason);
    if (rc < 0) {
        actions_refuse(control, conn, rc == -EINVAL ? 400 : 503, reason);
        return;
    }
    log_event(&control->reactor->log, LEVEL_INFO, "scaled",
              LOG_WORD("pipeline", pipeline->config->pointer), LOG_NATURAL("min", bounds->min),
              LOG_NATURAL("max", bounds->max));
    text_add(&text,
             "{\"pointer\":\"%s\",\"workers_min\":%u,\"workers_max\":%u,\"workers_wanted\":%u}\n",
             pipeline->config->pointer, bounds->min, bounds->max, pipeline->pool->worker_count);
    response_text(&control->front, conn, 200, NULL, &text);
}

void control_scale(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    struct control_request request;
    bool is_fine;
    if (!actions_parse(control, conn, body, bytes, CONTROL_PIPELINE | CONTROL_WORKERS, &request))
        return;
    struct pipeline *pipeline = actions_pipeline(control, conn, &request, &is_fine);
    if (pipeline && request.has_workers)
        actions_scale(control, conn, pipeline, &request);
    else if (is_fine)
        response_detail(&control->front, conn, 400, "pipeline and workers must be there.");
    control_request_finish(&request);
}

/* ---- restart ------------------------------------------------------------------------------- */

static void actions_renewal_format(struct text *text, const struct renewal *renewal)
{
    text_add(text, "{\"result\":\"%s\",\"replaced\":%u,\"left\":%u,\"reason\":",
             renewal->is_on        ? "started"
             : renewal->has_failed ? "failed"
                                   : "done",
             renewal->replaced_count, renewal->left_count);
    if (renewal->has_failed)
        text_add_json(text, renewal->reason, strlen(renewal->reason));
    else
        text_add(text, "null");
    text_add(text, ",\"ms\":%llu}\n",
             (unsigned long long)(renewal->is_on ? 0 : renewal->ended_ms - renewal->began_ms));
}

void control_restart(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    struct runs *runs = control->api->runs;
    struct control_request request;
    bool is_fine;
    if (!actions_parse(control, conn, body, bytes, CONTROL_PIPELINE | CONTROL_WAIT, &request))
        return;
    struct pipeline *pipeline = actions_pipeline(control, conn, &request, &is_fine);
    if (is_fine && runs->stop_is_announced) {
        response_detail(&control->front, conn, 409, "The server stops.");
    } else if (is_fine && runs_renew(runs, pipeline) < 0) {
        response_detail(&control->front, conn, 503, "Not enough memory for one more worker.");
    } else if (is_fine && request.wait) {
        control_wait(control, conn, CONTROL_WAIT_RENEWAL, 0, NULL);
    } else if (is_fine) {
        struct text text = {0};
        actions_renewal_format(&text, &runs->fleet->renewal);
        response_text(&control->front, conn, 200, NULL, &text);
    }
    control_request_finish(&request);
}

void control_renewal_check(struct control *control)
{
    const struct renewal *renewal = &control->api->fleet->renewal;
    struct text text = {0};
    if (renewal->is_on || !control_is_awaited(control, CONTROL_WAIT_RENEWAL))
        return;
    actions_renewal_format(&text, renewal);
    control_answer_waits(control, CONTROL_WAIT_RENEWAL, 0, &text);
    text_finish(&text);
}

/* ---- stop ---------------------------------------------------------------------------------- */

void control_stop(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    struct control_request request;
    struct text text = {0};
    if (!actions_parse(control, conn, body, bytes, CONTROL_NOW, &request))
        return;
    control->ops->stop(control->owner, request.now);
    text_add(&text, "{\"pid\":%d,\"state\":\"%s\",\"runs\":%u}\n", (int)getpid(),
             control->ops->state(control->owner), control->api->runs->count);
    response_text(&control->front, conn, 200, NULL, &text);
    control_request_finish(&request);
}

/* ---- the configuration --------------------------------------------------------------------- */

void control_reload(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    struct control_request request;
    const char *reason = "";
    if (!actions_parse(control, conn, body, bytes, CONTROL_WAIT, &request))
        return;
    uint64_t number = control->ops->reload(control->owner, &reason);
    if (number == 0) {
        response_detail(&control->front, conn, 409, reason);
    } else if (request.wait) {
        control_wait(control, conn, CONTROL_WAIT_RELOAD, number, NULL);
    } else {
        struct text text = {0};
        text_add(&text, "{\"result\":\"started\"}\n");
        response_text(&control->front, conn, 200, NULL, &text);
    }
    control_request_finish(&request);
}

void control_check(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    struct control_request request;
    if (!actions_parse(control, conn, body, bytes, CONTROL_CONFIG, &request))
        return;
    if (!request.config || request.config[0] != '/') {
        response_detail(&control->front, conn, 400, "config must be an absolute path.");
    } else {
        control_wait(control, conn, CONTROL_WAIT_CHECK, 0, request.config);
        request.config = NULL;
        control_checks_go_on(control);
    }
    control_request_finish(&request);
}
