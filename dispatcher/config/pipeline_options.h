/* SPDX-License-Identifier: MIT */
/* pipeline_options.h - what was said of pipelines becomes the options of each. */
#ifndef DISPATCHER_PIPELINE_OPTIONS_H
#define DISPATCHER_PIPELINE_OPTIONS_H

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;

/* When all pipelines are known; reads files of variables. 0, -ENOMEM, or -EINVAL with one line in
 * `reason`: there is no such pipeline, or what is said does not go together. */
int pipeline_options_fill(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
