/* SPDX-License-Identifier: MIT */
/*
 * spy.c - what a worker can reach of another process: one line a way, "way: ok" or what the kernel
 * said.
 *
 * Inputs: the process to look at.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <millrace/pipeline.h>

struct spy {
    pid_t pid;
    size_t next;
};

/* Each returns 0 when it got in, else -errno. */
static int open_of(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDWR);
    int rc = fd == -1 ? -errno : 0;
    if (fd != -1)
        close(fd);
    return rc;
}

static int spy_memory(pid_t pid)
{
    return open_of(pid, "mem");
}

/* Descriptor 3 of a worker is its segment. */
static int spy_segment(pid_t pid)
{
    return open_of(pid, "fd/3");
}

static int spy_descriptors(pid_t pid)
{
    for (int target = 0; target < 64; target++) {
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, target, 0);
        int rc = fd == -1 ? -errno : 0;
        close(pidfd);
        if (fd != -1)
            close(fd);
        if (rc != -EBADF)
            return rc;
    }
    return -EBADF;
}

static int spy_read(pid_t pid)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)&spy_memory, 1};
    ssize_t count = process_vm_readv(pid, &here, 1, &there, 1, 0);
    /* A wrong address is an answer of its memory. */
    return count == 1 || errno == EFAULT ? 0 : -errno;
}

static int spy_trace(pid_t pid)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1)
        return -errno;
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}

static int spy_environment(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY);
    int rc = fd == -1 ? -errno : 0;
    if (fd != -1)
        close(fd);
    return rc;
}

static int spy_signal(pid_t pid)
{
    return kill(pid, 0) == -1 ? -errno : 0;
}

static const struct {
    const char *name;
    int (*look)(pid_t pid);
} ways[] = {
    {"memory", spy_memory}, {"segment", spy_segment}, {"descriptors", spy_descriptors},
    {"read", spy_read},     {"trace", spy_trace},     {"environment", spy_environment},
    {"signal", spy_signal},
};

static int spy_next(void *state, struct mr_value *out)
{
    struct spy *spy = state;
    if (spy->next == sizeof ways / sizeof ways[0])
        return MR_END;
    int rc = ways[spy->next].look(spy->pid);
    const char *name = ways[spy->next++].name;
    return mr_value_stringf(out, "%s: %s", name, rc == 0 ? "ok" : strerrorname_np(-rc));
}

static int spy(struct mr_call *call)
{
    struct spy *it = calloc(1, sizeof *it);
    if (!it)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    int64_t pid = mr_arg_integer(call, 0);
    it->pid = pid == 0 ? getppid() : (pid_t)pid;
    return mr_return_stream(call, &(struct mr_iterator){it, spy_next, free});
}

MR_PIPELINE(spy)
{
    mr_variable pid = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, spy, MR_STREAM, pid));
}
