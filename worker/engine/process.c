/* SPDX-License-Identifier: MIT */
/*
 * process.c - what is inherited is put in order before anything else happens.
 */
#include "worker/engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "worker/engine/leave.h"

static void process_reset_signals(void);
static void process_keep_descriptors(void);

void process_prepare(uint32_t index)
{
    process_keep_descriptors();
    process_reset_signals();
    process_show_index(index);
}

/* One that died before the kernel knew is noticed by the second look. */
void process_follow_parent(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
        leave(WORKER_EXIT_ATTACH, "PR_SET_PDEATHSIG: %s", strerror(errno));
    if (getppid() != parent)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher, process %d, vanished", (int)parent);
}

static void process_keep_descriptors(void)
{
    if (close_range(WORKER_FD_COUNT, ~0U, 0) == -1)
        leave(WORKER_EXIT_ATTACH, "close_range: %s", strerror(errno));
    for (int fd = WORKER_FD_SEGMENT; fd < WORKER_FD_COUNT; fd++) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
            leave(WORKER_EXIT_ATTACH, "descriptor %d was not inherited: %s", fd, strerror(errno));
    }
}

static void process_on_pipe(int number)
{
    (void)number;
}

/* Only ignored signals and the mask survive an exec. SIGPIPE is caught and forgotten: a peer of the
 * pipeline that hangs up is an error of one write, not the death of every run of this worker; and
 * unlike an ignored signal, a caught one is back to its default in the programs that user code
 * starts. */
static void process_reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction inherited;
        const struct sigaction usual = {.sa_handler = SIG_DFL};
        if (sigaction(number, NULL, &inherited) == 0 && inherited.sa_handler == SIG_IGN)
            sigaction(number, &usual, NULL);
    }
    const struct sigaction caught = {.sa_handler = process_on_pipe, .sa_flags = SA_RESTART};
    sigaction(SIGPIPE, &caught, NULL);
    sigset_t nothing;
    sigemptyset(&nothing);
    sigprocmask(SIG_SETMASK, &nothing, NULL);
}

/* For ps(1), and for pipelines that choose a device by it. */
void process_show_index(uint32_t index)
{
    char text[16];
    snprintf(text, sizeof text, "mr-worker-%u", index);
    prctl(PR_SET_NAME, text);
    snprintf(text, sizeof text, "%u", index);
    if (setenv("MILLRACE_WORKER_INDEX", text, 1) == -1)
        leave(WORKER_EXIT_ATTACH, "setenv: %s", strerror(errno));
}
