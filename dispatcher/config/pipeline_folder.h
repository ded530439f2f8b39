/* SPDX-License-Identifier: MIT */
/*
 * pipeline_folder.h - the folder in which the workers of a pipeline run, --folder.
 *
 * What a worker is told by path would begin there, too; so of a pipeline that has a folder all such
 * paths are whole ones.
 */
#ifndef DISPATCHER_PIPELINE_FOLDER_H
#define DISPATCHER_PIPELINE_FOLDER_H

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;

/* After pipeline_options_fill(). 0; -ENOMEM; or -EINVAL with one line in `reason`. */
int pipeline_folders_fill(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
