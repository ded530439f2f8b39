/* SPDX-License-Identifier: MIT */
/*
 * device_variables.h - the variables by which a worker, and the libraries in it, know its device.
 */
#ifndef DISPATCHER_DEVICE_VARIABLES_H
#define DISPATCHER_DEVICE_VARIABLES_H

#include <stdint.h>

#include "dispatcher/config/device_template.h"
#include "dispatcher/config/environment.h"
#include "dispatcher/devices/device.h"
#include "millrace/check.h"

/* Of one worker: NAME=VALUE each, owned. Zero is empty. */
#define DEVICE_VARIABLE_COUNT_MAX (8u + DEVICE_TEMPLATE_COUNT_MAX)
struct device_variables {
    char *items[DEVICE_VARIABLE_COUNT_MAX];
    uint32_t count;
};

/* MILLRACE_DEVICE_*, the mask of its kind, and what the pipeline itself wants to know. 0 or
 * -ENOMEM; device_variables_finish() in either case. */
int device_variables_fill(struct device_variables *variables, const struct device *device,
                          const struct environment *templates) MUST_USE;

/* The masks under which no GPU is seen. Likewise. */
int device_variables_hide(struct device_variables *variables) MUST_USE;

void device_variables_finish(struct device_variables *variables);

#endif
