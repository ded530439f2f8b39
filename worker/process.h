/* SPDX-License-Identifier: MIT */
/*
 * process.h - makes the process one that may run user code: tied to its dispatcher, without
 * descriptors that are not its own. What it may do is confine.h's.
 */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

/* From here on dies with the dispatcher, or leaves at once: WORKER_EXIT_ORPHAN. */
void process_follow_parent(pid_t parent);

/* Does all of the above, or leaves: WORKER_EXIT_ORPHAN when `parent` is gone already. */
void process_prepare(pid_t parent, uint32_t index);

#endif
