/* SPDX-License-Identifier: MIT */
/*
 * drivers.h - one body, two drivers: both sides of a stress test as two threads (where
 * ThreadSanitizer sees them) and as two processes with a shared mapping (where they really are).
 *
 * A side is a function that runs to its end or aborts; it uses nothing but the shared memory and
 * the descriptors that its argument names.
 */
#ifndef TESTS_DRIVERS_H
#define TESTS_DRIVERS_H

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "millrace/check.h"

struct sides {
    void (*near)(void *argument); /* runs in the calling thread */
    void (*far)(void *argument);  /* runs in the other thread or process */
    void *argument;
};

static inline void *sides_far_thread(void *argument)
{
    const struct sides *sides = argument;
    sides->far(sides->argument);
    return NULL;
}

static inline void sides_run_as_threads(struct sides *sides)
{
    pthread_t thread;
    mr_assert(pthread_create(&thread, NULL, sides_far_thread, sides) == 0);
    sides->near(sides->argument);
    mr_assert(pthread_join(thread, NULL) == 0);
}

static inline void sides_run_as_processes(struct sides *sides, unsigned watchdog_s)
{
    pid_t pid = fork();
    mr_assert(pid != -1);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(watchdog_s);
        sides->far(sides->argument);
        _exit(0);
    }
    sides->near(sides->argument);
    int status;
    mr_assert(waitpid(pid, &status, 0) == pid);
    mr_assert(WIFEXITED(status));
    mr_assert(WEXITSTATUS(status) == 0);
}

#endif
