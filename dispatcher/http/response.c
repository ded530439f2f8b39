/* SPDX-License-Identifier: MIT */
/* response.c - heads and complete answers. */
#include "dispatcher/http/response.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/http/conn.h"
#include "dispatcher/http/front.h"
#include "dispatcher/text/put.h"
#include "dispatcher/text/text.h"

#define HEAD_BYTES_MAX 4096u

static void response_begin_head(struct put *head, const struct front *front,
                                const struct conn *conn, int status, const char *content_type);
static void response_count(struct front *front, struct conn *conn, int status);
static bool response_append(struct front *front, struct conn *conn, const char *bytes,
                            size_t count);

/* A switch and not a table: statuses are sparse, and the compiler sees a missing one. */
const char *response_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 304:
        return "Not Modified";
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
    case 416:
        return "Range Not Satisfiable";
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
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

/* These have no body, and say nothing of one (RFC 9110, 8.6 and 15.4.5). */
static bool response_is_bare(int status)
{
    return status == 204 || status == 304;
}

void response_head(struct front *front, struct conn *conn, const struct response *response,
                   uint64_t body_bytes)
{
    char text[HEAD_BYTES_MAX];
    struct put head = PUT_INTO(text);
    const bool is_bare = response_is_bare(response->status);
    const char *type = response->content_type ? response->content_type : "application/json";
    if (front->is_draining)
        conn->request.keep_alive = false;
    response_count(front, conn, response->status);
    response_begin_head(&head, front, conn, response->status, is_bare ? NULL : type);
    if (!is_bare) {
        PUT(&head, "Content-Length: ");
        put_number(&head, body_bytes);
        PUT(&head, "\r\n");
    }
    if (response->retry_after_s > 0) {
        PUT(&head, "Retry-After: ");
        put_number(&head, response->retry_after_s);
        PUT(&head, "\r\n");
    }
    if (response->headers)
        put_text(&head, response->headers);
    PUT(&head, "\r\n");
    if (!conn_answer_fits(front, conn, (size_t)(head.at - text) + response->body_bytes)) {
        front_count_refusal(front, REQUEST_REFUSAL_MEMORY);
        conn_doom(front, conn);
        return;
    }
    response_append(front, conn, text, (size_t)(head.at - text));
}

void response_send(struct front *front, struct conn *conn, const struct response *response)
{
    response_head(front, conn, response, response->body_bytes);
    if (conn->state == CONN_DOOMED)
        return;
    if (conn->request.method != HTTP_HEAD && response->body_bytes > 0 &&
        !response_append(front, conn, response->body, response->body_bytes))
        return;
    conn_response_done(front, conn);
}

void response_text(struct front *front, struct conn *conn, int status, const char *content_type,
                   struct text *text)
{
    response_text_with(front, conn, status, content_type, NULL, text);
}

void response_text_with(struct front *front, struct conn *conn, int status,
                        const char *content_type, const char *headers, struct text *text)
{
    if (text->failed)
        response_detail(front, conn, 503, "Out of memory.");
    else
        response_send(front, conn,
                      &(struct response){.status = status,
                                         .content_type = content_type,
                                         .headers = headers,
                                         .body = text->bytes,
                                         .body_bytes = text->count});
    text_finish(text);
}

void response_detail(struct front *front, struct conn *conn, int status, const char *text)
{
    char body[512];
    int count = snprintf(body, sizeof body, "{\"detail\":\"%s\"}\n", text);
    mr_assert(count > 0 && (size_t)count < sizeof body);
    front_count_refusal(front, request_refusal_of_status(status));
    response_send(front, conn,
                  &(struct response){.status = status, .body = body, .body_bytes = (size_t)count});
}

void response_refuse(struct front *front, struct conn *conn, int status, const char *text)
{
    conn->request.keep_alive = false;
    if (conn->request.id[0] == '\0')
        identity_hex(&front->reactor->identity, conn->request.id);
    response_detail(front, conn, status, text);
}

void response_overload(struct front *front, struct conn *conn)
{
    static const char body[] = "{\"detail\":\"No memory for this request now.\"}\n";
    conn->request.keep_alive = false;
    if (conn->request.id[0] == '\0')
        identity_hex(&front->reactor->identity, conn->request.id);
    response_send(
        front, conn,
        &(struct response){
            .status = 503, .body = body, .body_bytes = sizeof body - 1, .retry_after_s = 1});
}

/* `framed` are lines with CRLF that go with chunked framing, `headers` (NULL: none) in any case. */
static void response_open_head(struct front *front, struct conn *conn, const char *content_type,
                               const char *headers, const char *framed)
{
    char text[HEAD_BYTES_MAX];
    struct put head = PUT_INTO(text);
    if (conn->request.minor == 0 || front->is_draining)
        conn->request.keep_alive = false;
    response_count(front, conn, 200);
    response_begin_head(&head, front, conn, 200, content_type);
    PUT(&head, "X-Accel-Buffering: no\r\nCache-Control: no-store\r\n");
    if (conn->request.minor == 1) {
        PUT(&head, "Transfer-Encoding: chunked\r\n");
        put_text(&head, framed);
    } else {
        conn_unframed(conn);
    }
    if (headers)
        put_text(&head, headers);
    PUT(&head, "\r\n");
    response_append(front, conn, text, (size_t)(head.at - text));
}

void response_stream_head(struct front *front, struct conn *conn, const char *content_type,
                          const char *headers)
{
    response_open_head(front, conn, content_type, headers,
                       "Trailer: Millrace-Run-State, Millrace-Run-Lines\r\n");
}

void response_follow_head(struct front *front, struct conn *conn, const char *content_type,
                          const char *headers)
{
    response_open_head(front, conn, content_type, headers, "");
}

void response_stream_end(struct front *front, struct conn *conn, const char *run_state,
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
        if (!response_append(front, conn, text, (size_t)(end.at - text)))
            return;
    }
    conn_response_done(front, conn);
}

static void response_begin_head(struct put *head, const struct front *front,
                                const struct conn *conn, int status, const char *content_type)
{
    PUT(head, "HTTP/1.1 ");
    put_number(head, (uint64_t)status);
    PUT(head, " ");
    put_text(head, response_reason(status));
    PUT(head, "\r\nDate: ");
    put_text(head, front->reactor->date_text);
    PUT(head, "\r\nServer: millrace");
    if (content_type) {
        PUT(head, "\r\nContent-Type: ");
        put_text(head, content_type);
    }
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
    if (front->config->cors.count > 0)
        put_text(head, cors_lines(&front->config->cors, conn->request.page));
}

static void response_count(struct front *front, struct conn *conn, int status)
{
    conn->request.status = status;
    mr_assert(status >= RESPONSE_STATUS_MIN);
    mr_assert(status < RESPONSE_STATUS_MIN + RESPONSE_STATUS_COUNT);
    front->counts.responses[status - RESPONSE_STATUS_MIN]++;
}

/* Memory for responses is bounded; a connection that finds none is closed, which its client can
 * tell from an answer. */
static bool response_append(struct front *front, struct conn *conn, const char *bytes, size_t count)
{
    if (out_append(&front->out, &conn->out, bytes, count, false) == 0)
        return true;
    log_event(&front->reactor->log, LEVEL_ERROR, "output_memory_exhausted",
              LOG_NATURAL("conn", conn->index));
    conn_doom(front, conn);
    return false;
}
