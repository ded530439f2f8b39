/* SPDX-License-Identifier: MIT */
/*
 * evil_calls.c - every system call that takes the number of a process, group or user, or a
 * descriptor of a process, aimed at the one that word 1 names.
 *
 * Where a call changes something, it sets what is set already: that it was allowed is what counts.
 */
#include "evil.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OF_PROCESS = 0, OF_GROUP, OF_USER };                   /* of setpriority */
enum { IO_PROCESS = 1, IO_GROUP, IO_USER };                   /* of ioprio_set */
enum { SCHED_CORE = 62, CORE_CREATE = 1, CORE_SHARE_TO = 2 }; /* of prctl */
enum { COMPARE_VM = 1 };                                      /* of kcmp */

static long number_of(const struct evil *evil, int which)
{
    pid_t pid = evil_process(evil, 1);
    long upper = evil_pid(evil, 1) & ~0xffffffffL;
    if (which == OF_GROUP)
        return upper | (evil_pid(evil, 1) == 0 ? 0 : getpgid(pid));
    if (which == OF_USER)
        return upper | (evil_pid(evil, 1) == 0 ? 0 : (long)evil_user_of(pid));
    return evil_pid(evil, 1);
}

/* ---- limits and priorities ---------------------------------------------------------------------
 */

/* All of them; "ok" when one could be. */
static int prlimits(struct evil *evil, bool sets)
{
    int rc = -ENOSYS;
    for (long resource = 0; resource < RLIM_NLIMITS && rc != 0; resource++) {
        struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
        long pid = evil_pid(evil, 1);
        int got = SAID(syscall(SYS_prlimit64, pid, resource, NULL, &limit));
        rc = sets ? SAID(syscall(SYS_prlimit64, pid, resource, &limit, NULL)) : got;
    }
    return rc;
}

static int prlimit_set(struct evil *evil)
{
    return prlimits(evil, true);
}

static int prlimit_get(struct evil *evil)
{
    return prlimits(evil, false);
}

/* In earnest: no time of the processor, files or descriptors more. */
static int prlimit_zero(struct evil *evil)
{
    struct rlimit none = {0, 0};
    return SAID(
        syscall(SYS_prlimit64, evil_pid(evil, 1), evil_number(evil, 2, RLIMIT_CPU), &none, NULL));
}

static int priority_set(struct evil *evil, int which)
{
    long number = number_of(evil, which);
    long now = syscall(SYS_getpriority, (long)which, number);
    /* The call itself says 20 less what it is. */
    return SAID(syscall(SYS_setpriority, (long)which, number, now > 0 ? 20 - now : 0L));
}

static int priority_of_process(struct evil *evil)
{
    return priority_set(evil, OF_PROCESS);
}

static int priority_of_group(struct evil *evil)
{
    return priority_set(evil, OF_GROUP);
}

static int priority_of_user(struct evil *evil)
{
    return priority_set(evil, OF_USER);
}

/* As the nice value says, which is what it is unless somebody said something else. */
static int ioprio_set_of(struct evil *evil, long which, int of)
{
    return SAID(syscall(SYS_ioprio_set, which, number_of(evil, of), 0L));
}

static int ioprio_of_process(struct evil *evil)
{
    return ioprio_set_of(evil, IO_PROCESS, OF_PROCESS);
}

static int ioprio_of_group(struct evil *evil)
{
    return ioprio_set_of(evil, IO_GROUP, OF_GROUP);
}

static int ioprio_of_user(struct evil *evil)
{
    return ioprio_set_of(evil, IO_USER, OF_USER);
}

/* ---- scheduling --------------------------------------------------------------------------------
 */

static int scheduler_set(struct evil *evil)
{
    struct sched_param param = {0};
    return SAID(syscall(SYS_sched_setscheduler, evil_pid(evil, 1), (long)SCHED_OTHER, &param));
}

