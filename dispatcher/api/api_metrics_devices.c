/* SPDX-License-Identifier: MIT */
/* api_metrics_devices.c - the part of GET /metrics that is about devices. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/api_metrics.h"
#include "dispatcher/config/device_kind.h"
#include "dispatcher/devices/care.h"
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/held_devices.h"
#include "dispatcher/workers/placement.h"

/* A family is announced with its first sample: there is none without. */
static void metrics_device_sample(struct exposition *out, const char *name, const char *help,
                                  const char *labels, uint64_t value)
{
    if (!out->name || strcmp(out->name, name) != 0)
        exposition_family(out, name, METRIC_GAUGE, help);
    exposition_sample(out, labels, value);
}

static void metrics_labels_add_device(char labels[LABELS_BYTES_MAX], const struct device *device)
{
    char index[16];
    snprintf(index, sizeof(index), "%" PRIu32, device->index);
    labels_add(labels, "kind", device_kind_name((enum device_kind)device->kind));
    labels_add(labels, "index", index);
}

static bool metrics_number_is_same(const struct device *device, const struct device *other)
{
    return device->kind == other->kind && device->index == other->index;
}

/* Labels of a device by its number alone; false: another one, which is in the list before, has that
 * number too. It may have got it when the first one went, or both are of one kind as cores and NUMA
 * nodes are. */
static bool metrics_labels_of_device(const struct held_devices *devices, uint32_t at,
                                     char labels[LABELS_BYTES_MAX])
{
    for (uint32_t i = 0; i < at; i++)
        if (metrics_number_is_same(devices->list[i], devices->list[at]))
            return false;
    labels[0] = '\0';
    metrics_labels_add_device(labels, devices->list[at]);
    return true;
}

static void metrics_device_infos(const struct held_devices *devices, struct exposition *out)
{
    for (uint32_t i = 0; i < devices->count; i++) {
        const struct device *device = devices->list[i];
        char labels[LABELS_BYTES_MAX] = "";
        metrics_labels_add_device(labels, device);
        labels_add(labels, "uuid", device->uuid);
        labels_add(labels, "name", device->name);
        labels_add(labels, "pci", device->pci);
        metrics_device_sample(out, "millrace_device_info",
                              "1; the labels are what is known of a device.", labels, 1);
    }
}

static void metrics_device_memory(const struct held_devices *devices, struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    for (uint32_t i = 0; i < devices->count; i++)
        if (devices->list[i]->memory_bytes > 0 && metrics_labels_of_device(devices, i, labels))
            metrics_device_sample(out, "millrace_device_memory_bytes", "Memory of a device.",
                                  labels, devices->list[i]->memory_bytes);
    for (uint32_t i = 0; i < devices->count; i++)
        if (devices->list[i]->memory_free_bytes > 0 && metrics_labels_of_device(devices, i, labels))
            metrics_device_sample(out, "millrace_device_memory_free_bytes",
                                  "Of that, what was free at the last look.", labels,
                                  devices->list[i]->memory_free_bytes);
}

/* Of those that are kept for workers there is a line only where that is so. */
static void metrics_device_reserved(const struct fleet *fleet, const struct held_devices *devices,
                                    struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    bool is_any = false;
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        is_any |= device_room_counts(fleet->pools[i]);
    for (uint32_t i = 0; i < devices->count && is_any; i++)
        if (devices->list[i]->memory_bytes > 0 && metrics_labels_of_device(devices, i, labels))
            metrics_device_sample(out, "millrace_device_memory_reserved_bytes",
                                  "Memory of a device that is kept for workers (--device-memory).",
                                  labels, device_room_reserved(fleet, devices->list[i]));
}

static void metrics_device_health(const struct devices *devices, const struct held_devices *held,
                                  struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    for (uint32_t i = 0; i < held->count; i++) {
        const struct device_care *care = care_find(devices, held->list[i]);
        if (metrics_labels_of_device(held, i, labels))
            metrics_device_sample(out, "millrace_device_ok",
                                  "1; 0 while a device is suspect or lost.", labels,
                                  !care || care->state == DEVICE_OK);
    }
    if (held->count > 0)
        exposition_family(out, "millrace_device_losses", METRIC_COUNTER,
                          "Times that a device was lost.");
    for (uint32_t i = 0; i < held->count; i++) {
        const struct device_care *care = care_find(devices, held->list[i]);
        if (metrics_labels_of_device(held, i, labels))
            exposition_sample(out, labels, care ? care->loss_count : 0);
    }
}

static uint64_t metrics_holder_count(const struct fleet *fleet, const struct device *device)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        count += fleet->workers[i] && held_device_is(fleet->workers[i], device);
    return count;
}

/* Of the first device with this number, and of those that have it, too. */
static uint64_t metrics_holder_counts(const struct fleet *fleet, const struct held_devices *devices,
                                      uint32_t first)
{
    const struct device *device = devices->list[first];
    uint64_t count = metrics_holder_count(fleet, device);
    for (uint32_t i = first + 1; i < devices->count; i++)
        if (metrics_number_is_same(devices->list[i], device) &&
            !device_is_same(devices->list[i], device))
            count += metrics_holder_count(fleet, devices->list[i]);
    return count;
}

static void metrics_device_workers(const struct api *api, const struct held_devices *devices,
                                   struct exposition *out)
{
    char labels[LABELS_BYTES_MAX];
    for (uint32_t i = 0; i < devices->count; i++)
        if (metrics_labels_of_device(devices, i, labels))
            metrics_device_sample(out, "millrace_device_workers",
                                  "Worker processes that are bound to a device.", labels,
                                  metrics_holder_counts(api->fleet, devices, i));
    for (uint32_t i = 0; i < api->fleet->worker_count; i++) {
        if (!metrics_labels_of_worker(api, i, labels) || !held_device(api->fleet->workers[i]))
            continue;
        metrics_labels_add_device(labels, held_device(api->fleet->workers[i]));
        metrics_device_sample(out, "millrace_worker_device_info",
                              "1; the labels are the device that a worker's process is bound to.",
                              labels, 1);
    }
}

static void metrics_scan_failures(const struct devices *devices, struct exposition *out)
{
    bool is_announced = false;
    for (enum device_source i = 0; i < DEVICE_SOURCE_COUNT; i++) {
        char labels[LABELS_BYTES_MAX] = "";
        if (!devices->sources[i].is_wanted)
            continue;
        if (!is_announced)
            exposition_family(out, "millrace_device_scan_failures", METRIC_COUNTER,
                              "Looks for devices after which nobody could tell which there are.");
        is_announced = true;
        labels_add(labels, "kind", device_source_name(i));
        exposition_sample(out, labels, devices->sources[i].failure_count);
    }
}

void metrics_devices(const struct api *api, struct exposition *out)
{
    struct held_devices devices;
    if (held_devices_collect(&devices, api->fleet) < 0) {
        out->text.failed = true;
        return;
    }
    metrics_device_infos(&devices, out);
    metrics_device_memory(&devices, out);
    metrics_device_reserved(api->fleet, &devices, out);
    metrics_device_workers(api, &devices, out);
    metrics_device_health(api->fleet->devices, &devices, out);
    held_devices_finish(&devices);
    metrics_scan_failures(api->fleet->devices, out);
}
