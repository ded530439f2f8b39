/* SPDX-License-Identifier: MIT */
/* nvml_library.c - the table of NVML's functions. */
#include "dispatcher/devices/nvml_library.h"

#include <stddef.h>
#include <stdio.h>

#include "dispatcher/reactor/library.h"
#include "millrace/check.h"

struct nvml_library nvml;

#define FUNCTION(place, name)                                                                      \
    {                                                                                              \
        "nvml" name, offsetof(struct nvml_library, place)                                          \
    }
static const struct library_function needed[] = {
    FUNCTION(init, "Init_v2"),
    FUNCTION(init, "Init"),
    FUNCTION(count, "DeviceGetCount_v2"),
    FUNCTION(count, "DeviceGetCount"),
    FUNCTION(handle, "DeviceGetHandleByIndex_v2"),
    FUNCTION(handle, "DeviceGetHandleByIndex"),
    FUNCTION(uuid, "DeviceGetUUID"),
    FUNCTION(name, "DeviceGetName"),
    FUNCTION(memory, "DeviceGetMemoryInfo"),
};
static const struct library_function others[] = {
    FUNCTION(error_string, "ErrorString"),
    FUNCTION(pci, "DeviceGetPciInfo_v3"),
    FUNCTION(pci, "DeviceGetPciInfo_v2"),
    FUNCTION(pci, "DeviceGetPciInfo"),
    FUNCTION(minor, "DeviceGetMinorNumber"),
    FUNCTION(mig_mode, "DeviceGetMigMode"),
    FUNCTION(slice_count_max, "DeviceGetMaxMigDeviceCount"),
    FUNCTION(slice, "DeviceGetMigDeviceHandleByIndex"),
    FUNCTION(gpu_instance, "DeviceGetGpuInstanceId"),
    FUNCTION(compute_instance, "DeviceGetComputeInstanceId"),
    FUNCTION(processes, "DeviceGetComputeRunningProcesses_v3"),
    FUNCTION(processes, "DeviceGetComputeRunningProcesses_v2"),
    FUNCTION(events_make, "EventSetCreate"),
    FUNCTION(events_ask, "DeviceRegisterEvents"),
    FUNCTION(events_wait, "EventSetWait_v2"),
    FUNCTION(events_wait, "EventSetWait"),
};
#undef FUNCTION

const char *nvml_library_load(void)
{
    const char *why = library_load(LIBRARY_NVML, needed, ARRAY_COUNT(needed), &nvml);
    return why ? why : library_load_some(LIBRARY_NVML, others, ARRAY_COUNT(others), &nvml);
}

const char *nvml_words(int error)
{
    static char number[32];
    const char *words = nvml.error_string ? nvml.error_string(error) : NULL;
    snprintf(number, sizeof(number), "error %d", error);
    return words ? words : number;
}
