/* SPDX-License-Identifier: MIT */
/* supervisor_room.c - workers that wait for memory of devices are tried, in their order. */
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/supervisor.h"

/* It lacks a device, maybe since others stay there. */
static bool room_is_lacking(const struct worker *worker)
{
    return worker && worker->lacks_device && !worker->is_surplus && worker->state == WORKER_EMPTY &&
           device_room_counts(worker->pool);
}

static void room_try(struct fleet *fleet, struct worker *worker)
{
    if (worker->timer.position == 0)
        supervisor_start_or_wait(fleet, worker);
}

/* One that still lacks a device has not moved anything: else it would be tried again at once, and
 * again. */
static void room_try_lacking(struct fleet *fleet, struct worker *worker)
{
    bool has_moved = fleet->room_has_moved;
    room_try(fleet, worker);
    if (room_is_lacking(worker))
        fleet->room_has_moved = has_moved;
}

static bool room_is_crowded(const struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (room_is_lacking(fleet->workers[i]))
            return true;
    return device_room_next(fleet, NULL) != NULL;
}

void supervisor_try_waiting(struct fleet *fleet)
{
    const struct worker *last = NULL;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (room_is_lacking(fleet->workers[i]))
            room_try_lacking(fleet, fleet->workers[i]);
    /* Bounded by the pools: each has one that is before its others. */
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        struct worker *worker = device_room_next(fleet, last);
        if (!worker)
            break;
        room_try(fleet, worker);
        if (worker->room_since_ms != 0)
            last = worker; /* else it is started, or lacks a device */
    }
    fleet->is_crowded = room_is_crowded(fleet);
}
