/* SPDX-License-Identifier: MIT */
/*
 * mps.h - whether NVIDIA's Multi-Process Service is on, under which processes share one context of
 * a GPU: the end of one may end the others' work there.
 */
#ifndef DISPATCHER_MPS_H
#define DISPATCHER_MPS_H

#include <limits.h>
#include <stdbool.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;
struct pipeline_config;

/* Where pipelines are bound to NVIDIA's devices, or may be, it is to be off, or allowed
 * (--allow-mps). -EINVAL with a reason. Source: NVIDIA, "Multi-Process Service", on its pipes. */
int mps_check(const struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it is on for workers of a pipeline, and the folder in which its control daemon would have
 * its pipe. */
bool mps_is_on(const struct pipeline_config *pipeline, char folder[PATH_MAX]);

#endif
