/* SPDX-License-Identifier: MIT */
/*
 * forkable.h - whether copies of this process are as good as processes that began on their own.
 *
 * A copy has one thread, that which forked, and has everything else in common with the others:
 * devices that were opened, connections, memory that is written for all. None of that may be there.
 */
#ifndef WORKER_FORKABLE_H
#define WORKER_FORKABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"

#define FORKABLE_REASON_BYTES 240u

/* 0, or -EBUSY with a phrase in `reason`: "it has 3 threads". Pools of threads that end by
 * themselves before a fork (pthread_atfork(3)) are made to. `own` are descriptors above those of
 * enum worker_fd that copies close. */
int forkable_check(const int *own, size_t own_count,
                   char reason[static FORKABLE_REASON_BYTES]) MUST_USE;

/* How many threads this process has, as the kernel says; 0: it does not. */
unsigned forkable_thread_count(void);

/* Likewise, once those have ended that are about to. */
unsigned forkable_threads_await(void);

#endif
