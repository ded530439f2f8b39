/* SPDX-License-Identifier: MIT */
/* held_devices.c - what the registry has, and what workers hold besides. */
#include "dispatcher/workers/held_devices.h"

#include <errno.h>
#include <stdlib.h>

#include "dispatcher/workers/placement.h"

const struct device *held_device(const struct worker *worker)
{
    return worker->has_device && worker_has_process(worker) ? &worker->device : NULL;
}

bool held_device_is(const struct worker *worker, const struct device *device)
{
    const struct device *held = held_device(worker);
    return held && device_is_same(held, device);
}

static bool held_devices_have(const struct held_devices *devices, const struct device *device)
{
    for (uint32_t i = 0; i < devices->count; i++)
        if (device_is_same(devices->list[i], device))
            return true;
    return false;
}

int held_devices_collect(struct held_devices *out, const struct fleet *fleet)
{
    const struct devices_source *sources = fleet->devices->sources;
    uint32_t room = fleet->worker_count + 1; /* of calloc() 0 may be NULL */
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        room += sources[i].count;
    struct held_devices devices = {.list = calloc(room, sizeof(*devices.list))};
    if (!devices.list)
        return -ENOMEM;
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        for (uint32_t k = 0; k < sources[i].count; k++)
            devices.list[devices.count++] = &sources[i].found[k];
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        const struct worker *worker = fleet->workers[i];
        const struct device *device = worker ? held_device(worker) : NULL;
        if (device && !held_devices_have(&devices, device))
            devices.list[devices.count++] = device;
    }
    *out = devices;
    return 0;
}

void held_devices_finish(struct held_devices *devices)
{
    free(devices->list);
    *devices = (struct held_devices){0};
}
