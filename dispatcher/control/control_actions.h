/* SPDX-License-Identifier: MIT */
/* control_actions.h - what operators tell a server: the handlers of POST /control/... */
#ifndef DISPATCHER_CONTROL_ACTIONS_H
#define DISPATCHER_CONTROL_ACTIONS_H

#include <stddef.h>

struct conn;
struct control;

void control_reload(struct control *control, struct conn *conn, const char *body, size_t bytes);
void control_check(struct control *control, struct conn *conn, const char *body, size_t bytes);
void control_drain(struct control *control, struct conn *conn, const char *body, size_t bytes);
void control_resume(struct control *control, struct conn *conn, const char *body, size_t bytes);
void control_scale(struct control *control, struct conn *conn, const char *body, size_t bytes);
void control_restart(struct control *control, struct conn *conn, const char *body, size_t bytes);
void control_stop(struct control *control, struct conn *conn, const char *body, size_t bytes);

/* Who waits for a renewal that has ended is answered. */
void control_renewal_check(struct control *control);

#endif
