/* SPDX-License-Identifier: MIT */
/* control_logs.c - lines of the log for those who look at it. */
#include "dispatcher/control/control_logs.h"

#include <stdio.h>

#include "dispatcher/control/control.h"
#include "dispatcher/http/response.h"
#include "dispatcher/text/text.h"

/* What may wait for one who follows, before lines wait in the tail instead. */
#define FOLLOW_BYTES_MAX (64u * 1024)

static void logs_append(struct control *control, struct conn *conn, const char *bytes, size_t count)
{
    bool is_chunked = conn->request.minor == 1;
    if (out_append(&control->front.out, &conn->out, bytes, count, is_chunked) < 0)
        conn_doom(&control->front, conn);
    else
        conn_mark_dirty(&control->front, conn);
}

static void logs_whole(struct control *control, struct conn *conn)
{
    struct text text = {0};
    uint64_t lost, position = log_tail_begin(&control->tail);
    const char *bytes;
    for (size_t count; (count = log_tail_read(&control->tail, &position, &bytes, &lost)) > 0;
         position += count)
        text_add_bytes(&text, bytes, count);
    response_text(&control->front, conn, 200, "text/plain; charset=utf-8", &text);
}

void control_logs_answer(struct control *control, struct conn *conn, bool does_follow)
{
    if (!does_follow || control->front.is_draining) {
        logs_whole(control, conn);
        return;
    }
    struct control_follow *follow = control->follows;
    while (follow->conn)
        follow++; /* there are as many as connections */
    mr_assert(follow < &control->follows[CONTROL_CONN_COUNT]);
    *follow = (struct control_follow){.conn = conn, .position = log_tail_begin(&control->tail)};
    control->follow_count++;
    conn->pending = follow;
    char headers[64];
    snprintf(headers, sizeof headers, "Millrace-Log-Bytes: %llu\r\n",
             (unsigned long long)(control->tail.end - follow->position));
    response_follow_head(&control->front, conn, "text/plain; charset=utf-8", headers);
}

static void logs_send_to(struct control *control, struct control_follow *follow)
{
    struct conn *conn = follow->conn;
    const char *bytes;
    char left_out[80];
    uint64_t lost;
    while (conn->state == CONN_RESPONDING && conn->out.bytes < FOLLOW_BYTES_MAX) {
        size_t count = log_tail_read(&control->tail, &follow->position, &bytes, &lost);
        if (lost > 0) {
            snprintf(left_out, sizeof left_out, "millrace: %llu bytes of the log were left out\n",
                     (unsigned long long)lost);
            logs_append(control, conn, left_out, strlen(left_out));
        }
        if (count == 0)
            return;
        count = count < FOLLOW_BYTES_MAX ? count : FOLLOW_BYTES_MAX;
        logs_append(control, conn, bytes, count);
        follow->position += count;
    }
}

void control_logs_send(struct control *control)
{
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++)
        if (control->follows[i].conn)
            logs_send_to(control, &control->follows[i]);
}

bool control_logs_forget(struct control *control, const struct conn *conn)
{
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++) {
        struct control_follow *follow = &control->follows[i];
        if (follow->conn != conn)
            continue;
        *follow = (struct control_follow){.conn = NULL};
        control->follow_count--;
        return true;
    }
    return false;
}
