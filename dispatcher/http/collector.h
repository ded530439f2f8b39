/* SPDX-License-Identifier: MIT */
/*
 * collector.h - a whole body, for who wants it whole: spans of it are kept in the connection. One
 * that comes in one piece is handed on without a copy.
 */
#ifndef DISPATCHER_COLLECTOR_H
#define DISPATCHER_COLLECTOR_H

#include <stdbool.h>

#include "dispatcher/http/http_syntax.h"
#include "dispatcher/reactor/body.h"
#include "millrace/check.h"

struct conn;
struct front;

/* Takes a span. With the last one the body is `whole`, which lives as long as the span and what is
 * kept; without bytes when it is in the file of conn->body. 0, -ENOMEM or -ENOBUFS. */
int collector_take(struct front *front, struct conn *conn, struct http_text span, bool is_last,
                   struct http_text *whole) MUST_USE;

/* Moves what is kept of a body that is `whole` into `out`, the rest is copied. 0, -ENOMEM or
 * -ENOBUFS; then nothing was moved. */
int collector_move(struct front *front, struct conn *conn, struct http_text whole,
                   struct body *out) MUST_USE;

/* Gives back what is kept. */
void collector_drop(struct front *front, struct conn *conn);

#endif
