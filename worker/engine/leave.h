/* SPDX-License-Identifier: MIT */
/*
 * leave.h - the worker's way out when it cannot go on: one line, one exit code.
 */
#ifndef WORKER_LEAVE_H
#define WORKER_LEAVE_H

#include "millrace/check.h"
#include "millrace/protocol.h"

/* Writes one line to the inherited stderr and exits at once: no user code, no clean-up. Memory and
 * descriptors go with the process; what was committed stays readable. */
__attribute__((format(printf, 2, 3))) _Noreturn void leave(enum worker_exit code,
                                                           const char *format, ...);

#endif
