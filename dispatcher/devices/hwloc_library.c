/* SPDX-License-Identifier: MIT */
/* hwloc_library.c - the table of hwloc's functions, and the machine as it sees it. */
#include "dispatcher/devices/hwloc_library.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "dispatcher/devices/system_root.h"
#include "dispatcher/reactor/library.h"

struct hwloc_library hwloc_library;

static const struct library_function functions[] = {
#define FUNCTION(name)                                                                             \
    {                                                                                              \
        "hwloc_" #name, offsetof(struct hwloc_library, name)                                       \
    }
    FUNCTION(topology_init),       FUNCTION(topology_load),
    FUNCTION(topology_destroy),    FUNCTION(topology_set_io_types_filter),
    FUNCTION(get_type_depth),      FUNCTION(topology_set_components),
    FUNCTION(get_nbobjs_by_depth), FUNCTION(get_obj_by_depth),
    FUNCTION(bitmap_weight),       FUNCTION(bitmap_list_snprintf),
    FUNCTION(bitmap_first),
#undef FUNCTION
};

/* Parts of hwloc that ask drivers, which one of the other scanners does. */
static const char *const drivers[] = {"cuda", "nvml", "rsmi", "levelzero", "opencl", "gl"};

const char *hwloc_library_load(void)
{
    const char *root = system_root();
    /* What it would complain of goes to the server's stderr, which is its log. */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    /* It takes that for a system that is not ours. */
    if (root && !getenv("HWLOC_XMLFILE"))
        setenv("HWLOC_FSROOT", root, 0);
    return library_load(LIBRARY_HWLOC, functions, ARRAY_COUNT(functions), &hwloc_library);
}

int hwloc_machine_load(hwloc_topology_t *topology, bool with_buses)
{
    if (hwloc_library.topology_init(topology) == -1)
        return -ENOMEM;
    /* What is not there need not be left out. */
    for (size_t i = 0; i < ARRAY_COUNT(drivers); i++)
        (void)hwloc_library.topology_set_components(
            *topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, drivers[i]);
    enum hwloc_type_filter_e filter =
        with_buses ? HWLOC_TYPE_FILTER_KEEP_ALL : HWLOC_TYPE_FILTER_KEEP_NONE;
    errno = 0;
    if (hwloc_library.topology_set_io_types_filter(*topology, filter) == 0 &&
        hwloc_library.topology_load(*topology) == 0)
        return 0;
    int rc = errno != 0 ? -errno : -EIO;
    hwloc_library.topology_destroy(*topology);
    return rc;
}

/* A list that does not fit would be another one when it is cut. */
static void hwloc_list_write(char list[DEVICE_LIST_BYTES], hwloc_const_bitmap_t bitmap)
{
    int bytes = hwloc_library.bitmap_list_snprintf(list, DEVICE_LIST_BYTES, bitmap);
    if (bytes < 0 || bytes >= (int)DEVICE_LIST_BYTES)
        list[0] = '\0';
}

void hwloc_near_fill(struct device *device, hwloc_const_bitmap_t cores, hwloc_const_bitmap_t nodes)
{
    hwloc_list_write(device->cores, cores);
    device->core_count = device_list_count(device->cores);
    hwloc_list_write(device->memory_nodes, nodes);
    if (hwloc_library.bitmap_weight(nodes) == 1)
        device->numa_node = hwloc_library.bitmap_first(nodes);
}
