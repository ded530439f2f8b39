/* SPDX-License-Identifier: MIT */
/*
 * evil_signals.c - signals in every way there is, and what can be done with a descriptor of a
 * process, to the one that word 1 names. Word 2 is the signal; 0 only asks whether one could.
 */
#include "evil.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- signals --------------------------------------------------------------------------------- */

static int kill_one(struct evil *evil)
{
    return SAID(syscall(SYS_kill, evil_pid(evil, 1), evil_number(evil, 2, 0)));
}

static int kill_group(struct evil *evil)
{
    long upper = evil_pid(evil, 1) & ~0xffffffffL;
    long group = -(long)getpgid(evil_process(evil, 1));
    if (upper != 0)
        group = upper | (group & 0xffffffff);
    return SAID(syscall(SYS_kill, group, evil_number(evil, 2, 0)));
}

static int kill_all(struct evil *evil)
{
    return SAID(syscall(SYS_kill, -1L, evil_number(evil, 1, 0)));
}

/* From inside the group of the target, which a child of one's own may be able to join. */
static int kill_joined(struct evil *evil)
{
    pid_t group = getpgid(evil_process(evil, 1));
    pid_t child = fork();
    if (child == -1)
        return -errno;
    if (child == 0) {
        if (setpgid(0, group) == -1)
            _exit(errno);
        kill(0, (int)evil_number(evil, 2, 0));
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    if (!WIFSTOPPED(status))
        return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return 0;
}

static int kill_thread(struct evil *evil)
{
    return SAID(syscall(SYS_tkill, evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1),
                        evil_number(evil, 2, 0)));
}

static int kill_thread_of(struct evil *evil)
{
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return SAID(syscall(SYS_tgkill, pid, pid, evil_number(evil, 2, 0)));
}

