/* SPDX-License-Identifier: MIT */
/*
 * check_worker.h - loads a pipeline in a throw-away worker: what `millrace serve` starts, told to
 * stop after HELLO, before its startup hook.
 */
#ifndef DISPATCHER_CHECK_WORKER_H
#define DISPATCHER_CHECK_WORKER_H

#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/own_users.h"
#include "dispatcher/inputs/variables.h"
#include "dispatcher/workers/worker_spawn.h"
#include "millrace/check.h"

/* Waits for the worker, and ends it when it is not loaded in that time. Of `programs` the paths,
 * the confinement, the variables and the user are looked at. An exit code; why it does not load is
 * on stderr, with what the pipeline printed. OK: *out is the caller's. */
int check_worker_load(const struct pipeline_config *pipeline,
                      const struct worker_spawn_options *programs, struct own_users users,
                      uint32_t timeout_ms, struct variables *out) MUST_USE;

#endif
