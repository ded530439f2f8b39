/* SPDX-License-Identifier: MIT */
/* devices_table.c - the table of `millrace devices`, as wide as what stands in it. */
#include "dispatcher/cli/operate/devices_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/operate/cells.h"
#include "millrace/check.h"

#define DEVICE_CELL_BYTES 128u
#define DEVICE_RESERVED_BYTES (CELL_BYTES + 1)
#define REASON_COLUMNS_MAX 200u

struct devices_column {
    const char *heading;
    bool is_right;
    size_t columns_max;
    void (*write)(char cell[DEVICE_CELL_BYTES], const struct device_row *row);
};

static void devices_kind_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", device_kind_name((enum device_kind)row->device.kind));
}

static void devices_index_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%u", row->device.index);
}

static void devices_name_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", row->device.name);
}

/* 0 is what is not known. */
static void devices_memory_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    const struct device *device = &row->device;
    char free_size[CELL_BYTES], size[CELL_BYTES];
    uint64_t bytes = device->memory_bytes, free_bytes = device->memory_free_bytes;
    cell_size(free_size, free_bytes > 0 ? (double)free_bytes : NAN);
    cell_size(size, bytes > 0 ? (double)bytes : NAN);
    if (bytes > 0 || free_bytes > 0)
        snprintf(cell, DEVICE_CELL_BYTES, "%s/%s", free_size, size);
}

static void devices_numa_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    const struct device *device = &row->device;
    const char *nodes = device->memory_nodes;
    if (device->numa_node >= 0)
        snprintf(cell, DEVICE_CELL_BYTES, "%d", device->numa_node);
    else
        snprintf(cell, DEVICE_CELL_BYTES, "%.*s", (int)DEVICE_CELL_BYTES - 1, nodes);
}

static void devices_cores_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%.*s", (int)DEVICE_CELL_BYTES - 1, row->device.cores);
}

static void devices_pci_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", row->device.pci);
}

static void devices_uuid_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", row->device.uuid);
}

static void devices_health_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", row->live ? row->live->state : "");
}

/* What is kept for a worker, " 4.0G"; "": nothing is. */
static void devices_reserved_write(char cell[DEVICE_RESERVED_BYTES],
                                   const struct live_holder *holder)
{
    char size[CELL_BYTES];
    cell_size(size, holder->reserved_bytes);
    snprintf(cell, DEVICE_RESERVED_BYTES, "%s%s", holder->reserved_bytes > 0 ? " " : "",
             holder->reserved_bytes > 0 ? size : "");
}

/* "me/words:v1 0, me/words:v1 1 4.0G" */
static void devices_workers_write(char cell[DEVICE_CELL_BYTES], const struct device_row *row)
{
    char reserved[DEVICE_RESERVED_BYTES];
    size_t used = 0;
    for (uint32_t i = 0; row->live && i < row->live->holder_count; i++) {
        const struct live_holder *holder = &row->live->holders[i];
        devices_reserved_write(reserved, holder);
        int added = snprintf(cell + used, DEVICE_CELL_BYTES - used, "%s%s %.0f%s",
                             i > 0 ? ", " : "", holder->pipeline, holder->worker, reserved);
        mr_assert(added >= 0);
        used += (size_t)added;
        if (used >= DEVICE_CELL_BYTES)
            return;
    }
}

static const struct devices_column columns[] = {
    {"KIND", false, 12, devices_kind_write},     {"INDEX", true, 5, devices_index_write},
    {"NAME", false, 40, devices_name_write},     {"MEMORY", true, 16, devices_memory_write},
    {"NUMA", true, 8, devices_numa_write},       {"CORES", false, 24, devices_cores_write},
    {"PCI", false, 20, devices_pci_write},       {"UUID", false, 96, devices_uuid_write},
    {"HEALTH", false, 12, devices_health_write}, {"WORKERS", false, 100, devices_workers_write},
};

/* The last two are what a server says. */
#define SERVER_COLUMN_COUNT 2u

