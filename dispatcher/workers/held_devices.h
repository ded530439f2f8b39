/* SPDX-License-Identifier: MIT */
/*
 * held_devices.h - the devices that there are and those that workers hold, for whoever shows them.
 */
#ifndef DISPATCHER_HELD_DEVICES_H
#define DISPATCHER_HELD_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/workers/fleet.h"
#include "millrace/check.h"

/* The device that the process of a worker is bound to; NULL: it has none, or there is no process.
 * It is as it was when it was chosen. */
const struct device *held_device(const struct worker *worker);

/* Whether it is bound to this one. */
bool held_device_is(const struct worker *worker, const struct device *device);

/* Each device once: those that were found, by source, then those that were not and are held, as
 * counted ones are. Borrowed from registry and workers: of use until anything happens to these. */
struct held_devices {
    const struct device **list; /* owned */
    uint32_t count;
};

/* 0 or -ENOMEM; held_devices_finish() after 0. */
int held_devices_collect(struct held_devices *out, const struct fleet *fleet) MUST_USE;
void held_devices_finish(struct held_devices *devices);

#endif
