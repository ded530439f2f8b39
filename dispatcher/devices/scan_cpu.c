/* SPDX-License-Identifier: MIT */
/* scan_cpu.c - cores that we may run on, and the memory near them, by hwloc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/hwloc_library.h"
#include "dispatcher/devices/system_root.h"

#define MEMINFO_BYTES 4096u
#define KIB 1024u

/* What a device is made of: a row of objects in the topology. */
struct scan_cpu_shape {
    hwloc_obj_type_t type;
    const char *name;
    bool has_memory;
};

static const struct scan_cpu_shape shape_nodes = {HWLOC_OBJ_NUMANODE, "NUMA node", true};
static const struct scan_cpu_shape shape_cores = {HWLOC_OBJ_CORE, "core", false};

static enum scan_message_kind scan_cpu_look(struct finding *finding,
                                            const struct scan_cpu_shape *shape);

enum scan_message_kind scan_cpu(struct finding *finding)
{
    return scan_cpu_look(finding, &shape_nodes);
}

enum scan_message_kind scan_cpu_cores(struct finding *finding)
{
    return scan_cpu_look(finding, &shape_cores);
}

/* Not of a machine that is in a file: what is free here is not free there. */
static uint64_t scan_cpu_memory_free(unsigned node)
{
    char text[MEMINFO_BYTES], word[64];
    uint64_t kib;
    snprintf(word, sizeof(word), "Node %u MemFree:", node);
    if (getenv("HWLOC_XMLFILE") ||
        system_read(text, sizeof(text), "/sys/devices/system/node/node%u/meminfo", node) < 0 ||
        !system_find_number(text, word, &kib))
        return 0;
    return kib * KIB;
}

static void scan_cpu_add(struct finding *finding, const struct scan_cpu_shape *shape,
                         const struct hwloc_obj *object)
{
    struct device *device = finding_next(finding, DEVICE_CPU);
    if (!device)
        return;
    hwloc_near_fill(device, object->cpuset, object->nodeset);
    unsigned number = shape->has_memory ? object->os_index : object->logical_index;
    snprintf(device->name, sizeof(device->name), "%s %u", shape->name, number);
    if (shape->has_memory) {
        device->memory_bytes = object->attr->numanode.local_memory;
        device->memory_free_bytes = scan_cpu_memory_free(number);
    }
    finding_keep(finding);
}

static enum scan_message_kind scan_cpu_look(struct finding *finding,
                                            const struct scan_cpu_shape *shape)
{
    hwloc_topology_t topology;
    const char *why = hwloc_library_load();
    if (why)
        return finding_no_library(finding, LIBRARY_HWLOC, why);
    int rc = hwloc_machine_load(&topology, false);
    if (rc < 0) {
        finding_say(finding, "hwloc cannot read what this machine is: %s", strerror(-rc));
        return SCAN_FAILED;
    }
    int depth = hwloc_library.get_type_depth(topology, shape->type);
    if (depth == HWLOC_TYPE_DEPTH_UNKNOWN) /* some virtual machines tell of no core */
        depth = hwloc_library.get_type_depth(topology, HWLOC_OBJ_PU);
    unsigned count = hwloc_library.get_nbobjs_by_depth(topology, depth);
    for (unsigned i = 0; i < count; i++) {
        const struct hwloc_obj *object = hwloc_library.get_obj_by_depth(topology, depth, i);
        if (hwloc_library.bitmap_weight(object->cpuset) > 0)
            scan_cpu_add(finding, shape, object);
    }
    hwloc_library.topology_destroy(topology);
    return SCAN_DONE;
}
