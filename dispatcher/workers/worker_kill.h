/* SPDX-License-Identifier: MIT */
/*
 * worker_kill.h - a process is killed, after those were asked who want to know first: MPS, which
 * has others on its device, and the process itself, where it hangs.
 *
 *     worker_kill ──► MPS, MPS_END_MS_MAX at most ──► where, half a second at most ──► SIGKILL
 */
#ifndef DISPATCHER_WORKER_KILL_H
#define DISPATCHER_WORKER_KILL_H

#include <stdbool.h>

struct fleet;
struct worker;

/* Begins it, and says so in the log. Who hangs is asked where, and kills itself when that is
 * said. */
void worker_kill(struct fleet *fleet, struct worker *worker, const char *reason,
                 bool is_asked_where);

/* Its timer, while it is DYING. */
void worker_kill_on_timer(struct fleet *fleet, struct worker *worker);

/* SIGKILL to its process group, without a question. */
void worker_kill_now(const struct worker *worker);

#endif
