/* SPDX-License-Identifier: MIT */
/*
 * device.h - the device that the worker was given, as its variables say it at the start.
 */
#ifndef WORKER_DEVICE_H
#define WORKER_DEVICE_H

#include "millrace/pipeline.h"

/* Reads the variables, before there is code that may change them. Without a kind, or without a
 * number, there is no device. */
void device_read(void);

/* The device, for as long as the process lives; NULL: there is none. */
const struct mr_device_info *device_own(void);

#endif
