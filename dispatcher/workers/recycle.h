/* SPDX-License-Identifier: MIT */
/*
 * recycle.h - when a worker has served long enough, or grown too large.
 */
#ifndef DISPATCHER_RECYCLE_H
#define DISPATCHER_RECYCLE_H

#include "dispatcher/workers/worker.h"
#include "millrace/protocol.h"

struct run_failure;

/* A run of this worker has ended (`failure` NULL: completed): retires the worker when that was the
 * last one of --recycle-runs, when it is larger than --recycle-memory, or when its device is
 * broken. */
void recycle_after_run(struct loop *loop, struct worker *worker, const struct run_failure *failure);

/* Bytes of resident memory of a process, from /proc; 0 when it cannot be read. */
uint64_t recycle_resident_bytes(pid_t pid);

#endif
