/* SPDX-License-Identifier: MIT */
/* control_state.h - GET /control/state: all there is, and how it does. */
#ifndef DISPATCHER_CONTROL_STATE_H
#define DISPATCHER_CONTROL_STATE_H

#include <stddef.h>

struct conn;
struct control;

void control_state(struct control *control, struct conn *conn, const char *body, size_t bytes);

#endif
