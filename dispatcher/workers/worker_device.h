/* SPDX-License-Identifier: MIT */
/*
 * worker_device.h - the device of a worker, as its process is told of it.
 */
#ifndef DISPATCHER_WORKER_DEVICE_H
#define DISPATCHER_WORKER_DEVICE_H

#include "dispatcher/devices/device_variables.h"
#include "dispatcher/workers/worker.h"
#include "dispatcher/workers/worker_spawn.h"
#include "millrace/check.h"

/* Adds to what it is started with: masks, cores, memory, files below /dev. `variables` are filled,
 * and live as long as the options. 0 or -ENOMEM; device_variables_finish() in either case. */
int worker_device_say(const struct worker *worker, struct worker_spawn_options *options,
                      struct device_variables *variables) MUST_USE;

/* Its segment, which was just made, is to lie in the memory near the device. Where the kernel does
 * not do that, it lies where it lies. */
void worker_device_draw(const struct worker *worker);

#endif
