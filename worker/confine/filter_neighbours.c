/* SPDX-License-Identifier: MIT */
/*
 * filter_neighbours.c - system calls on other processes of the same user.
 *
 * The kernel asks for no more than the same user before it sets another process's limits, priority
 * or processors, and Landlock has no say in that. So a filter looks at the number of the process:
 * 0 and its own are the caller, every other one may be anybody. A thread's number is not known
 * before there is the thread; where threads have business with a call on each other, only the
 * dispatcher and its spawner are kept from it (docs/internals/faults.md has the table).
 */
#include "worker/confine/filter_rules.h"

#include <asm/ioctls.h>
#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of ioprio_set(2): the argument is a process. */
#define IOPRIO_WHO_PROCESS 1

/* What is the argument that names a process. */
struct call {
    int number;
    unsigned argument;
};

/* Those that a worker may make on itself alone. */
static const struct call settings[] = {
    {SCMP_SYS(prlimit64), 0},     {SCMP_SYS(sched_setscheduler), 0}, {SCMP_SYS(sched_setparam), 0},
    {SCMP_SYS(sched_setattr), 0}, {SCMP_SYS(setpriority), 1},        {SCMP_SYS(ioprio_set), 1},
};

static const int looks[] = {
    SCMP_SYS(ptrace),      SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise),  SCMP_SYS(process_mrelease),
    SCMP_SYS(kcmp),        SCMP_SYS(migrate_pages),    SCMP_SYS(get_robust_list),
};

/* Each with the process (a group if it is negative) in its first argument. */
static const int signal_calls[] = {
    SCMP_SYS(kill),
    SCMP_SYS(tgkill),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
};

/* A thread's number, and a descriptor of a process: neither tells whose it is. */
static const int blind_signal_calls[] = {SCMP_SYS(tkill), SCMP_SYS(pidfd_send_signal)};

/* Signals that the kernel sends when something happens to a descriptor. */
static const uint32_t signal_commands[] = {F_SETOWN, F_SETOWN_EX, F_SETSIG};
static const uint32_t signal_requests[] = {FIOSETOWN, SIOCSPGRP};

static uint32_t neighbours_spawner_number(void);
static int neighbours_deny_others(scmp_filter_ctx context, const struct call *call);
static int neighbours_deny_server(scmp_filter_ctx context, int call, unsigned argument);
static int neighbours_deny_groups(scmp_filter_ctx context);

int neighbours_deny_settings(scmp_filter_ctx context)
{
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(settings) && rc == 0; i++)
        rc = neighbours_deny_others(context, &settings[i]);
    /* Of groups and users: the one that the caller is in has others in it. */
    if (rc == 0)
        rc = rules_deny_if(context, SCMP_SYS(setpriority), 0, SCMP_CMP_NE, PRIO_PROCESS);
    if (rc == 0)
        rc = rules_deny_if(context, SCMP_SYS(ioprio_set), 0, SCMP_CMP_NE, IOPRIO_WHO_PROCESS);
    /* Libraries of threads bind each of theirs. */
    if (rc == 0)
        rc = neighbours_deny_server(context, SCMP_SYS(sched_setaffinity), 0);
    /* The group that the spawner is in, where children wait that are not yet workers. */
    if (rc == 0 && neighbours_spawner_number() != 0)
        rc = rules_deny_number(context, SCMP_SYS(setpgid), 1, neighbours_spawner_number());
    return rc;
}

int neighbours_deny_looks(scmp_filter_ctx context)
{
    static const struct call binding = {SCMP_SYS(sched_setaffinity), 0};
    static const struct call moving = {SCMP_SYS(move_pages), 0};
    int rc = rules_deny_calls(context, looks, ARRAY_COUNT(looks));
    if (rc == 0)
        rc = neighbours_deny_others(context, &binding);
    return rc < 0 ? rc : neighbours_deny_others(context, &moving);
}

int neighbours_deny_signals(scmp_filter_ctx context)
{
    int rc = rules_deny_calls(context, blind_signal_calls, ARRAY_COUNT(blind_signal_calls));
    for (size_t i = 0; i < ARRAY_COUNT(signal_calls) && rc == 0; i++)
        rc = neighbours_deny_server(context, signal_calls[i], 0);
    if (rc == 0)
        rc = neighbours_deny_groups(context);
    for (size_t i = 0; i < ARRAY_COUNT(signal_commands) && rc == 0; i++)
        rc = rules_deny_number(context, SCMP_SYS(fcntl), 1, signal_commands[i]);
    for (size_t i = 0; i < ARRAY_COUNT(signal_requests) && rc == 0; i++)
        rc = rules_deny_number(context, SCMP_SYS(ioctl), 1, signal_requests[i]);
    return rc;
}

static uint32_t neighbours_dispatcher_number(void)
{
    return (uint32_t)getppid();
}

/* It leads the session of all workers. */
static uint32_t neighbours_spawner_number(void)
{
    return (uint32_t)getsid(0);
}

/* Every process but this one, by 0 or by its number. */
static int neighbours_deny_others(scmp_filter_ctx context, const struct call *call)
{
    uint32_t own = (uint32_t)getpid();
    int rc = rules_deny_if(context, call->number, call->argument, SCMP_CMP_GT, own);
    return rc < 0 ? rc : rules_deny_range(context, call->number, call->argument, 1, own - 1);
}

/* A number is 0 when its process is outside of this namespace, where nobody here reaches it. */
static int neighbours_deny_server(scmp_filter_ctx context, int call, unsigned argument)
{
    const uint32_t numbers[] = {neighbours_dispatcher_number(), neighbours_spawner_number()};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(numbers) && rc == 0; i++)
        if (numbers[i] != 0)
            rc = rules_deny_number(context, call, argument, numbers[i]);
    return rc;
}

/* -1 is everybody. The group of the dispatcher may be that of a shell's job. */
static int neighbours_deny_groups(scmp_filter_ctx context)
{
    const int64_t groups[] = {1, getpgid(getppid()), neighbours_spawner_number()};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(groups) && rc == 0; i++)
        if (groups[i] > 0)
            rc = rules_deny_number(context, SCMP_SYS(kill), 0, (uint32_t)-groups[i]);
    return rc;
}
