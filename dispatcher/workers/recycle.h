/* SPDX-License-Identifier: MIT */
/*
 * recycle.h - when a worker has served long enough, or grown too large.
 */
#ifndef DISPATCHER_RECYCLE_H
#define DISPATCHER_RECYCLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/config/config.h"
#include "dispatcher/workers/messages.h"
#include "millrace/protocol.h"

struct fleet;
struct worker;

/* What is done after a run of this worker that failed like this; ERROR_TYPE_COUNT: it did not. */
enum device_policy recycle_policy(const struct worker *worker, enum error_type type);

/* A run of this worker has ended, and was counted: whether the worker is to be retired, since that
 * was the last one of --recycle-runs, it is larger than --recycle-memory, or the run failed so that
 * the policy says so. Sets worker->end then. */
bool recycle_is_due(struct fleet *fleet, struct worker *worker, enum device_policy policy,
                    struct worker_said *out);

/* Bytes of resident memory of a process, from /proc; 0 when it cannot be read. */
uint64_t recycle_resident_bytes(pid_t pid);

#endif
