/* SPDX-License-Identifier: MIT */
/* collector.c - spans of a body put together. */
#include "dispatcher/http/collector.h"

#include "dispatcher/http/conn.h"
#include "dispatcher/http/front.h"

static int collector_append(struct front *front, struct conn *conn, struct http_text span);

int collector_take(struct front *front, struct conn *conn, struct http_text span, bool is_last,
                   struct http_text *whole)
{
    if (is_last && conn->body.kept.bytes == 0) {
        *whole = span;
        return 0;
    }
    int rc = span.bytes > 0 ? collector_append(front, conn, span) : 0;
    *whole = (struct http_text){conn->body.kept.data, conn->body.kept.bytes};
    return rc;
}

int collector_move(struct front *front, struct conn *conn, struct http_text whole, struct body *out)
{
    int rc = conn->body.kept.bytes == 0 ? collector_append(front, conn, whole) : 0;
    if (rc < 0)
        return rc;
    *out = conn->body;
    conn->body = (struct body){0};
    return 0;
}

void collector_drop(struct front *front, struct conn *conn)
{
    body_drop(&conn->body, front->input);
}

static int collector_append(struct front *front, struct conn *conn, struct http_text span)
{
    return body_append(&conn->body, front->input, span.data, span.bytes,
                       front->config->body_bytes_max);
}
