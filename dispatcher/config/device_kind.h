/* SPDX-License-Identifier: MIT */
/*
 * device_kind.h - the kinds of devices that workers can have, and their words.
 */
#ifndef DISPATCHER_DEVICE_KIND_H
#define DISPATCHER_DEVICE_KIND_H

#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"

enum device_kind {
    DEVICE_CUDA = 0,   /* of NVIDIA: a GPU, or a slice of one (MIG) */
    DEVICE_HIP,        /* of AMD, with ROCm */
    DEVICE_LEVEL_ZERO, /* of Intel */
    DEVICE_VULKAN,
    DEVICE_OPENCL,
    DEVICE_CPU, /* cores, and the memory near them */
    DEVICE_KIND_COUNT
};

/* "cuda", "hip", "level-zero", "vulkan", "opencl", "cpu". */
const char *device_kind_name(enum device_kind kind);

/* The kind of that name, of so many bytes. -EINVAL: there is none. */
int device_kind_find(const char *text, size_t bytes, enum device_kind *out) MUST_USE;

/* Whether it can be found out which there are; of the others it is said how many. */
static inline bool device_kind_is_found(enum device_kind kind)
{
    return kind != DEVICE_LEVEL_ZERO && kind != DEVICE_OPENCL;
}

#endif
