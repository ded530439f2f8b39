/* SPDX-License-Identifier: MIT */
/*
 * aborts.h - whether a call ends the process by abort(), tried in a child.
 */
#ifndef TESTS_DISPATCHER_ABORTS_H
#define TESTS_DISPATCHER_ABORTS_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "millrace/check.h"

static inline bool aborts(void (*call)(void *argument), void *argument)
{
    pid_t child = fork();
    mr_assert(child != -1);
    if (child == 0) {
        /* Expected, so it leaves neither words nor a core. */
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        dup2(nowhere, STDERR_FILENO);
        alarm(10);
        call(argument);
        _exit(0);
    }
    int status = 0;
    mr_assert(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
