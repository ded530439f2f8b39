/* SPDX-License-Identifier: MIT */
/*
 * scan_nvml.c - NVIDIA's GPUs and slices of them (MIG), by its management library.
 *
 * The library is never told that this is over: the process ends then, and a driver that hangs would
 * hang once more.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/nvml_library.h"
#include "dispatcher/devices/system_root.h"
#include "millrace/check.h"

#define NAME_BYTES 96u
#define SLICE_COUNT_MAX 64u /* of a GPU; there are 7 */
#define MINORS_BYTES 65536u
#define PROCESS_COUNT_MAX 64u /* of a device */

/* What is of a GPU as a whole, and so of its slices. */
struct nvml_gpu {
    struct nvml_device *device;
    unsigned index;
    unsigned minor;
    bool has_minor;
    char uuid[DEVICE_UUID_BYTES];
    char pci[DEVICE_PCI_BYTES];
};

static enum scan_message_kind scan_nvml_load(struct finding *finding);
static void scan_nvml_gpu_add(struct finding *finding, unsigned index);
static void scan_nvml_whole_add(struct finding *finding, const struct nvml_gpu *gpu);
static bool scan_nvml_is_sliced(const struct nvml_gpu *gpu);
static void scan_nvml_slices_add(struct finding *finding, const struct nvml_gpu *gpu);

enum scan_message_kind scan_nvml(struct finding *finding)
{
    unsigned count = 0;
    enum scan_message_kind loaded = scan_nvml_load(finding);
    if (loaded != SCAN_DONE)
        return loaded;
    int error = nvml.count(&count);
    if (error != NVML_SUCCESS) {
        finding_say(finding, "cannot count the GPUs: %s", nvml_words(error));
        return SCAN_FAILED;
    }
    if (count == 0) {
        finding_say(finding, "NVIDIA's driver knows no GPU");
        return SCAN_ABSENT;
    }
    for (unsigned i = 0; i < count && i < DEVICE_COUNT_MAX; i++)
        scan_nvml_gpu_add(finding, i);
    return SCAN_DONE;
}

static enum scan_message_kind scan_nvml_load(struct finding *finding)
{
    const char *why = nvml_library_load();
    if (why)
        return finding_no_library(finding, LIBRARY_NVML, why);
    int error = nvml.init();
    if (error == NVML_SUCCESS)
        return SCAN_DONE;
    finding_say(finding, "NVIDIA's driver: %s", nvml_words(error));
    return error == NVML_ERROR_DRIVER_NOT_LOADED ? SCAN_ABSENT : SCAN_FAILED;
}

/* Bounded, whatever the library wrote. */
static int scan_nvml_uuid(struct nvml_device *device, char uuid[DEVICE_UUID_BYTES])
{
    int error = nvml.uuid(device, uuid, DEVICE_UUID_BYTES);
    uuid[error == NVML_SUCCESS ? DEVICE_UUID_BYTES - 1 : 0] = '\0';
    return error;
}

/* One that cannot be asked, since it fell off its bus, hides no other. */
static void scan_nvml_gpu_add(struct finding *finding, unsigned index)
{
    struct nvml_gpu gpu = {.index = index};
    struct nvml_pci pci = {0};
    int error = nvml.handle(index, &gpu.device);
    if (error == NVML_SUCCESS)
        error = scan_nvml_uuid(gpu.device, gpu.uuid);
    if (error != NVML_SUCCESS) {
        finding_say(finding, "GPU %u cannot be used: %s", index, nvml_words(error));
        return;
    }
    if (nvml.pci && nvml.pci(gpu.device, &pci) == NVML_SUCCESS)
        snprintf(gpu.pci, sizeof(gpu.pci), "%04x:%02x:%02x.0", pci.domain, pci.bus & 0xff,
                 pci.device & 0xff);
    gpu.has_minor = nvml.minor && nvml.minor(gpu.device, &gpu.minor) == NVML_SUCCESS;
    if (scan_nvml_is_sliced(&gpu))
        scan_nvml_slices_add(finding, &gpu);
    else
        scan_nvml_whole_add(finding, &gpu);
}

/* ---- one device ---------------------------------------------------------------------------- */

/* Adds a node with that number. All or nothing: half a path would be another file. */
static void scan_nvml_node_add(struct device *device, const char *path, unsigned number)
{
    size_t used = strlen(device->nodes);
    int bytes = snprintf(device->nodes + used, DEVICE_NODES_BYTES - used, ":%s%u", path, number);
    if (bytes < 0 || (size_t)bytes >= DEVICE_NODES_BYTES - used)
        device->nodes[used] = '\0';
}

/* What is asked of a GPU and of a slice alike. */
static void scan_nvml_device_fill(struct device *out, struct nvml_device *device,
                                  const struct nvml_gpu *gpu)
{
    struct nvml_memory memory = {0};
    char name[NAME_BYTES] = "";
    if (nvml.name(device, name, sizeof(name)) == NVML_SUCCESS)
        device_text_copy(out->name, sizeof(out->name), name, sizeof(name));
    if (nvml.memory(device, &memory) == NVML_SUCCESS) {
        out->memory_bytes = memory.total;
        out->memory_free_bytes = memory.free;
    }
    memcpy(out->pci, gpu->pci, sizeof(out->pci));
    snprintf(out->nodes, sizeof(out->nodes), "%s",
             "/dev/nvidiactl:/dev/nvidia-uvm:/dev/nvidia-uvm-tools");
    if (gpu->has_minor)
        scan_nvml_node_add(out, "/dev/nvidia", gpu->minor);
}

