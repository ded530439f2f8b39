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

struct devices_column {
    const char *heading;
    bool is_right;
    size_t columns_max;
    void (*write)(char cell[DEVICE_CELL_BYTES], const struct device *device);
};

static void devices_kind_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", device_kind_name((enum device_kind)device->kind));
}

static void devices_index_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%u", device->index);
}

static void devices_name_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", device->name);
}

/* 0 is what is not known. */
static void devices_memory_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    char free_size[CELL_BYTES], size[CELL_BYTES];
    uint64_t bytes = device->memory_bytes, free_bytes = device->memory_free_bytes;
    cell_size(free_size, free_bytes > 0 ? (double)free_bytes : NAN);
    cell_size(size, bytes > 0 ? (double)bytes : NAN);
    if (bytes > 0 || free_bytes > 0)
        snprintf(cell, DEVICE_CELL_BYTES, "%s/%s", free_size, size);
}

static void devices_numa_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    const char *nodes = device->memory_nodes;
    if (device->numa_node >= 0)
        snprintf(cell, DEVICE_CELL_BYTES, "%d", device->numa_node);
    else
        snprintf(cell, DEVICE_CELL_BYTES, "%.*s", (int)DEVICE_CELL_BYTES - 1, nodes);
}

static void devices_cores_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%.*s", (int)DEVICE_CELL_BYTES - 1, device->cores);
}

static void devices_pci_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", device->pci);
}

static void devices_uuid_write(char cell[DEVICE_CELL_BYTES], const struct device *device)
{
    snprintf(cell, DEVICE_CELL_BYTES, "%s", device->uuid);
}

static const struct devices_column columns[] = {
    {"KIND", false, 12, devices_kind_write}, {"INDEX", true, 5, devices_index_write},
    {"NAME", false, 40, devices_name_write}, {"MEMORY", true, 16, devices_memory_write},
    {"NUMA", true, 8, devices_numa_write},   {"CORES", false, 24, devices_cores_write},
    {"PCI", false, 20, devices_pci_write},   {"UUID", false, 96, devices_uuid_write},
};

/* What is not known is a dash. */
static void devices_cell_write(char cell[DEVICE_CELL_BYTES], const struct devices_column *column,
                               const struct device *device)
{
    cell[0] = '\0';
    column->write(cell, device);
    if (cell[0] == '\0')
        snprintf(cell, DEVICE_CELL_BYTES, "-");
}

static size_t devices_column_width(const struct devices_column *column, const struct scan *scans,
                                   size_t count)
{
    size_t most = strlen(column->heading);
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < scans[i].count; k++) {
            char cell[DEVICE_CELL_BYTES];
            devices_cell_write(cell, column, &scans[i].devices[k]);
            size_t width = cells_width(cell);
            most = width > most ? width : most;
        }
    return most < column->columns_max ? most : column->columns_max;
}

/* NULL: the headings. */
static void devices_line_add(struct text *out, const size_t *widths, const struct device *device)
{
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        char cell[DEVICE_CELL_BYTES];
        bool is_last = i + 1 == ARRAY_COUNT(columns);
        if (device)
            devices_cell_write(cell, &columns[i], device);
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

void devices_table_add(struct text *out, const struct scan *scans, size_t count)
{
    size_t widths[ARRAY_COUNT(columns)];
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += scans[i].count;
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++)
        widths[i] = devices_column_width(&columns[i], scans, count);
    if (found > 0)
        devices_line_add(out, widths, NULL);
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < scans[i].count; k++)
            devices_line_add(out, widths, &scans[i].devices[k]);
    for (size_t i = 0; i < count; i++) {
        bool is_told = scans[i].state != SCAN_NONE_HERE || found == 0;
        if (is_told && *scans[i].reason != '\0')
            text_add(out, "%s: %s\n", device_kind_name(scans[i].kind), scans[i].reason);
    }
    if (found == 0)
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

static void devices_device_add(struct text *out, const struct device *device)
{
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

void devices_json_add(struct text *out, const struct scan *scans, size_t count)
{
    const char *comma = "";
    text_add(out, "{\"devices\":[");
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < scans[i].count; k++, comma = ",") {
            text_add(out, "%s", comma);
            devices_device_add(out, &scans[i].devices[k]);
        }
    text_add(out, "],\"kinds\":[");
    for (size_t i = 0; i < count; i++) {
        text_add(out, "%s{\"kind\":\"%s\",\"state\":\"%s\",", i > 0 ? "," : "",
                 device_kind_name(scans[i].kind), devices_state_word(scans[i].state));
        devices_text_add(out, "reason", scans[i].reason);
        text_add(out, "}");
    }
    text_add(out, "]}\n");
}
