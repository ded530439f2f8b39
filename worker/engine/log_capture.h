/* SPDX-License-Identifier: MIT */
/*
 * log_capture.h - stdout and stderr of user code become log lines of the run that printed them.
 *
 * The FILEs `stdout` and `stderr` are replaced by streams that gather lines and send each complete
 * one as a LOG record, tagged with the run being stepped. What does not pass through them -
 * write(2) to 1 or 2, child processes, other threads, abort messages of the C library - goes to the
 * inherited pipes, whose lines the dispatcher tags with the worker, and with the run where a worker
 * has one at a time.
 */
#ifndef WORKER_LOG_CAPTURE_H
#define WORKER_LOG_CAPTURE_H

#include <stdbool.h>

#include "millrace/check.h"
#include "worker/engine/reply.h"

/* Replaces the two FILEs for the rest of the process. To be called once, from the thread that steps
 * runs; `reply` must outlive the process's use of them. 0 or -errno. */
int log_capture_start(struct reply *reply) MUST_USE;

/* In a copy of the process, which writes to another ring by way of the same `reply`. */
void log_capture_go_on(void);

/* Sends lines that did not end yet. Call when a run ends and before the process does. */
void log_capture_flush(void);

/* "std::runtime_error: no such word": what the C++ runtime has just said, as its last lines, of an
 * exception that nobody caught; "" when it was something else. For a handler of signals. */
const char *log_capture_uncaught(void);

/* True in the process and thread that may write to the ring. */
bool log_capture_is_here(void);

#endif
