/* SPDX-License-Identifier: MIT */
/*
 * watch.h - a process that hears what NVIDIA's driver reports of its devices (watch_nvml.h), while
 * there are any.
 *
 * One that ends, or hangs, is missed by nobody: failures of workers, and looks, tell of a device,
 * too.
 */
#ifndef DISPATCHER_WATCH_H
#define DISPATCHER_WATCH_H

#include "dispatcher/devices/devices.h"

/* Its completions have this index, which no source and no care has. */
#define WATCH_REF_INDEX (DEVICE_SOURCE_COUNT + DEVICE_COUNT_MAX)

void watch_init(struct device_watch *watch);
void watch_finish(struct device_watch *watch);

/* A completion, and the timer of the devices. */
void watch_on_event(struct devices *devices, const struct uring_event *event);
void watch_on_timer(struct devices *devices);

#endif
