/* SPDX-License-Identifier: MIT */
/*
 * scan_kfd.c - AMD's GPUs for ROCm, as the kernel's amdkfd tells of them; no library is asked.
 *
 * Each node of its topology is a processor; those with SIMD units are GPUs, in the order that ROCm
 * counts them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/system_root.h"

#define TOPOLOGY "/sys/class/kfd/kfd/topology"
#define NODE_COUNT_MAX 1024u
#define BANK_COUNT_MAX 64u
#define PROPERTIES_BYTES 4096u /* of a file in sysfs, at most */

/* Kernel, drivers/gpu/drm/amd/amdkfd/kfd_crat.h: heaps that are the GPU's own. */
enum { HEAP_FB_PUBLIC = 1, HEAP_FB_PRIVATE = 2 };

/* 0 of what it does not say. */
static uint64_t scan_kfd_number(const char *properties, const char *word)
{
    uint64_t number = 0;
    return system_find_number(properties, word, &number) ? number : 0;
}

/* location_id has bus, device and function, as the bus itself numbers them. */
static void scan_kfd_place_fill(struct device *device, const char *properties)
{
    uint64_t location = scan_kfd_number(properties, "location_id");
    snprintf(device->pci, sizeof(device->pci), "%04x:%02x:%02x.%x",
             (unsigned)scan_kfd_number(properties, "domain"), (unsigned)(location >> 8) & 0xff,
             (unsigned)(location >> 3) & 0x1f, (unsigned)location & 0x7);
    uint64_t minor = scan_kfd_number(properties, "drm_render_minor");
    if (minor > 0 && minor < UINT32_MAX)
        snprintf(device->nodes, sizeof(device->nodes), "/dev/kfd:/dev/dri/renderD%u",
                 (unsigned)minor);
    else
        snprintf(device->nodes, sizeof(device->nodes), "/dev/kfd");
}

/* The name of the product is not in it; that of the architecture is, or its number. */
static void scan_kfd_name_fill(struct device *device, const char *properties, unsigned node)
{
    char name[DEVICE_NAME_BYTES];
    unsigned target = (unsigned)scan_kfd_number(properties, "gfx_target_version");
    if (system_read(name, sizeof(name), TOPOLOGY "/nodes/%u/name", node) == 0 && *name != '\0')
        device_text_copy(device->name, sizeof(device->name), name, sizeof(name));
    else if (target > 0)
        snprintf(device->name, sizeof(device->name), "gfx%u%x%x", target / 10000,
                 target / 100 % 100, target % 100);
}

static void scan_kfd_memory_fill(struct device *device, unsigned node)
{
    char bank[PROPERTIES_BYTES];
    uint64_t used, total;
    for (unsigned i = 0; i < BANK_COUNT_MAX; i++) {
        if (system_read(bank, sizeof(bank), TOPOLOGY "/nodes/%u/mem_banks/%u/properties", node, i) <
            0)
            break;
        uint64_t heap = scan_kfd_number(bank, "heap_type");
        if (heap == HEAP_FB_PUBLIC || heap == HEAP_FB_PRIVATE)
            device->memory_bytes += scan_kfd_number(bank, "size_in_bytes");
    }
    if (system_read_number(&total, "/sys/bus/pci/devices/%s/mem_info_vram_total", device->pci) &&
        system_read_number(&used, "/sys/bus/pci/devices/%s/mem_info_vram_used", device->pci))
        device->memory_free_bytes = total > used ? total - used : 0;
}

static void scan_kfd_gpu_add(struct finding *finding, const char *properties, unsigned node)
{
    struct device *device = finding_next(finding, DEVICE_HIP);
    if (!device)
        return;
    uint64_t unique = scan_kfd_number(properties, "unique_id");
    if (unique != 0)
        snprintf(device->uuid, sizeof(device->uuid), "GPU-%016" PRIx64, unique);
    scan_kfd_place_fill(device, properties);
    scan_kfd_name_fill(device, properties, node);
    scan_kfd_memory_fill(device, node);
    finding_keep(finding);
}

/* False: there is no such node. One that a device cgroup keeps from us cannot be read, and is none
 * of ours; ROCm leaves it out, too. */
static bool scan_kfd_node_look(struct finding *finding, unsigned node)
{
    static char properties[PROPERTIES_BYTES];
    uint64_t id;
    int rc = system_read(properties, sizeof(properties), TOPOLOGY "/nodes/%u/properties", node);
    if (rc == -ENOENT)
        return false;
    if (rc < 0 && rc != -EPERM)
        finding_say(finding, "node %u cannot be read: %s", node, strerror(-rc));
    if (rc == 0 && scan_kfd_number(properties, "simd_count") > 0 &&
        system_read_number(&id, TOPOLOGY "/nodes/%u/gpu_id", node) && id != 0)
        scan_kfd_gpu_add(finding, properties, node);
    return true;
}

enum scan_message_kind scan_kfd(struct finding *finding)
{
    unsigned node = 0;
    while (node < NODE_COUNT_MAX && scan_kfd_node_look(finding, node))
        node++;
    if (finding->count > 0 || *finding->reason != '\0')
        return SCAN_DONE;
    if (node == 0)
        finding_say(finding, "the kernel has no amdkfd: there is no " TOPOLOGY);
    else
        finding_say(finding, "the kernel's amdkfd knows no GPU");
    return SCAN_ABSENT;
}
