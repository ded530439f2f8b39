/* SPDX-License-Identifier: MIT */
/*
 * watch_nvml.h - in a scanner: what NVIDIA's driver reports of its devices, as it comes.
 */
#ifndef DISPATCHER_WATCH_NVML_H
#define DISPATCHER_WATCH_NVML_H

#include <stdint.h>

#include "dispatcher/devices/device.h"

/* Says each event with the UUID of its GPU, also where it is of a slice, and the number of its Xid
 * (NVIDIA, "XID Errors"). Returns when there is nothing to watch. */
void watch_nvml(void (*say)(const char uuid[DEVICE_UUID_BYTES], uint32_t number));

#endif