/* What processes use of a device that is about to be kept. More than fit are not told at all. */
static void scan_nvml_uses_add(struct finding *finding, struct nvml_device *device)
{
    struct nvml_process processes[PROCESS_COUNT_MAX];
    unsigned count = PROCESS_COUNT_MAX;
    if (!nvml.processes || nvml.processes(device, &count, processes) != NVML_SUCCESS)
        return;
    for (unsigned i = 0; i < count && i < PROCESS_COUNT_MAX; i++)
        if (finding->use_count < SCAN_USE_COUNT_MAX && processes[i].used != ULLONG_MAX)
            finding->uses[finding->use_count++] = (struct device_use){
                .index = finding->count, .pid = processes[i].pid, .bytes = processes[i].used};
}

static void scan_nvml_whole_add(struct finding *finding, const struct nvml_gpu *gpu)
{
    struct device *device = finding_next(finding, DEVICE_CUDA);
    if (!device)
        return;
    memcpy(device->uuid, gpu->uuid, sizeof(device->uuid));
    scan_nvml_device_fill(device, gpu->device, gpu);
    scan_nvml_uses_add(finding, gpu->device);
    finding_keep(finding);
}

/* ---- slices -------------------------------------------------------------------------------- */

static bool scan_nvml_is_sliced(const struct nvml_gpu *gpu)
{
    unsigned current = 0, pending;
    return nvml.mig_mode && nvml.slice_count_max && nvml.slice &&
           nvml.mig_mode(gpu->device, &current, &pending) == NVML_SUCCESS &&
           current == NVML_DEVICE_MIG_ENABLE;
}

/* Who uses a slice opens a file of each of its instances, too: "gpu0/gi7/ci0/access 68" in that
 * list is /dev/nvidia-caps/nvidia-cap68. */
static void scan_nvml_caps_add(struct device *out, struct nvml_device *slice,
                               const struct nvml_gpu *gpu)
{
    static char minors[MINORS_BYTES];
    char lines[2][64];
    unsigned whole, part;
    uint64_t minor;
    if (!gpu->has_minor || !nvml.gpu_instance || !nvml.compute_instance ||
        nvml.gpu_instance(slice, &whole) != NVML_SUCCESS ||
        nvml.compute_instance(slice, &part) != NVML_SUCCESS ||
        system_read(minors, sizeof(minors), "/proc/driver/nvidia-caps/mig-minors") < 0)
        return;
    snprintf(lines[0], sizeof(lines[0]), "gpu%u/gi%u/access", gpu->minor, whole);
    snprintf(lines[1], sizeof(lines[1]), "gpu%u/gi%u/ci%u/access", gpu->minor, whole, part);
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++)
        if (system_find_number(minors, lines[i], &minor))
            scan_nvml_node_add(out, "/dev/nvidia-caps/nvidia-cap", (unsigned)minor);
}

static bool scan_nvml_slice_add(struct finding *finding, const struct nvml_gpu *gpu,
                                unsigned number)
{
    struct nvml_device *slice;
    char uuid[DEVICE_UUID_BYTES];
    if (nvml.slice(gpu->device, number, &slice) != NVML_SUCCESS)
        return false; /* numbers have gaps */
    int error = scan_nvml_uuid(slice, uuid);
    if (error != NVML_SUCCESS) {
        finding_say(finding, "a slice of GPU %u cannot be used: %s", gpu->index, nvml_words(error));
        return true;
    }
    struct device *device = finding_next(finding, DEVICE_CUDA);
    if (!device)
        return true;
    memcpy(device->uuid, uuid, sizeof(device->uuid));
    memcpy(device->parent, gpu->uuid, sizeof(device->parent));
    scan_nvml_device_fill(device, slice, gpu);
    scan_nvml_caps_add(device, slice, gpu);
    scan_nvml_uses_add(finding, slice);
    finding_keep(finding);
    return true;
}

/* Each slice is a device; the GPU that they are of is none, since nobody can use all of it. */
static void scan_nvml_slices_add(struct finding *finding, const struct nvml_gpu *gpu)
{
    unsigned count_max = 0;
    bool has_any = false;
    int error = nvml.slice_count_max(gpu->device, &count_max);
    if (error != NVML_SUCCESS) {
        finding_say(finding, "the slices of GPU %u cannot be counted: %s", gpu->index,
                    nvml_words(error));
        return;
    }
    for (unsigned i = 0; i < count_max && i < SLICE_COUNT_MAX; i++)
        has_any = scan_nvml_slice_add(finding, gpu, i) || has_any;
    if (!has_any)
        finding_say(finding, "GPU %u is to be sliced (MIG), and has no slice", gpu->index);
}
