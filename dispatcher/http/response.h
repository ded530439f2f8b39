/* SPDX-License-Identifier: MIT */
/*
 * response.h - heads and complete answers (RFC 9110, 9112).
 */
#ifndef DISPATCHER_RESPONSE_H
#define DISPATCHER_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct front;
struct text;

struct response {
    int status;
    const char *content_type; /* NULL: application/json */
    const char *headers;      /* further lines, each ending in CRLF; NULL: none */
    const char *body;
    size_t body_bytes;
    uint32_t retry_after_s; /* 0: no such header */
};

/* A whole answer with Content-Length (its body left out for HEAD). Keep-alive goes on unless the
 * connection must close. */
void response_send(struct front *front, struct conn *conn, const struct response *response);

/* The head alone of an answer whose body, of `body_bytes`, follows in conn->out by hand, and then
 * conn_response_done(); none of 204 and 304. What `response` says of a body is not looked at. The
 * connection may be doomed afterwards. */
void response_head(struct front *front, struct conn *conn, const struct response *response,
                   uint64_t body_bytes);

/* An answer whose body is `text`, which is given back; 503 when memory for it failed. */
void response_text(struct front *front, struct conn *conn, int status, const char *content_type,
                   struct text *text);

/* Likewise with further lines of the head, as in struct response. */
void response_text_with(struct front *front, struct conn *conn, int status,
                        const char *content_type, const char *headers, struct text *text);

/* {"detail":"text"}\n; text needs no escaping. Counted as a refusal. */
void response_detail(struct front *front, struct conn *conn, int status, const char *text);

/* Likewise for a request whose framing is lost: closes afterwards. */
void response_refuse(struct front *front, struct conn *conn, int status, const char *text);

/* Likewise 503 for a request that there is no memory for; to be counted by the caller. */
void response_overload(struct front *front, struct conn *conn);

/* The head of a stream: chunked with HTTP/1.1, ended by close with HTTP/1.0. `headers` as in struct
 * response. */
void response_stream_head(struct front *front, struct conn *conn, const char *content_type,
                          const char *headers);

/* Likewise of an answer that goes on for as long as its client reads; `headers` are lines with
 * CRLF. */
void response_follow_head(struct front *front, struct conn *conn, const char *content_type,
                          const char *headers);

/* The end of a stream: the terminal chunk and its trailers. */
void response_stream_end(struct front *front, struct conn *conn, const char *run_state,
                         uint64_t line_count);

const char *response_reason(int status);

#endif
