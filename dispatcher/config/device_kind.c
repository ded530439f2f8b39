/* SPDX-License-Identifier: MIT */
/* device_kind.c - a word for each kind of device. */
#include "dispatcher/config/device_kind.h"

#include <errno.h>
#include <string.h>

static const char *const names[DEVICE_KIND_COUNT] = {
    [DEVICE_CUDA] = "cuda",     [DEVICE_HIP] = "hip",       [DEVICE_LEVEL_ZERO] = "level-zero",
    [DEVICE_VULKAN] = "vulkan", [DEVICE_OPENCL] = "opencl", [DEVICE_CPU] = "cpu",
};

const char *device_kind_name(enum device_kind kind)
{
    mr_assert(kind < DEVICE_KIND_COUNT);
    return names[kind];
}

int device_kind_find(const char *text, size_t bytes, enum device_kind *out)
{
    for (int i = 0; i < DEVICE_KIND_COUNT; i++) {
        if (strlen(names[i]) != bytes || memcmp(names[i], text, bytes) != 0)
            continue;
        *out = (enum device_kind)i;
        return 0;
    }
    return -EINVAL;
}
