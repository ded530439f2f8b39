/* SPDX-License-Identifier: MIT */
/*
 * crash.h - a worker that dies of a signal of its own making says where, before it dies.
 */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

#include "millrace/layout.h"

/* Watches SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT and SIGTRAP from now on: signal, address and a
 * backtrace go to `report`, which stays mapped until the end. Then the signal does what it would
 * have done, core dump included. User code may put handlers of its own before this one. */
void crash_watch(struct crash_shared *report);

#endif
