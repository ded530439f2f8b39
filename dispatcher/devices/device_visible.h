/* SPDX-License-Identifier: MIT */
/*
 * device_visible.h - which GPUs whoever started the server meant it to have: CUDA_VISIBLE_DEVICES,
 * ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES of its own environment.
 */
#ifndef DISPATCHER_DEVICE_VISIBLE_H
#define DISPATCHER_DEVICE_VISIBLE_H

#include <stdbool.h>

#include "dispatcher/devices/device.h"

/* Whether such a list (NULL: there is none, and all are meant) names the device. It has indexes, as
 * `millrace devices` counts, or UUIDs or beginnings of them; the first one that is neither ends it,
 * as CUDA has it. */
bool device_list_has(const char *list, const struct device *device);

/* The same with the list for its kind of this process. */
bool device_is_visible(const struct device *device);

#endif
