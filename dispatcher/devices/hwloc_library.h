/* SPDX-License-Identifier: MIT */
/*
 * hwloc_library.h - in the scanner: what is used of hwloc, which is loaded then.
 *
 * It reads HWLOC_XMLFILE and the like of itself. The functions that are inline in its header call
 * others by their names, and so are of no use here.
 */
#ifndef DISPATCHER_HWLOC_LIBRARY_H
#define DISPATCHER_HWLOC_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include <hwloc.h>

#include "dispatcher/devices/device.h"
#include "millrace/check.h"

#define LIBRARY_HWLOC "libhwloc.so.15"

/* Its functions under their names without the hwloc_. */
struct hwloc_library {
    __typeof__(hwloc_topology_init) *topology_init;
    __typeof__(hwloc_topology_load) *topology_load;
    __typeof__(hwloc_topology_destroy) *topology_destroy;
    __typeof__(hwloc_topology_set_io_types_filter) *topology_set_io_types_filter;
    __typeof__(hwloc_topology_set_components) *topology_set_components;
    __typeof__(hwloc_get_type_depth) *get_type_depth;
    __typeof__(hwloc_get_nbobjs_by_depth) *get_nbobjs_by_depth;
    __typeof__(hwloc_get_obj_by_depth) *get_obj_by_depth;
    __typeof__(hwloc_bitmap_list_snprintf) *bitmap_list_snprintf;
    __typeof__(hwloc_bitmap_weight) *bitmap_weight;
    __typeof__(hwloc_bitmap_first) *bitmap_first;
};

extern struct hwloc_library hwloc_library;

/* NULL, or why there is none, as words. */
const char *hwloc_library_load(void);

/* The machine, with what is on its buses if that is asked for. 0, and the topology is the caller's;
 * or -errno. */
int hwloc_machine_load(hwloc_topology_t *topology, bool with_buses) MUST_USE;

/* Fills in cores, NUMA nodes and the nearest one, as far as they are known. */
void hwloc_near_fill(struct device *device, hwloc_const_bitmap_t cores, hwloc_const_bitmap_t nodes);

#endif