static size_t devices_column_count(const struct device_rows *rows)
{
    return ARRAY_COUNT(columns) - (rows->has_server ? 0 : SERVER_COLUMN_COUNT);
}

/* What is not known is a dash. */
static void devices_cell_write(char cell[DEVICE_CELL_BYTES], const struct devices_column *column,
                               const struct device_row *row)
{
    cell[0] = '\0';
    column->write(cell, row);
    if (cell[0] == '\0')
        snprintf(cell, DEVICE_CELL_BYTES, "-");
}

static size_t devices_column_width(const struct devices_column *column,
                                   const struct device_rows *rows)
{
    size_t most = strlen(column->heading);
    for (size_t i = 0; i < rows->count; i++) {
        char cell[DEVICE_CELL_BYTES];
        devices_cell_write(cell, column, &rows->list[i]);
        size_t width = cells_width(cell);
        most = width > most ? width : most;
    }
    return most < column->columns_max ? most : column->columns_max;
}

/* `row` NULL: the headings. */
static void devices_line_add(struct text *out, const size_t *widths, size_t count,
                             const struct device_row *row)
{
    for (size_t i = 0; i < count; i++) {
        char cell[DEVICE_CELL_BYTES];
        bool is_last = i + 1 == count;
        if (row)
            devices_cell_write(cell, &columns[i], row);
        else
            snprintf(cell, sizeof(cell), "%s", columns[i].heading);
        text_add(out, "%s", i > 0 ? "  " : "");
        if (is_last)
            cells_add(out, cell, widths[i]);
        else if (columns[i].is_right)
            cells_add_right(out, cell, widths[i]);
        else
            cells_add_left(out, cell, widths[i]);
    }
    text_add(out, "\n");
}

/* "cuda:2 is lost: GPU is lost" */
static void devices_reason_add(struct text *out, const struct device_row *row)
{
    char name[CELL_BYTES];
    if (!row->live || *row->live->reason == '\0')
        return;
    cell_device(name, row->live->kind, row->live->index);
    text_add(out, "%s is ", name);
    cells_add(out, row->live->state, REASON_COLUMNS_MAX);
    text_add(out, ": ");
    cells_add(out, row->live->reason, REASON_COLUMNS_MAX);
    text_add(out, "\n");
}

