/* SPDX-License-Identifier: MIT */
/*
 * worker_exit.h - why a worker's process ended: one word for the tally, one phrase for people.
 */
#ifndef DISPATCHER_WORKER_EXIT_H
#define DISPATCHER_WORKER_EXIT_H

#include <signal.h>
#include <stddef.h>

#include "dispatcher/reactor/log.h"

struct fleet;
struct worker;

/* Sets worker->end for the process that was just reaped, and the phrase; a crash is logged. */
void worker_exit_describe(struct fleet *fleet, struct worker *worker, const siginfo_t *info,
                          char *text, size_t text_bytes);

/* Says it in the log. Of a process that was never ready and did not say why, or said what was said
 * before, ever more seldom. */
void worker_exit_log(struct fleet *fleet, struct worker *worker, enum log_level level,
                     const char *reason);

#endif
