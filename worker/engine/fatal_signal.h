/* SPDX-License-Identifier: MIT */
/*
 * fatal_signal.h - a worker that dies of a signal of its own making says where, before it dies.
 */
#ifndef WORKER_FATAL_SIGNAL_H
#define WORKER_FATAL_SIGNAL_H

#include "millrace/layout.h"

/* Watches SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT and SIGTRAP from now on: signal, address and a
 * backtrace go to `report`, which stays mapped until the end. Then the signal does what it would
 * have done, core dump included. User code may put handlers of its own before this one. */
void fatal_signal_watch(struct crash_shared *report);

/* From now on the report says also what an interpreter was doing: its handler of the signal
 * `number`, which is raised in the thread that crashed, writes that to a pipe whose other end is
 * `fd` (non-blocking), and returns. */
void fatal_signal_ask(int number, int fd);

#endif
