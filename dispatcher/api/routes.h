/* SPDX-License-Identifier: MIT */
/*
 * routes.h - which request goes where: the table of paths, methods and who may.
 */
#ifndef DISPATCHER_ROUTES_H
#define DISPATCHER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct http_head;
struct api;

typedef void route_fn(struct api *api, struct conn *conn, const char *body, size_t bytes);

struct route {
    const char *path; /* all of it; with a trailing '/', what follows is the argument */
    unsigned methods; /* 1 << enum http_method */
    bool needs_token;
    route_fn *handle; /* answers, now or later */
};

/* Understands a head: fills conn->request. True when a body may follow and the handler is to be
 * called with it; false when it was answered already (404, 405, 401, ...). */
bool routes_begin(struct api *api, struct conn *conn, const struct http_head *head);

#endif
