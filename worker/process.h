/* SPDX-License-Identifier: MIT */
/*
 * process.h - makes the process one that may run user code: tied to its dispatcher, without
 * privileges to gain, without descriptors that are not its own.
 */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

/* Does all of the above, or leaves: WORKER_EXIT_ORPHAN when `parent` is gone already. */
void process_prepare(pid_t parent, uint32_t index);

#endif
