/* SPDX-License-Identifier: MIT */
/* control_routes.c - exchange_ops for the control socket: which request goes where. */
#include <stdio.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/control/control.h"
#include "dispatcher/control/control_actions.h"
#include "dispatcher/control/control_state.h"
#include "dispatcher/http/collector.h"
#include "dispatcher/http/response.h"

typedef void control_fn(struct control *control, struct conn *conn, const char *body, size_t bytes);

struct control_route {
    const char *path;
    const char *query; /* that it is for; NULL: any */
    enum http_method method;
    control_fn *handle;
};

static void routes_logs(struct control *control, struct conn *conn, const char *body, size_t bytes);
static void routes_logs_follow(struct control *control, struct conn *conn, const char *body,
                               size_t bytes);

/* clang-format off: a table */
static const struct control_route routes[] = {
    {"/control/state", NULL, HTTP_GET, control_state},
    {"/control/logs", "follow=1", HTTP_GET, routes_logs_follow},
    {"/control/logs", NULL, HTTP_GET, routes_logs},
    {"/control/reload", NULL, HTTP_POST, control_reload},
    {"/control/check", NULL, HTTP_POST, control_check},
    {"/control/drain", NULL, HTTP_POST, control_drain},
    {"/control/resume", NULL, HTTP_POST, control_resume},
    {"/control/scale", NULL, HTTP_POST, control_scale},
    {"/control/restart", NULL, HTTP_POST, control_restart},
    {"/control/stop", NULL, HTTP_POST, control_stop},
};
/* clang-format on */

static bool routes_is_text(struct http_text text, const char *word)
{
    return text.bytes == strlen(word) && memcmp(text.data, word, text.bytes) == 0;
}

static const struct control_route *routes_find(const struct http_head *head, bool *has_path)
{
    *has_path = false;
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!routes_is_text(head->path, routes[i].path) ||
            (routes[i].query && !routes_is_text(head->query, routes[i].query)))
            continue;
        *has_path = true;
        if (routes[i].method == head->method)
            return &routes[i];
    }
    return NULL;
}

static void routes_logs(struct control *control, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    control_logs_answer(control, conn, false);
}

static void routes_logs_follow(struct control *control, struct conn *conn, const char *body,
                               size_t bytes)
{
    (void)body, (void)bytes;
    control_logs_answer(control, conn, true);
}

static bool on_admits(void *owner, int fd)
{
    (void)owner;
    return control_peer_is_admitted(fd);
}

static bool on_head(void *owner, struct conn *conn, const struct http_head *head)
{
    struct control *control = owner;
    struct request *request = &conn->request;
    bool has_path;
    request->method = head->method;
    request->minor = head->minor;
    request->keep_alive = head->keep_alive;
    request->has_body = head->chunked || (head->has_length && head->content_length > 0);
    request->is_trusted = true; /* who is not cannot connect */
    request->route = routes_find(head, &has_path);
    if (request->route)
        return true;
    if (request->has_body)
        request->keep_alive = false; /* it is left unread */
    response_detail(&control->front, conn, has_path ? 405 : 404,
                    has_path ? "Method Not Allowed" : "Not Found");
    return false;
}

static int on_body(void *owner, struct conn *conn, struct http_text span, bool is_last)
{
    struct control *control = owner;
    const struct control_route *route = conn->request.route;
    struct http_text whole;
    int rc = collector_take(&control->front, conn, span, is_last, &whole);
    if (rc < 0 || !is_last)
        return rc;
    conn_answer_begin(&control->front, conn);
    route->handle(control, conn, whole.data, whole.bytes);
    collector_drop(&control->front, conn);
    return 0;
}

/* Nothing is charged for what it is sent: who follows the log is looked at in each pass. */
static void on_sent(void *owner, struct conn *conn, uint64_t charge)
{
    (void)owner, (void)conn, (void)charge;
}

/* Nobody has set a time for an answer. */
static void on_expired(void *owner, struct conn *conn)
{
    struct control *control = owner;
    response_detail(&control->front, conn, 503, "It took too long.");
}

static void on_gone(void *owner, struct conn *conn, enum exchange_end end)
{
    struct control *control = owner;
    (void)end;
    bool is_known = control_logs_forget(control, conn) || control_wait_forget(control, conn);
    mr_assert(is_known);
    conn_detach(conn);
}

const struct exchange_ops control_exchange_ops = {
    .admits = on_admits,
    .head = on_head,
    .body = on_body,
    .sent = on_sent,
    .expired = on_expired,
    .gone = on_gone,
};
