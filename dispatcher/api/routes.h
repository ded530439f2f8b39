/* SPDX-License-Identifier: MIT */
/*
 * routes.h - which request goes where: the table of paths, methods and who may.
 */
#ifndef DISPATCHER_ROUTES_H
#define DISPATCHER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_syntax.h"

struct conn;
struct http_head;
struct api;

typedef void route_fn(struct api *api, struct conn *conn, const char *body, size_t bytes);

/* Answers with what the head says, whatever its body. */
typedef void route_begin_fn(struct api *api, struct conn *conn, const struct http_head *head);

/* Whoever takes a body as it comes, or sends an answer as it goes: as exchange_ops has them, of
 * connections for which conn->pending is its own. */
struct route_stream {
    bool (*begin)(struct api *api, struct conn *conn, const struct http_head *head);
    int (*body)(struct api *api, struct conn *conn, struct http_text span, bool is_last);
    void (*sent)(struct api *api, struct conn *conn, uint64_t charge);
    void (*gone)(struct api *api, struct conn *conn);
};

/* Whether the query is a signature for this argument: as signed_url.h has it. */
typedef int route_signature_fn(const struct api *api, const char *argument, struct http_text query);

struct route {
    const char *path; /* all of it; with a trailing '/', what follows is the argument */
    unsigned methods; /* 1 << enum http_method */
    bool needs_token;
    /* One of them. */
    route_fn *handle; /* answers, now or later */
    route_begin_fn *answer;
    const struct route_stream *stream;
    route_signature_fn *signature; /* stands for a token; NULL: none does */
};

/* Understands a head: fills conn->request. True when a body may follow and the handler is to be
 * called with it; false when it was answered already (404, 405, 401, ...). */
bool routes_begin(struct api *api, struct conn *conn, const struct http_head *head);

#endif