static int queue_signal(struct evil *evil)
{
    siginfo_t info = {.si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return SAID(syscall(SYS_rt_sigqueueinfo, pid, evil_number(evil, 2, 0), &info));
}

static int queue_signal_to_thread(struct evil *evil)
{
    siginfo_t info = {.si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return SAID(syscall(SYS_rt_tgsigqueueinfo, pid, pid, evil_number(evil, 2, 0), &info));
}

/* A signal that the kernel sends when something can be read: sent or not, this is told "ok". */
static int signal_owned(struct evil *evil, int way)
{
    int ends[2];
    int owner = evil_process(evil, 1);
    struct f_owner_ex extended = {F_OWNER_PID, owner};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return -errno;
    int rc = 0;
    if (way == F_SETOWN)
        rc = SAID(fcntl(ends[0], F_SETOWN, owner));
    else if (way == F_SETOWN_EX)
        rc = SAID(fcntl(ends[0], F_SETOWN_EX, &extended));
    else
        rc = SAID(ioctl(ends[0], (unsigned long)way, &owner));
    if (rc == 0)
        rc = SAID(fcntl(ends[0], F_SETSIG, (int)evil_number(evil, 2, SIGKILL)));
    if (rc == 0)
        rc = SAID(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    if (rc == 0)
        rc = write(ends[1], "x", 1) == 1 ? 0 : -errno;
    close(ends[0]);
    close(ends[1]);
    return rc;
}

static int signal_by_owner(struct evil *evil)
{
    return signal_owned(evil, F_SETOWN);
}

static int signal_by_owner_ex(struct evil *evil)
{
    return signal_owned(evil, F_SETOWN_EX);
}

static int signal_by_socket(struct evil *evil)
{
    return signal_owned(evil, FIOSETOWN);
}

static int signal_by_socket_group(struct evil *evil)
{
    return signal_owned(evil, SIOCSPGRP);
}

/* ---- descriptors of processes ---------------------------------------------------------------- */

static int pidfd_of(struct evil *evil)
{
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return (int)syscall(SYS_pidfd_open, pid, 0L);
}

/* What `call` says of a descriptor of the target. */
static int with_pidfd(struct evil *evil, long (*call)(struct evil *evil, long pidfd))
{
    int pidfd = pidfd_of(evil);
    if (pidfd == -1)
        return -errno;
    int rc = SAID(call(evil, pidfd));
    close(pidfd);
    return rc;
}

static long no_call(struct evil *evil, long pidfd)
{
    (void)evil;
    (void)pidfd;
    return 0;
}

static long call_signal(struct evil *evil, long pidfd)
{
    return syscall(SYS_pidfd_send_signal, pidfd, evil_number(evil, 2, 0), NULL, 0L);
}

static long call_getfd(struct evil *evil, long pidfd)
{
    (void)evil;
    long fd = syscall(SYS_pidfd_getfd, pidfd, 0L, 0L);
    return fd == -1 ? -1 : close((int)fd);
}

static long call_madvise(struct evil *evil, long pidfd)
{
    static _Alignas(4096) char page[4096];
    struct iovec range = {page, sizeof(page)};
    (void)evil;
    return syscall(SYS_process_madvise, pidfd, &range, 1L, (long)MADV_COLD, 0L);
}

static long call_release(struct evil *evil, long pidfd)
{
    (void)evil;
    return syscall(SYS_process_mrelease, pidfd, 0L);
}

static long call_setns(struct evil *evil, long pidfd)
{
    (void)evil;
    return syscall(SYS_setns, pidfd, (long)CLONE_NEWUTS);
}

static int pidfd_make(struct evil *evil)
{
    return with_pidfd(evil, no_call);
}

static int pidfd_signal(struct evil *evil)
{
    return with_pidfd(evil, call_signal);
}

static int pidfd_getfd(struct evil *evil)
{
    return with_pidfd(evil, call_getfd);
}

static int madvise_process(struct evil *evil)
{
    return with_pidfd(evil, call_madvise);
}

static int release_process(struct evil *evil)
{
    return with_pidfd(evil, call_release);
}

static int namespace_enter(struct evil *evil)
{
    return with_pidfd(evil, call_setns);
}

static int folder_signal(struct evil *evil)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d", (int)evil_process(evil, 1));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder == -1)
        return -errno;
    int rc = SAID(call_signal(evil, folder));
    close(folder);
    return rc;
}

const struct attack evil_signals[] = {
    {"kill", kill_one, "a signal, 0 if none is said"},
    {"kill-group", kill_group, "a signal to the target's process group"},
    {"kill-all", kill_all, "a signal to everyone"},
    {"kill-joined", kill_joined, "a signal to one's own group, after joining the target's"},
    {"tkill", kill_thread, "a signal to the target's first thread"},
    {"tgkill", kill_thread_of, "likewise, with its process"},
    {"rt_sigqueueinfo", queue_signal, "a signal with a value"},
    {"rt_tgsigqueueinfo", queue_signal_to_thread, "likewise, to a thread"},
    {"fcntl-setown", signal_by_owner, "a signal that the kernel sends when a socket can be read"},
    {"fcntl-setown_ex", signal_by_owner_ex, "likewise, by F_SETOWN_EX"},
    {"ioctl-fiosetown", signal_by_socket, "likewise, by FIOSETOWN"},
    {"ioctl-siocspgrp", signal_by_socket_group, "likewise, by SIOCSPGRP"},
    {"pidfd_open", pidfd_make, "a descriptor of the target, which says when it ends"},
    {"pidfd_send_signal", pidfd_signal, "a signal through such a descriptor"},
    {"pidfd_send_signal-folder", folder_signal, "a signal through the folder in /proc"},
    {"pidfd_getfd", pidfd_getfd, "a copy of the target's descriptor 0"},
    {"process_madvise", madvise_process, "advises the kernel to take the target's memory away"},
    {"process_mrelease", release_process, "frees the memory of a target that is being killed"},
    {"setns", namespace_enter, "enters the target's namespace"},
    {NULL, NULL, NULL},
};
