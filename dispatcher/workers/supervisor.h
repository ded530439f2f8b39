/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - starts workers, hears them, and reclaims what they leave: the actions of
 * worker_fsm.
 */
#ifndef DISPATCHER_SUPERVISOR_H
#define DISPATCHER_SUPERVISOR_H

#include "dispatcher/reactor/log.h"
#include "dispatcher/reactor/uring.h"
#include "dispatcher/workers/worker.h"

/* Starts all places. */
void supervisor_start(struct loop *loop);

/* One event of the table. `reason` is one phrase for the log and, where runs are lost, for clients.
 */
void supervisor_event(struct loop *loop, struct worker *worker, enum worker_event event,
                      const char *reason);

/* The place in which a successor of the worker can start beside it; NULL: there is none now. */
struct worker *supervisor_spare(struct loop *loop, const struct worker *worker);

/* The worker's last active run is over; one that retires has its grace to exit from now on. */
void supervisor_last_run_ended(struct loop *loop, struct worker *worker);

/* Completions. */
void supervisor_on_pidfd(struct loop *loop, const struct uring_event *event);
void supervisor_on_socket(struct loop *loop, const struct uring_event *event);
void supervisor_on_output(struct loop *loop, const struct uring_event *event);
void supervisor_on_output_timer(struct loop *loop, struct output *output);
void supervisor_on_timer(struct loop *loop, struct worker *worker);
void supervisor_on_spawner(struct loop *loop, const struct uring_event *event);
void supervisor_on_spawner_timer(struct loop *loop);

/* Asks every worker without runs to stop, or kills all of them. */
void supervisor_stop_idle(struct loop *loop);
void supervisor_kill_all(struct loop *loop);

/* Closes what a place still holds when the loop has ended; nothing may be with the kernel. */
void supervisor_abandon(struct worker *worker);

/* Places with a process, with one that was asked for, or with the last words of one. */
uint32_t supervisor_live_count(const struct loop *loop);

/* A line user code printed, into the log within the rate bound. */
void supervisor_log_output(struct loop *loop, struct worker *worker, enum log_level level,
                           const char *run_id, const char *stream, const char *text, size_t count);

/* Logs how many lines of each worker were left out since the last time. */
void supervisor_say_suppressed(struct loop *loop);

#endif