static int scheduler_set_param(struct evil *evil)
{
    struct sched_param param = {0};
    return SAID(syscall(SYS_sched_setparam, evil_pid(evil, 1), &param));
}

static int scheduler_set_attributes(struct evil *evil)
{
    struct attributes {
        uint32_t bytes, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.bytes = sizeof(attributes)};
    return SAID(syscall(SYS_sched_setattr, evil_pid(evil, 1), &attributes, 0L));
}

static int affinity_set(struct evil *evil)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(evil_process(evil, 1), sizeof(set), &set) == -1)
        sched_getaffinity(0, sizeof(set), &set);
    return SAID(syscall(SYS_sched_setaffinity, evil_pid(evil, 1), sizeof(set), &set));
}

static int core_share(struct evil *evil)
{
    /* Most kernels, and machines with one thread a core, do not have it. */
    if (syscall(SYS_prctl, (long)SCHED_CORE, (long)CORE_CREATE, 0L, 0L, 0L) == -1)
        return errno == EINVAL ? -ENOSYS : -errno;
    return SAID(
        syscall(SYS_prctl, (long)SCHED_CORE, (long)CORE_SHARE_TO, evil_pid(evil, 1), 0L, 0L));
}

/* ---- what only looks ---------------------------------------------------------------------------
 */

/* What ps shows of every process, by the calls for it. */
static int look(struct evil *evil)
{
    pid_t pid = evil_process(evil, 1);
    struct sched_param param;
    cpu_set_t set;
    if (getpgid(pid) == -1 || getsid(pid) == -1 || sched_getscheduler(pid) == -1)
        return -errno;
    if (sched_getparam(pid, &param) == -1 || sched_getaffinity(pid, sizeof(set), &set) == -1)
        return -errno;
    return SAID(getpriority(PRIO_PROCESS, (id_t)pid));
}

static int robust_list_get(struct evil *evil)
{
    void *head;
    size_t bytes;
    return SAID(syscall(SYS_get_robust_list, evil_pid(evil, 1), &head, &bytes));
}

static int compare(struct evil *evil)
{
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return SAID(syscall(SYS_kcmp, (long)getpid(), pid, (long)COMPARE_VM, 0L, 0L));
}

static int perf_open(struct evil *evil)
{
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof(event),
                                    .config = PERF_COUNT_SW_TASK_CLOCK,
                                    .exclude_kernel = 1};
    long fd = syscall(SYS_perf_event_open, &event, evil_pid(evil, 1), -1L, -1L, 0L);
    return fd == -1 ? -errno : close((int)fd);
}

/* ---- signals -----------------------------------------------------------------------------------
 */

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

/* ---- descriptors of processes ------------------------------------------------------------------
 */

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

/* ---- memory ------------------------------------------------------------------------------------
 */

/* A wrong address is an answer of its memory. */
static int memory_said(long count)
{
    return count >= 0 || errno == EFAULT ? 0 : -errno;
}

static int memory_read(struct evil *evil)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)&memory_read, 1};
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return memory_said(syscall(SYS_process_vm_readv, pid, &here, 1L, &there, 1L, 0L));
}

static int memory_write(struct evil *evil)
{
    static char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    long pid = evil_pid(evil, 1) == 0 ? getpid() : evil_pid(evil, 1);
    return memory_said(syscall(SYS_process_vm_writev, pid, &here, 1L, &there, 1L, 0L));
}

static int pages_move(struct evil *evil)
{
    static char page[8192];
    void *pages[1] = {page};
    int status[1];
    return SAID(syscall(SYS_move_pages, evil_pid(evil, 1), 1L, pages, NULL, status, 0L));
}

static int pages_migrate(struct evil *evil)
{
    unsigned long nodes = 1;
    return SAID(
        syscall(SYS_migrate_pages, evil_pid(evil, 1), 8L * (long)sizeof(nodes), &nodes, &nodes));
}

/* ---- tracing -----------------------------------------------------------------------------------
 */

