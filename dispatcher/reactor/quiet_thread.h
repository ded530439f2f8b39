/* SPDX-License-Identifier: MIT */
/* quiet_thread.h - a thread beside the loop, which no signal interrupts: pthread_sigmask(3). */
#ifndef DISPATCHER_QUIET_THREAD_H
#define DISPATCHER_QUIET_THREAD_H

#include <pthread.h>
#include <stddef.h>

#include "millrace/check.h"

/* Runs until `run` returns, for pthread_join() or pthread_detach(). 0, or -errno. */
int quiet_thread_start(pthread_t *out, size_t stack_bytes, void *(*run)(void *argument),
                       void *argument) MUST_USE;

#endif
