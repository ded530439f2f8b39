/* SPDX-License-Identifier: MIT */
/* response.c - heads and complete answers. */
#include "dispatcher/api/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/http/conn.h"
#include "dispatcher/loop/loop.h"

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

struct head {
    char text[HEAD_BYTES_MAX];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void head_add(struct head *head, const char *format,
                                                           ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count =
        vsnprintf(head->text + head->count, HEAD_BYTES_MAX - head->count, format, arguments);
    va_end(arguments);
    mr_assert(count >= 0);
    mr_assert((size_t)count < HEAD_BYTES_MAX - head->count);
    head->count += (size_t)count;
}

static void head_begin(struct head *head, const struct loop *loop, const struct conn *conn,
                       int status, const char *content_type)
{
    head->count = 0;
    head_add(head, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: millrace\r\nContent-Type: %s\r\n", status,
             response_reason(status), loop->date_text, content_type);
    if (conn->request.id[0])
        head_add(head, "X-Request-Id: %s\r\nX-Correlation-Id: %s\r\n", conn->request.id,
                 conn->request.id);
    if (!conn->request.keep_alive)
        head_add(head, "Connection: close\r\n");
    else if (conn->request.minor == 0)
        head_add(head, "Connection: keep-alive\r\n");
}

/* Memory for responses is bounded; a connection that finds none is closed, which its client can
 * tell from an answer. */
static bool append(struct loop *loop, struct conn *conn, const char *bytes, size_t count)
{
    if (out_append(&loop->out, &conn->out, bytes, count, false) == 0)
        return true;
    log_line(&loop->log, LEVEL_ERROR, "output_memory_exhausted", "conn=%u", conn->index);
    conn_doom(loop, conn);
    return false;
}

void response_send(struct loop *loop, struct conn *conn, const struct response *response)
{
    struct head head;
    if (loop->state != LOOP_SERVING)
        conn->request.keep_alive = false;
    head_begin(&head, loop, conn, response->status,
               response->content_type ? response->content_type : "application/json");
    head_add(&head, "Content-Length: %zu\r\n", response->body_bytes);
    if (response->retry_after_s > 0)
        head_add(&head, "Retry-After: %u\r\n", response->retry_after_s);
    head_add(&head, "%s\r\n", response->headers ? response->headers : "");
    if (!append(loop, conn, head.text, head.count))
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
    response_send(loop, conn,
                  &(struct response){.status = status, .body = body, .body_bytes = (size_t)count});
}

void response_refuse(struct loop *loop, struct conn *conn, int status, const char *text)
{
    loop->metrics.bad_request_count++;
    conn->request.keep_alive = false;
    if (conn->request.id[0] == '\0')
        identity_hex(&loop->identity, conn->request.id);
    response_detail(loop, conn, status, text);
}

void response_stream_head(struct loop *loop, struct conn *conn, const char *content_type)
{
    struct head head;
    if (conn->request.minor == 0 || loop->state != LOOP_SERVING)
        conn->request.keep_alive = false;
    head_begin(&head, loop, conn, 200, content_type);
    head_add(&head, "X-Accel-Buffering: no\r\nCache-Control: no-store\r\n");
    if (conn->request.minor == 1)
        head_add(&head, "Transfer-Encoding: chunked\r\n"
                        "Trailer: Millrace-Run-State, Millrace-Run-Lines\r\n");
    head_add(&head, "\r\n");
    append(loop, conn, head.text, head.count);
}

void response_stream_end(struct loop *loop, struct conn *conn, const char *run_state,
                         uint64_t line_count)
{
    char text[128];
    if (conn->request.minor == 1) {
        int count = snprintf(text, sizeof(text),
                             "0\r\nMillrace-Run-State: %s\r\nMillrace-Run-Lines: %llu\r\n\r\n",
                             run_state, (unsigned long long)line_count);
        if (!append(loop, conn, text, (size_t)count))
            return;
    }
    conn_response_done(loop, conn);
}