static int trace(struct evil *evil, long request)
{
    long pid = evil_pid(evil, 1);
    if (syscall(SYS_ptrace, request, pid, 0L, 0L) == -1)
        return -errno;
    if (request == PTRACE_ATTACH)
        waitpid((pid_t)pid, NULL, 0);
    ptrace(PTRACE_DETACH, (pid_t)pid, NULL, NULL);
    return 0;
}

static int trace_attach(struct evil *evil)
{
    return trace(evil, PTRACE_ATTACH);
}

static int trace_seize(struct evil *evil)
{
    return trace(evil, PTRACE_SEIZE);
}

/* The dispatcher, whose child a worker is, becomes its tracer. */
static int trace_me(struct evil *evil)
{
    (void)evil;
    return SAID(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

/* ---- groups and families -----------------------------------------------------------------------
 */

static int group_join(struct evil *evil)
{
    pid_t group = getpgid(evil_process(evil, 1));
    pid_t child = fork();
    if (child == -1)
        return -errno;
    if (child == 0)
        _exit(setpgid(0, group) == -1 ? errno : 0);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

static int group_change(struct evil *evil)
{
    return SAID(syscall(SYS_setpgid, evil_pid(evil, 1), 0L));
}

/* Children of the dispatcher: who else would wait for them? */
static int children_for_parent(struct evil *evil)
{
    long made = 0;
    for (long i = 0; i < evil_number(evil, 1, 1); i++) {
        long child = syscall(SYS_clone, (long)CLONE_PARENT, 0L, 0L, 0L, 0L);
        if (child == -1)
            return made > 0 ? evil_say_count(evil, made) : -errno;
        if (child == 0)
            _exit(0);
        made++;
    }
    return evil_say_count(evil, made);
}

const struct attack evil_calls[] = {
    {"prlimit64", prlimit_set, "sets each limit of the target to what it is"},
    {"prlimit64-get", prlimit_get, "reads the limits of the target"},
    {"prlimit64-zero", prlimit_zero, "sets one limit of the target to zero"},
    {"setpriority", priority_of_process, "sets the nice value of the target"},
    {"setpriority-group", priority_of_group, "of the target's process group"},
    {"setpriority-user", priority_of_user, "of all processes of the target's user"},
    {"ioprio_set", ioprio_of_process, "sets the priority of the target's input and output"},
    {"ioprio_set-group", ioprio_of_group, "of the target's process group"},
    {"ioprio_set-user", ioprio_of_user, "of all processes of the target's user"},
    {"sched_setscheduler", scheduler_set, "sets how the target is scheduled"},
    {"sched_setparam", scheduler_set_param, "sets the parameters of its scheduling"},
    {"sched_setattr", scheduler_set_attributes, "sets policy, nice value and deadlines"},
    {"sched_setaffinity", affinity_set, "sets the processors on which the target runs"},
    {"prctl-core", core_share, "gives the target one's own core scheduling cookie"},
    {"look", look, "group, session, scheduling, processors and nice value, as ps shows them"},
    {"get_robust_list", robust_list_get, "the address of the target's list of locks"},
    {"kcmp", compare, "whether two processes share memory"},
    {"perf_event_open", perf_open, "counts what the target does"},
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
    {"process_vm_readv", memory_read, "reads the target's memory"},
    {"process_vm_writev", memory_write, "writes the target's memory"},
    {"move_pages", pages_move, "moves the target's memory, or asks where it is"},
    {"migrate_pages", pages_migrate, "moves all of the target's memory"},
    {"ptrace-attach", trace_attach, "traces the target, and stops it"},
    {"ptrace-seize", trace_seize, "traces the target"},
    {"ptrace-traceme", trace_me, "has the parent trace oneself"},
    {"setpgid-join", group_join, "a child joins the target's process group"},
    {"setpgid", group_change, "gives the target a process group of its own"},
    {"clone-parent", children_for_parent, "children that are the dispatcher's"},
    {NULL, NULL, NULL},
};
