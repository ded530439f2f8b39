/* SPDX-License-Identifier: MIT */
/* quiet_thread.c - a new thread has the mask of the one that makes it. */
#include "dispatcher/reactor/quiet_thread.h"

#include <signal.h>

int quiet_thread_start(pthread_t *out, size_t stack_bytes, void *(*run)(void *argument),
                       void *argument)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int rc = pthread_attr_init(&attributes);
    if (rc != 0)
        return -rc;
    pthread_attr_setstacksize(&attributes, stack_bytes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(out, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -rc;
}
