/* SPDX-License-Identifier: MIT */
/* supervisor_devices.c - what becomes of workers when something is told of devices. */
#include <stdio.h>

#include "dispatcher/devices/care.h"
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/supervisor.h"

/* Those that wait for devices wait without a timer. */
static void on_devices_changed(void *owner, enum device_source source)
{
    struct fleet *fleet = owner;
    device_room_learn(fleet, source);
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        struct worker_pool *pool = fleet->pools[i];
        if (!placement_is_of(&pool->config->devices, source))
            continue;
        fleet->ops->counted(fleet->owner, pool);
        supervisor_resize(fleet, pool);
    }
}

static bool devices_has(const struct worker *worker, const struct device *device)
{
    return worker && worker_has_process(worker) && worker->has_device &&
           device_is_same(&worker->device, device);
}

/* Workers that wait for a device may have one now, or see that they have none. */
static void devices_try_again(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        if (device_choice_binds(&fleet->pools[i]->config->devices))
            supervisor_resize(fleet, fleet->pools[i]);
}

static void on_lost(void *owner, const struct device *device, const char *reason)
{
    struct fleet *fleet = owner;
    char text[SCAN_REASON_BYTES + 32];
    snprintf(text, sizeof text, "its device is lost: %s", reason);
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (devices_has(fleet->workers[i], device))
            supervisor_event(fleet, fleet->workers[i], WORKER_EV_DEVICE_LOST, text);
    devices_try_again(fleet);
}

/* Which of its workers it was, nobody can say: none of them takes another run, and those that load
 * begin again. */
static void on_doubted(void *owner, const struct device *device, const char *reason)
{
    struct fleet *fleet = owner;
    char text[SCAN_REASON_BYTES + 32];
    snprintf(text, sizeof text, "its device reported %s", reason);
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!devices_has(worker, device))
            continue;
        if (worker_is_starting(worker)) {
            supervisor_event(fleet, worker, WORKER_EV_DEVICE_LOST, text);
        } else if (worker_serves(worker)) {
            worker->end = WORKER_END_RECYCLED_DEVICE;
            supervisor_event(fleet, worker, WORKER_EV_RETIRE, text);
        }
    }
}

static void on_released(void *owner, const struct device *device)
{
    (void)device;
    devices_try_again(owner);
}

static bool on_is_held(void *owner, const struct device *device)
{
    const struct fleet *fleet = owner;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (devices_has(fleet->workers[i], device))
            return true;
    return false;
}

const struct devices_ops supervisor_devices_ops = {.changed = on_devices_changed,
                                                   .lost = on_lost,
                                                   .doubted = on_doubted,
                                                   .released = on_released,
                                                   .is_held = on_is_held};
