/* SPDX-License-Identifier: MIT */
/*
 * scan_place.c - cores and memory near a device on a PCI bus: by hwloc, which knows more, or as the
 * kernel says it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/hwloc_library.h"
#include "dispatcher/devices/system_root.h"

/* ---- as hwloc sees it ---------------------------------------------------------------------- */

static bool scan_place_has_pci(const struct hwloc_obj *object, const struct device *device)
{
    char pci[DEVICE_PCI_BYTES];
    const struct hwloc_pcidev_attr_s *at = &object->attr->pcidev;
    snprintf(pci, sizeof(pci), "%04x:%02x:%02x.%x", at->domain, at->bus, at->dev, at->func);
    return *device->pci != '\0' && strcmp(pci, device->pci) == 0;
}

/* A slice is where its GPU is. */
static bool scan_place_has_uuid(const struct hwloc_obj *object, const struct device *device)
{
    const char *uuid = *device->parent != '\0' ? device->parent : device->uuid;
    for (unsigned i = 0; *uuid != '\0' && i < object->infos_count; i++)
        if (strcmp(object->infos[i].name, "NVIDIAUUID") == 0)
            return strcmp(object->infos[i].value, uuid) == 0;
    return false;
}

static const struct hwloc_obj *
scan_place_find(hwloc_topology_t topology, int depth, const struct device *device,
                bool (*is_it)(const struct hwloc_obj *, const struct device *))
{
    unsigned count = hwloc_library.get_nbobjs_by_depth(topology, depth);
    for (unsigned i = 0; i < count; i++) {
        const struct hwloc_obj *object = hwloc_library.get_obj_by_depth(topology, depth, i);
        if (is_it(object, device))
            return object;
    }
    return NULL;
}

/* What is on a bus has no cores of its own; what the bus hangs on has. */
static bool scan_place_by_topology(hwloc_topology_t topology, struct device *device)
{
    const struct hwloc_obj *object =
        scan_place_find(topology, HWLOC_TYPE_DEPTH_PCI_DEVICE, device, scan_place_has_pci);
    if (!object)
        object = scan_place_find(topology, HWLOC_TYPE_DEPTH_OS_DEVICE, device, scan_place_has_uuid);
    while (object && !object->cpuset)
        object = object->parent;
    if (!object)
        return false;
    hwloc_near_fill(device, object->cpuset, object->nodeset);
    return true;
}

/* ---- as the kernel says it ----------------------------------------------------------------- */

static void scan_place_by_files(struct device *device)
{
    char cores[DEVICE_LIST_BYTES];
    uint64_t node;
    if (*device->pci == '\0')
        return;
    if (system_read(cores, sizeof(cores), "/sys/bus/pci/devices/%s/local_cpulist", device->pci) ==
            0 &&
        strlen(cores) < sizeof(cores) - 1) {
        device->core_count = device_list_count(cores);
        if (device->core_count > 0)
            memcpy(device->cores, cores, sizeof(device->cores));
    }
    /* It is -1 where there is one node only. */
    if (system_read_number(&node, "/sys/bus/pci/devices/%s/numa_node", device->pci) &&
        node <= INT32_MAX) {
        device->numa_node = (int32_t)node;
        snprintf(device->memory_nodes, sizeof(device->memory_nodes), "%d", device->numa_node);
    }
}

void scan_place(struct finding *finding)
{
    hwloc_topology_t topology;
    /* Of a system in a folder hwloc would put on all its cores what it finds on no others. */
    bool is_elsewhere = system_root() && !getenv("HWLOC_XMLFILE");
    bool has_topology = finding->count > 0 && !is_elsewhere && !hwloc_library_load() &&
                        hwloc_machine_load(&topology, true) == 0;
    for (uint32_t i = 0; i < finding->count; i++)
        if (!has_topology || !scan_place_by_topology(topology, &finding->devices[i]))
            scan_place_by_files(&finding->devices[i]);
    if (has_topology)
        hwloc_library.topology_destroy(topology);
}
