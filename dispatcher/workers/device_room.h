/* SPDX-License-Identifier: MIT */
/*
 * device_room.h - memory of devices is kept for the workers of pipelines that say how much they
 * need (--device-memory): room.h, with what is known of devices, workers and pipelines.
 *
 * A worker has its part from before its process is asked for until that is gone. One that finds too
 * little waits; of each pipeline one at a time. Those whose pipeline is needed, and has no process,
 * stand in line: who waits longest is the first. Others take what nobody in line waits for.
 */
#ifndef DISPATCHER_DEVICE_ROOM_H
#define DISPATCHER_DEVICE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/room.h"
#include "millrace/check.h"

/* So old may be what is known of a device's free memory when a worker starts on it. */
#define DEVICE_ROOM_FRESH_MS 1000u
/* While somebody waits it is looked at so often, whatever happens. */
#define DEVICE_ROOM_LOOK_MS 1000u

/* Whether its workers reserve memory. */
bool device_room_counts(const struct worker_pool *pool);

/* Bytes that a worker of it needs on a device. Where that is not known yet, all that it has. */
uint64_t device_room_need(const struct worker_pool *pool, const struct device *device);

/* Bytes that are kept there for processes: of a pipeline, and of all. */
uint64_t device_room_held(const struct worker_pool *pool, const struct device *device);
uint64_t device_room_reserved(const struct fleet *fleet, const struct device *device);

/* When the workers of a pipeline on a device may go for others, by their hold. */
uint64_t device_room_hold_end(const struct worker_pool *pool, const struct device *device);

/* Workers of a pipeline that have their part, and do not go. */
uint32_t device_room_count(const struct worker_pool *pool);

/* Whether a worker stands in line; and whether it does so before another one. */
bool device_room_is_in_line(const struct worker *worker);
bool device_room_is_before(const struct worker *worker, const struct worker *other);

/* The worker of a pipeline that waits for room; NULL: none does. */
struct worker *device_room_waiting(const struct worker_pool *pool);

/* How a worker could get its room on a device. Of a plan that is ROOM_MADE the victims are put into
 * `pools` (NULL: who they are does not matter). */
struct room_plan device_room_plan(const struct fleet *fleet, const struct worker *worker,
                                  const struct device *device,
                                  struct worker_pool *pools[ROOM_TENANT_COUNT_MAX]);

/* Whether the memory that is free there was looked at of late; else it is looked at, and that is
 * told. */
bool device_room_is_fresh(struct fleet *fleet, const struct device *device);

/* Likewise whether what was looked at is what those that are ready by now have left. */
bool device_room_is_seen(struct fleet *fleet, const struct device *device);

/* While somebody waits: what is free may be more by now. */
void device_room_look_again(struct fleet *fleet, const struct device *device);

/* Whether a process of the pipeline fits beside those that are on the worker's device. */
bool device_room_has_beside(const struct fleet *fleet, const struct worker *worker);

/* A worker is about to start on its device: it has its part from now on, until its process is
 * released; or it does not wait any more. */
void device_room_take(struct worker *worker);
void device_room_forget(struct worker *worker);

/* It waits from now on, if it did not before. */
void device_room_wait(struct fleet *fleet, struct worker *worker);

/* It does because there is no room on its device: that is said in the log. */
void device_room_log_wait(struct fleet *fleet, const struct worker *worker);

/* Of those that wait, one of each pipeline, the first one, or the one after `last`; NULL: that was
 * all. */
struct worker *device_room_next(const struct fleet *fleet, const struct worker *last);

/* A run ended on a worker. */
void device_room_note_run(struct fleet *fleet, const struct worker *worker);

/* It was looked how much is free: what workers use is learned where it is not said. */
void device_room_learn(struct fleet *fleet, enum device_source source);

#endif
