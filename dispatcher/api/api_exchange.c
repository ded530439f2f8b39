/* SPDX-License-Identifier: MIT */
/* api_exchange.c - exchange_ops for handlers and answers. */
#include "dispatcher/api/api_exchange.h"

#include "dispatcher/api/answer.h"
#include "dispatcher/api/api.h"
#include "dispatcher/http/collector.h"
#include "dispatcher/reader/reading.h"

static bool on_head(void *owner, struct conn *conn, const struct http_head *head)
{
    return routes_begin(owner, conn, head);
}

/* All handlers take whole bodies, but for those that take them as they come. */
static int on_body(void *owner, struct conn *conn, struct http_text span, bool is_last)
{
    struct api *api = owner;
    struct http_text whole;
    const struct route *route = conn->request.route;
    if (route->stream)
        return route->stream->body(api, conn, span, is_last);
    int rc = collector_take(api->front, conn, span, is_last, &whole);
    if (rc < 0 || !is_last)
        return rc;
    conn_answer_begin(api->front, conn);
    route->handle(api, conn, whole.data, whole.bytes);
    collector_drop(api->front, conn);
    return 0;
}

/* Each send of a stream comes here, so that is looked at first: whoever is pending begins as an
 * answer does, and has a run or none. */
static void on_sent(void *owner, struct conn *conn, uint64_t charge)
{
    const struct answer *answer = conn->pending;
    const struct route *route = conn->request.route;
    if (answer->run)
        run_delivered(answer->run, charge);
    else if (route->stream)
        route->stream->sent(owner, conn, charge);
}

static void on_expired(void *owner, struct conn *conn)
{
    struct api *api = owner;
    struct answer *answer = conn->pending;
    mr_assert(!answer->run); /* a run has a timer of its own */
    reading_expire(api->reading, &answer->job);
}

static void on_gone(void *owner, struct conn *conn, enum exchange_end end)
{
    struct api *api = owner;
    struct answer *answer = conn->pending;
    const struct route *route = conn->request.route;
    if (route->stream) {
        route->stream->gone(api, conn);
        return;
    }
    answer_let_go(answer);
    if (!answer->run) {
        reading_drop(api->reading, &answer->job);
        answer_forget_pipeline(answer);
        answer_give(answer);
    } else if (end == EXCHANGE_STALLED) {
        run_client_stalled(api->runs, answer->run);
    } else {
        run_client_gone(api->runs, answer->run);
    }
}

const struct exchange_ops api_exchange_ops = {
    .head = on_head,
    .body = on_body,
    .sent = on_sent,
    .expired = on_expired,
    .gone = on_gone,
};
