/* SPDX-License-Identifier: MIT */
/* control_devices.c - devices as JSON, with the workers that hold them. */
#include "dispatcher/control/control_devices.h"

#include <inttypes.h>
#include <string.h>

#include "dispatcher/config/device_kind.h"
#include "dispatcher/devices/care.h"
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/held_devices.h"

static const char *const knowledge_names[DEVICE_KNOWLEDGE_COUNT] = {
    [DEVICES_UNKNOWN] = "unknown",
    [DEVICES_FOUND] = "found",
    [DEVICES_ABSENT] = "absent",
    [DEVICES_FAILED] = "failed",
};

static void control_text_add(struct text *text, const char *key, const char *value)
{
    text_add(text, ",\"%s\":", key);
    if (*value != '\0')
        text_add_json(text, value, strlen(value));
    else
        text_add(text, "null");
}

static void control_bytes_add(struct text *text, const char *key, uint64_t bytes)
{
    if (bytes > 0)
        text_add(text, ",\"%s\":%" PRIu64, key, bytes);
    else
        text_add(text, ",\"%s\":null", key);
}

/* How the device is, in a word; and why, "" where nothing happened to it. */
static const char *control_device_state(const struct devices *devices, const struct device *device,
                                        const char **reason)
{
    const struct device_care *care = care_find(devices, device);
    *reason = care ? care->reason : "";
    return device_state_name(care ? care->state : DEVICE_OK);
}

static void control_holders_add(const struct fleet *fleet, struct text *text,
                                const struct device *device)
{
    const char *comma = "";
    text_add(text, ",\"workers\":[");
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        const struct worker *worker = fleet->workers[i];
        if (!worker || !held_device_is(worker, device))
            continue;
        text_add(text, "%s{\"pipeline\":\"%s\",\"worker\":%u,\"pid\":%d", comma,
                 worker->pool->config->pointer, worker->number, (int)worker->pid);
        if (worker->reserved_bytes > 0)
            control_bytes_add(text, "reserved_bytes", worker->reserved_bytes);
        text_add(text, "}");
        comma = ",";
    }
    text_add(text, "]");
}

static void control_device_add(const struct fleet *fleet, struct text *text,
                               const struct device *device)
{
    const char *reason;
    const char *state = control_device_state(fleet->devices, device, &reason);
    text_add(text, "{\"kind\":\"%s\",\"index\":%" PRIu32,
             device_kind_name((enum device_kind)device->kind), device->index);
    control_text_add(text, "uuid", device->uuid);
    control_text_add(text, "name", device->name);
    control_text_add(text, "pci", device->pci);
    control_text_add(text, "parent", device->parent);
    if (device->numa_node >= 0)
        text_add(text, ",\"numa_node\":%" PRId32, device->numa_node);
    else
        text_add(text, ",\"numa_node\":null");
    control_text_add(text, "cores", device->cores);
    control_bytes_add(text, "memory_bytes", device->memory_bytes);
    control_bytes_add(text, "memory_free_bytes", device->memory_free_bytes);
    text_add(text, ",\"memory_reserved_bytes\":%" PRIu64, device_room_reserved(fleet, device));
    control_text_add(text, "state", state);
    control_text_add(text, "reason", reason);
    control_holders_add(fleet, text, device);
    text_add(text, "}");
}

static void control_sources_add(const struct devices *devices, struct text *text)
{
    const char *comma = "";
    text_add(text, ",\"device_sources\":[");
    for (enum device_source i = 0; i < DEVICE_SOURCE_COUNT; i++) {
        const struct devices_source *source = &devices->sources[i];
        if (!source->is_wanted)
            continue;
        text_add(text, "%s{\"kind\":\"%s\",\"state\":\"%s\"", comma, device_source_name(i),
                 knowledge_names[source->knowledge]);
        control_text_add(text, "reason", source->reason);
        text_add(text, "}");
        comma = ",";
    }
    text_add(text, "]");
}

void control_devices_format(const struct fleet *fleet, struct text *text)
{
    struct held_devices devices;
    if (held_devices_collect(&devices, fleet) < 0) {
        text->failed = true;
        return;
    }
    text_add(text, ",\"devices\":[");
    for (uint32_t i = 0; i < devices.count; i++) {
        text_add(text, "%s", i > 0 ? "," : "");
        control_device_add(fleet, text, devices.list[i]);
    }
    text_add(text, "]");
    held_devices_finish(&devices);
    control_sources_add(fleet->devices, text);
}
