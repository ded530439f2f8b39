/* SPDX-License-Identifier: MIT */
/* device_rows.c - each device once, whoever knows it. */
#include "dispatcher/cli/operate/device_rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of one that is counted nothing is known but its number. */
static bool device_row_is(const struct device_row *row, const struct live_device *live)
{
    const struct device *device = &row->device;
    if (row->live || strcmp(device_kind_name((enum device_kind)device->kind), live->kind) != 0)
        return false;
    if (*live->uuid != '\0')
        return strcmp(device->uuid, live->uuid) == 0;
    return (double)device->index == live->index &&
           (*live->name == '\0' || strcmp(device->name, live->name) == 0);
}

static uint64_t device_row_bytes(double bytes)
{
    return bytes >= 0 && bytes < 0x1p63 ? (uint64_t)bytes : 0;
}

static void device_row_text(char *out, size_t room, const char *text)
{
    device_text_copy(out, room, text, strlen(text));
}

/* False: it is none that this program knows. */
static bool device_row_fill(struct device_row *row, const struct live_device *live)
{
    struct device *device = &row->device;
    enum device_kind kind;
    if (device_kind_find(live->kind, strlen(live->kind), &kind) < 0 ||
        !(live->index >= 0 && live->index < DEVICE_COUNT_MAX))
        return false;
    *row = (struct device_row){.live = live};
    device->kind = kind;
    device->index = (uint32_t)live->index;
    device->numa_node =
        live->numa_node >= 0 && live->numa_node < 0x1p31 ? (int)live->numa_node : -1;
    device->memory_bytes = device_row_bytes(live->memory_bytes);
    device->memory_free_bytes = device_row_bytes(live->memory_free_bytes);
    device_row_text(device->uuid, sizeof device->uuid, live->uuid);
    device_row_text(device->name, sizeof device->name, live->name);
    device_row_text(device->pci, sizeof device->pci, live->pci);
    device_row_text(device->parent, sizeof device->parent, live->parent);
    device_row_text(device->cores, sizeof device->cores, live->cores);
    device->core_count = device_list_count(device->cores);
    return true;
}

static void device_rows_join(struct device_rows *rows, const struct live_device *live)
{
    for (size_t i = 0; i < rows->count; i++)
        if (device_row_is(&rows->list[i], live)) {
            rows->list[i].live = live;
            return;
        }
    rows->count += device_row_fill(&rows->list[rows->count], live);
}

int device_rows_make(struct device_rows *out, const struct scan *scans, size_t scan_count,
                     const struct live_state *live)
{
    size_t room = live ? live->device_count : 0;
    for (size_t i = 0; i < scan_count; i++)
        room += scans[i].count;
    struct device_rows rows = {.has_server = live != NULL};
    rows.list = calloc(room + 1, sizeof *rows.list); /* of no bytes it may be NULL */
    if (!rows.list)
        return -ENOMEM;
    for (size_t i = 0; i < scan_count; i++)
        for (uint32_t k = 0; k < scans[i].count; k++)
            rows.list[rows.count++].device = scans[i].devices[k];
    for (uint32_t i = 0; live && i < live->device_count; i++)
        device_rows_join(&rows, &live->devices[i]);
    *out = rows;
    return 0;
}

void device_rows_finish(struct device_rows *rows)
{
    free(rows->list);
    *rows = (struct device_rows){0};
}
