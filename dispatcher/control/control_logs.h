/* SPDX-License-Identifier: MIT */
/* control_logs.h - GET /control/logs: the last lines of the log, and those that come. */
#ifndef DISPATCHER_CONTROL_LOGS_H
#define DISPATCHER_CONTROL_LOGS_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct control;

/* Of a connection that follows; conn NULL: a free one. */
struct control_follow {
    struct conn *conn;
    uint64_t position; /* in the tail of the log: what is to be sent next */
};

/* Answers a request: all there is, or also what will come. */
void control_logs_answer(struct control *control, struct conn *conn, bool does_follow);

/* Sends what has come to all who follow; what one of them does not read in time is left out. */
void control_logs_send(struct control *control);

/* Its connection is gone. False: it is none that follows. */
bool control_logs_forget(struct control *control, const struct conn *conn);

#endif
