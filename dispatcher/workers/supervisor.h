/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - starts workers, hears them, and reclaims what they leave: the actions of
 * worker_fsm.
 */
#ifndef DISPATCHER_SUPERVISOR_H
#define DISPATCHER_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/reactor/uring.h"
#include "dispatcher/workers/fleet.h"

/* One event of the table. `reason` is one phrase for the log and, where runs are lost, for
 * clients. */
void supervisor_event(struct fleet *fleet, struct worker *worker, enum worker_event event,
                      const char *reason);

/* A worker loads no more: those that wait for that look whether they may. */
void supervisor_loads_go_on(struct fleet *fleet);

/* Starts a process in this place, or has it tried again soon. */
void supervisor_start_or_wait(struct fleet *fleet, struct worker *worker);

/* A run of the worker is over, and its slot given back: it may have served long enough, or, as the
 * policy for how the run ended says, the worker or its device are not to be used any more. */
void supervisor_run_over(struct fleet *fleet, struct worker *worker, enum device_policy policy);

/* Completions and timers. */
void supervisor_on_pidfd(struct fleet *fleet, const struct uring_event *event);
void supervisor_on_socket(struct fleet *fleet, const struct uring_event *event);
void supervisor_on_timer(struct fleet *fleet, struct worker *worker);

/* Asks every worker without runs to stop, or kills all of them. */
void supervisor_stop_idle(struct fleet *fleet);
void supervisor_kill_all(struct fleet *fleet);

/* ---- supervisor_devices.c ------------------------------------------------------------------ */

/* Of a fleet, which is the owner: workers that wait for a device are started, those on one that is
 * lost are ended. */
extern const struct devices_ops supervisor_devices_ops;

/* ---- supervisor_resize.c ------------------------------------------------------------------- */

/* Starts all places that are wanted. */
void supervisor_start(struct fleet *fleet);

/* After pool_resize(): starts what is new, lets go what is not wanted any more. */
void supervisor_resize(struct fleet *fleet, struct worker_pool *pool);

/* While fleet->is_shrinking, once something has moved and outside of events: lets those go that
 * could not be told before, and gives back places that have become vacant. */
void supervisor_trim(struct fleet *fleet);

/* Kills whom worker_distrust() named. */
void supervisor_judge(struct fleet *fleet);

/* Places with a process, with one that was asked for, or with the last words of one. */
uint32_t supervisor_live_count(const struct fleet *fleet);

/* ---- supervisor_room.c --------------------------------------------------------------------- */

/* Those that wait for memory of a device, or lack one, start if they can, in their order. Whether
 * some still cannot is fleet->is_crowded then. */
void supervisor_try_waiting(struct fleet *fleet);

#endif
