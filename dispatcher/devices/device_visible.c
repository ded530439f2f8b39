/* SPDX-License-Identifier: MIT */
/* device_visible.c - lists of devices in variables. */
#include "dispatcher/devices/device_visible.h"

#include <stdlib.h>
#include <string.h>

static bool visible_is_number(const char *item, size_t bytes)
{
    return bytes > 0 && strspn(item, "0123456789") >= bytes;
}

bool device_list_has(const char *list, const struct device *device)
{
    if (!list)
        return true;
    while (*list != '\0') {
        list += strspn(list, " ");
        size_t bytes = strcspn(list, ", ");
        bool is_number = visible_is_number(list, bytes);
        if (is_number && strtoul(list, NULL, 10) == device->index)
            return true;
        if (!is_number && (bytes < 4 || list[3] != '-'))
            return false;
        if (!is_number && strncmp(list, device->uuid, bytes) == 0)
            return true;
        list += bytes;
        list += strspn(list, " ");
        if (*list != ',')
            return false;
        list++;
    }
    return false;
}

bool device_is_visible(const struct device *device)
{
    if (device->kind == DEVICE_CUDA)
        return device_list_has(getenv("CUDA_VISIBLE_DEVICES"), device);
    if (device->kind == DEVICE_HIP)
        return device_list_has(getenv("ROCR_VISIBLE_DEVICES"), device) &&
               device_list_has(getenv("HIP_VISIBLE_DEVICES"), device);
    return true;
}
