/* SPDX-License-Identifier: MIT */
/*
 * evil_calls.c - every system call that takes the number of a process, group or user, aimed at the
 * one that word 1 names, but for signals (evil_signals.c).
 *
 * Where a call changes something, it sets what is set already: that it was allowed is what counts.
 */
#include "evil.h"

#include <linux/perf_event.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
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

/* ---- limits and priorities ------------------------------------------------------------------- */

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

/* ---- scheduling ------------------------------------------------------------------------------ */

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

/* ---- what only looks ------------------------------------------------------------------------- */

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

/* ---- memory ---------------------------------------------------------------------------------- */

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

/* ---- tracing --------------------------------------------------------------------------------- */

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

/* ---- groups and families --------------------------------------------------------------------- */

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
