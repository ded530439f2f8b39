/* SPDX-License-Identifier: MIT */
/*
 * process.h - puts in order what was inherited: the parent, descriptors, signals. What the process
 * may do is confine.h's.
 */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

/* From here on dies with `parent`, or leaves at once: WORKER_EXIT_ORPHAN. Outlives an exec, and is
 * forgotten by a change of the user. */
void process_follow_parent(pid_t parent);

/* Before the process serves: no descriptors but its own, signals as they should be, a name; or
 * leaves. */
void process_prepare(uint32_t index);

/* A copy of the process is another worker: its name, and MILLRACE_WORKER_INDEX. */
void process_show_index(uint32_t index);

#endif
