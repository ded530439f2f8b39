/* SPDX-License-Identifier: MIT */
/*
 * fatal_signal.h - a worker that dies of a signal of its own making says where, before it dies; and
 * so does one that hangs.
 */
#ifndef WORKER_FATAL_SIGNAL_H
#define WORKER_FATAL_SIGNAL_H

#include "millrace/layout.h"

/* Watches SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT and SIGTRAP from now on: signal, address and a
 * backtrace go to `report`, which stays mapped until the end. Then the signal does what it would
 * have done, core dump included. User code may put handlers of its own before this one.
 * WORKER_SIGNAL_WHERE has a backtrace written there, too, and ends the process by SIGKILL. */
void fatal_signal_watch(struct crash_shared *report);

/* What says where an interpreter's code is. */
struct fatal_signal_interpreter {
    int number;         /* raised in the thread that crashed: its handler writes the frames of that
                           thread to a pipe, and returns */
    int where_number;   /* likewise for who hangs; another one where that is not the only thread */
    int fd;             /* the pipe's other end, non-blocking */
    const void *inside; /* of the interpreter's own code */
};

/* From now on the report says also what the interpreter was doing. */
void fatal_signal_ask(const struct fatal_signal_interpreter *interpreter);

/* The report has no frames of files that begin like this; a number of times that is bounded. */
void fatal_signal_leave_out(const char *file);

#endif