void devices_table_add(struct text *out, const struct device_rows *rows, const struct scan *scans,
                       size_t scan_count)
{
    size_t widths[ARRAY_COUNT(columns)], count = devices_column_count(rows);
    for (size_t i = 0; i < count; i++)
        widths[i] = devices_column_width(&columns[i], rows);
    if (rows->count > 0)
        devices_line_add(out, widths, count, NULL);
    for (size_t i = 0; i < rows->count; i++)
        devices_line_add(out, widths, count, &rows->list[i]);
    for (size_t i = 0; i < rows->count; i++)
        devices_reason_add(out, &rows->list[i]);
    for (size_t i = 0; i < scan_count; i++) {
        bool is_told = scans[i].state != SCAN_NONE_HERE || rows->count == 0;
        if (is_told && *scans[i].reason != '\0')
            text_add(out, "%s: %s\n", device_kind_name(scans[i].kind), scans[i].reason);
    }
    if (rows->count == 0)
        text_add(out, "no devices were found\n");
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void devices_text_add(struct text *out, const char *key, const char *value)
{
    text_add(out, "\"%s\":", key);
    if (*value != '\0')
        text_add_json(out, value, strlen(value));
    else
        text_add(out, "null");
}

static void devices_number_add(struct text *out, const char *key, uint64_t number, bool is_known)
{
    if (is_known)
        text_add(out, "\"%s\":%" PRIu64, key, number);
    else
        text_add(out, "\"%s\":null", key);
}

static void devices_nodes_add(struct text *out, const char *nodes)
{
    text_add(out, "\"nodes\":[");
    for (const char *at = nodes; *at != '\0';) {
        size_t bytes = strcspn(at, ":");
        text_add_json(out, at, bytes);
        at += bytes;
        if (*at == ':') {
            text_add(out, ",");
            at++;
        }
    }
    text_add(out, "]");
}

/* A number of a server, which is whole. */
static void devices_whole_add(struct text *out, const char *key, double number)
{
    devices_number_add(out, key, number >= 0 && number < 0x1p63 ? (uint64_t)number : 0,
                       number >= 0 && number < 0x1p63);
}

/* What a server says. Where it does not know the device, nothing is known. */
static void devices_live_add(struct text *out, const struct live_device *live)
{
    text_add(out, ",");
    devices_text_add(out, "state", live ? live->state : "");
    text_add(out, ",");
    devices_text_add(out, "reason", live ? live->reason : "");
    text_add(out, ",");
    devices_whole_add(out, "memory_reserved_bytes", live ? live->memory_reserved_bytes : -1);
    text_add(out, ",\"workers\":[");
    for (uint32_t i = 0; live && i < live->holder_count; i++) {
        text_add(out, "%s{", i > 0 ? "," : "");
        devices_text_add(out, "pipeline", live->holders[i].pipeline);
        text_add(out, ",");
        devices_whole_add(out, "worker", live->holders[i].worker);
        text_add(out, ",");
        devices_whole_add(out, "pid", live->holders[i].pid);
        if (live->holders[i].reserved_bytes > 0) {
            text_add(out, ",");
            devices_whole_add(out, "reserved_bytes", live->holders[i].reserved_bytes);
        }
        text_add(out, "}");
    }
    text_add(out, "]");
}

static void devices_device_add(struct text *out, const struct device_row *row, bool has_server)
{
    const struct device *device = &row->device;
    text_add(out, "{\"kind\":\"%s\",\"index\":%u,",
             device_kind_name((enum device_kind)device->kind), device->index);
    devices_text_add(out, "uuid", device->uuid);
    text_add(out, ",");
    devices_text_add(out, "name", device->name);
    text_add(out, ",");
    devices_text_add(out, "pci", device->pci);
    text_add(out, ",");
    devices_text_add(out, "parent", device->parent);
    text_add(out, ",");
    devices_number_add(out, "numa_node", (uint64_t)device->numa_node, device->numa_node >= 0);
    text_add(out, ",");
    devices_text_add(out, "memory_nodes", device->memory_nodes);
    text_add(out, ",");
    devices_text_add(out, "cores", device->cores);
    text_add(out, ",");
    devices_number_add(out, "core_count", device->core_count, device->core_count > 0);
    text_add(out, ",");
    devices_number_add(out, "memory_bytes", device->memory_bytes, device->memory_bytes > 0);
    text_add(out, ",");
    devices_number_add(out, "memory_free_bytes", device->memory_free_bytes,
                       device->memory_free_bytes > 0);
    text_add(out, ",");
    devices_nodes_add(out, device->nodes);
    if (has_server)
        devices_live_add(out, row->live);
    text_add(out, "}");
}

static const char *devices_state_word(enum scan_state state)
{
    static const char *const words[SCAN_STATE_COUNT] = {
        [SCAN_ALL_FOUND] = "found",
        [SCAN_NONE_HERE] = "absent",
        [SCAN_UNKNOWN] = "failed",
    };
    mr_assert(words[state]);
    return words[state];
}

void devices_json_add(struct text *out, const struct device_rows *rows, const struct scan *scans,
                      size_t scan_count)
{
    text_add(out, "{\"devices\":[");
    for (size_t i = 0; i < rows->count; i++) {
        text_add(out, "%s", i > 0 ? "," : "");
        devices_device_add(out, &rows->list[i], rows->has_server);
    }
    text_add(out, "],\"kinds\":[");
    for (size_t i = 0; i < scan_count; i++) {
        text_add(out, "%s{\"kind\":\"%s\",\"state\":\"%s\",", i > 0 ? "," : "",
                 device_kind_name(scans[i].kind), devices_state_word(scans[i].state));
        devices_text_add(out, "reason", scans[i].reason);
        text_add(out, "}");
    }
    text_add(out, "]}\n");
}
