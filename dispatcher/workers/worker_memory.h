/* SPDX-License-Identifier: MIT */
/*
 * worker_memory.h - the control groups of workers whose pipeline has a limit, --worker-memory.
 */
#ifndef DISPATCHER_WORKER_MEMORY_H
#define DISPATCHER_WORKER_MEMORY_H

#include "dispatcher/workers/cgroup.h"
#include "millrace/check.h"

struct loop;

/* When there is a limit, moves this process into a group of its own: before it has children, which
 * would be left behind. 0, or -errno with one line in `reason`. */
int worker_memory_prepare(struct loop *loop, char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* Makes a group for every worker that has a limit. Results likewise. */
int worker_memory_init(struct loop *loop, char reason[CGROUP_REASON_BYTES]) MUST_USE;

#endif
