/* SPDX-License-Identifier: MIT */
/*
 * worker_access.h - the files and ports of workers that --allow-read, --allow-write and
 * --allow-connect restrict.
 */
#ifndef DISPATCHER_WORKER_ACCESS_H
#define DISPATCHER_WORKER_ACCESS_H

#include <stdio.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;
struct confinement_options;
struct pipeline_config;

/* The version of this kernel's Landlock, 0 for none; from that one on it keeps workers apart. */
#define WORKER_ACCESS_VERSION_MIN 2
long worker_access_version(void);

/* Writes lines of millrace/confine.h: what the options allow to this pipeline, and what it needs to
 * be loaded. 0, or -EINVAL with one line in `reason`: a path is not there, or the kernel cannot. */
int worker_access_print(const struct config *config, const struct pipeline_config *pipeline,
                        FILE *file, char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
