/* SPDX-License-Identifier: MIT */
/* response.c - heads and complete answers. */
#include "dispatcher/http/response.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/http/conn.h"
#include "dispatcher/server/loop.h"
#include "dispatcher/text/put.h"

#define HEAD_BYTES_MAX 2048u

/* A switch and not a table: statuses are sparse, and the compiler sees a missing one. */
const char *response_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}

static void head_begin(struct put *head, const struct loop *loop, const struct conn *conn,
                       int status, const char *content_type)
{
    PUT(head, "HTTP/1.1 ");
    put_number(head, (uint64_t)status);
    PUT(head, " ");
    put_text(head, response_reason(status));
    PUT(head, "\r\nDate: ");
    put_text(head, loop->reactor.date_text);
    PUT(head, "\r\nServer: millrace\r\nContent-Type: ");
    put_text(head, content_type);
    if (conn->request.id[0]) {
        PUT(head, "\r\nX-Request-Id: ");
        put_text(head, conn->request.id);
        PUT(head, "\r\nX-Correlation-Id: ");
        put_text(head, conn->request.id);
    }
    if (!conn->request.keep_alive)
        PUT(head, "\r\nConnection: close\r\n");
    else if (conn->request.minor == 0)
        PUT(head, "\r\nConnection: keep-alive\r\n");
    else
        PUT(head, "\r\n");
}

/* Memory for responses is bounded; a connection that finds none is closed, which its client can
 * tell from an answer. */
static bool append(struct loop *loop, struct conn *conn, const char *bytes, size_t count)
{
    if (out_append(&loop->out, &conn->out, bytes, count, false) == 0)
        return true;
    log_line(&loop->reactor.log, LEVEL_ERROR, "output_memory_exhausted", "conn=%u", conn->index);
    conn_doom(loop, conn);
    return false;
}

void response_send(struct loop *loop, struct conn *conn, const struct response *response)
{
    char text[HEAD_BYTES_MAX];
    struct put head = PUT_INTO(text);
    if (loop->state != LOOP_SERVING)
        conn->request.keep_alive = false;
    metrics_count_response(&loop->metrics, response->status);
    head_begin(&head, loop, conn, response->status,
               response->content_type ? response->content_type : "application/json");
    PUT(&head, "Content-Length: ");
    put_number(&head, response->body_bytes);
    if (response->retry_after_s > 0) {
        PUT(&head, "\r\nRetry-After: ");
        put_number(&head, response->retry_after_s);
    }
    PUT(&head, "\r\n");
    if (response->headers)
        put_text(&head, response->headers);
    PUT(&head, "\r\n");
    if (!conn_answer_fits(loop, conn, (size_t)(head.at - text) + response->body_bytes)) {
        loop->metrics.refusals[REQUEST_REFUSAL_MEMORY]++;
        conn_doom(loop, conn);
        return;
    }
    if (!append(loop, conn, text, (size_t)(head.at - text)))
        return;
    if (conn->request.method != HTTP_HEAD &&
        !append(loop, conn, response->body, response->body_bytes))
        return;
    conn_response_done(loop, conn);
}

void response_text(struct loop *loop, struct conn *conn, int status, const char *content_type,
                   struct text *text)
{
    if (text->failed)
        response_detail(loop, conn, 503, "Out of memory.");
    else
        response_send(loop, conn,
                      &(struct response){.status = status,
                                         .content_type = content_type,
                                         .body = text->bytes,
                                         .body_bytes = text->count});
    text_finish(text);
}

void response_detail(struct loop *loop, struct conn *conn, int status, const char *text)
{
    char body[512];
    int count = snprintf(body, sizeof(body), "{\"detail\":\"%s\"}\n", text);
    mr_assert(count > 0 && (size_t)count < sizeof(body));
    loop->metrics.refusals[request_refusal_of_status(status)]++;
    response_send(loop, conn,
                  &(struct response){.status = status, .body = body, .body_bytes = (size_t)count});
}

void response_refuse(struct loop *loop, struct conn *conn, int status, const char *text)
{
    conn->request.keep_alive = false;
    if (conn->request.id[0] == '\0')
        identity_hex(&loop->reactor.identity, conn->request.id);
    response_detail(loop, conn, status, text);
}

void response_overload(struct loop *loop, struct conn *conn)
{
    static const char body[] = "{\"detail\":\"No memory for this request now.\"}\n";
    conn->request.keep_alive = false;
    if (conn->request.id[0] == '\0')
        identity_hex(&loop->reactor.identity, conn->request.id);
    response_send(
        loop, conn,
        &(struct response){
            .status = 503, .body = body, .body_bytes = sizeof(body) - 1, .retry_after_s = 1});
}

void response_stream_head(struct loop *loop, struct conn *conn, const char *content_type)
{
    char text[HEAD_BYTES_MAX];
    struct put head = PUT_INTO(text);
    if (conn->request.minor == 0 || loop->state != LOOP_SERVING)
        conn->request.keep_alive = false;
    metrics_count_response(&loop->metrics, 200);
    head_begin(&head, loop, conn, 200, content_type);
    PUT(&head, "X-Accel-Buffering: no\r\nCache-Control: no-store\r\n");
    if (conn->request.minor == 1)
        PUT(&head, "Transfer-Encoding: chunked\r\n"
                   "Trailer: Millrace-Run-State, Millrace-Run-Lines\r\n");
    else
        conn_unframed(conn);
    PUT(&head, "\r\n");
    append(loop, conn, text, (size_t)(head.at - text));
}

void response_stream_end(struct loop *loop, struct conn *conn, const char *run_state,
                         uint64_t line_count)
{
    char text[128];
    if (conn->request.minor == 1) {
        struct put end = PUT_INTO(text);
        PUT(&end, "0\r\nMillrace-Run-State: ");
        put_text(&end, run_state);
        PUT(&end, "\r\nMillrace-Run-Lines: ");
        put_number(&end, line_count);
        PUT(&end, "\r\n\r\n");
        if (!append(loop, conn, text, (size_t)(end.at - text)))
            return;
    }
    conn_response_done(loop, conn);
}
