/* SPDX-License-Identifier: MIT */
/*
 * devices_said.h - --devices, --device-env and --device-memory become what each pipeline has.
 */
#ifndef DISPATCHER_DEVICES_SAID_H
#define DISPATCHER_DEVICES_SAID_H

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;

/* After the variables and the other options. What is said of one pipeline goes before what is said
 * of all. Where workers are not counted by --workers, their devices count them. -EINVAL with one
 * line in `reason`, -ENOMEM. */
int devices_said_fill(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether NAME=TEMPLATE could be said. */
int device_environment_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether a size could be said as --device-memory, or auto. */
int device_memory_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
