/* SPDX-License-Identifier: MIT */
/* watch_nvml.c - NVML's events, one after the other. */
#include "dispatcher/devices/watch_nvml.h"

#include <stdbool.h>
#include <stddef.h>

#include "dispatcher/devices/nvml_library.h"
#include "dispatcher/devices/xid.h"

#define WAIT_MS 60000u

/* Of those that cannot be watched, others can. */
static unsigned watch_nvml_ask(struct nvml_event_set *events)
{
    unsigned count = 0, asked_count = 0;
    struct nvml_device *device;
    if (nvml.count(&count) != NVML_SUCCESS)
        return 0;
    for (unsigned i = 0; i < count && i < DEVICE_COUNT_MAX; i++)
        asked_count += nvml.handle(i, &device) == NVML_SUCCESS &&
                       nvml.events_ask(device, NVML_EVENT_XID | NVML_EVENT_DOUBLE_BIT_ECC,
                                       events) == NVML_SUCCESS;
    return asked_count;
}

static bool watch_nvml_begin(struct nvml_event_set **events)
{
    return !nvml_library_load() && nvml.events_make && nvml.events_ask && nvml.events_wait &&
           nvml.init() == NVML_SUCCESS && nvml.events_make(events) == NVML_SUCCESS &&
           watch_nvml_ask(*events) > 0;
}

void watch_nvml(void (*say)(const char uuid[DEVICE_UUID_BYTES], uint32_t number))
{
    struct nvml_event_set *events;
    if (!watch_nvml_begin(&events))
        return;
    for (;;) {
        struct nvml_event event = {0};
        char uuid[DEVICE_UUID_BYTES] = "";
        int error = nvml.events_wait(events, &event, WAIT_MS);
        if (error == NVML_ERROR_TIMEOUT)
            continue;
        if (error != NVML_SUCCESS)
            return;
        if (nvml.uuid(event.device, uuid, DEVICE_UUID_BYTES) != NVML_SUCCESS)
            continue;
        uuid[DEVICE_UUID_BYTES - 1] = '\0';
        say(uuid, event.type == NVML_EVENT_XID ? (uint32_t)event.data : XID_DOUBLE_BIT_ECC);
    }
}
