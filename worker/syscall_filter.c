/* SPDX-License-Identifier: MIT */
/*
 * syscall_filter.c - seccomp filters that deny a list and allow the rest.
 *
 * A list of what is allowed would be stricter, and would break pipelines with every new version of
 * a C library or of a device's; a list of what is denied names what no pipeline has business with.
 */
#include "worker/syscall_filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Of clone(2) and unshare(2). The namespace of clocks has a flag that means something else to
 * clone(2); it is only for those who may already do worse. */
static const uint64_t namespace_flags[] = {
    CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,  CLONE_NEWIPC,
    CLONE_NEWPID, CLONE_NEWNET,    CLONE_NEWUSER,
};

static const int machine_calls[] = {
    /* The kernel itself, and what has no end of ways into it. */
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(syslog),
    /* Mounts, namespaces, files by handle. */
    SCMP_SYS(mount),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(setns),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(fanotify_init),
    /* Keys of the kernel. */
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    /* The machine as a whole. */
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(stime),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(vhangup),
};

static const int other_calls[] = {
    SCMP_SYS(ptrace),      SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise),  SCMP_SYS(kcmp),
};

/* A socket could also be had from a ring of the kernel's. */
static const int network_calls[] = {
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
};

static const int growth_calls[] = {
    SCMP_SYS(execve),         SCMP_SYS(execveat),
    SCMP_SYS(fork),           SCMP_SYS(vfork),
    SCMP_SYS(socket),         SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
};

static int calls_deny(scmp_filter_ctx context, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
        if (rc < 0 && rc != -EEXIST)
            return rc;
    }
    return 0;
}

/* clone3() has its flags in memory, where a filter cannot look. A C library that is told that there
 * is no such call takes clone(). */
static int clone3_hide(scmp_filter_ctx context)
{
    int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return rc == -EEXIST ? 0 : rc;
}

static int namespaces_deny(scmp_filter_ctx context)
{
    int rc = clone3_hide(context);
    for (size_t i = 0; i < ARRAY_COUNT(namespace_flags) && rc == 0; i++) {
        uint64_t flag = namespace_flags[i];
        rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
        if (rc == 0)
            rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
    }
    return rc;
}

static int growth_deny(scmp_filter_ctx context)
{
    int rc = calls_deny(context, growth_calls, ARRAY_COUNT(growth_calls));
    if (rc == 0)
        rc = clone3_hide(context);
    if (rc == 0)
        rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return rc;
}

/* Whatever is not exactly the number of local sockets, in all 64 bits of the register. */
static int network_deny(scmp_filter_ctx context)
{
    int rc = calls_deny(context, network_calls, ARRAY_COUNT(network_calls));
    if (rc == 0)
        rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    return rc;
}

static int rules_add(scmp_filter_ctx context, const struct syscall_filter *filter)
{
    int rc = 0;
    if (filter->denies_machine)
        rc = calls_deny(context, machine_calls, ARRAY_COUNT(machine_calls));
    if (rc == 0 && filter->denies_machine)
        rc = namespaces_deny(context);
    if (rc == 0 && filter->denies_others)
        rc = calls_deny(context, other_calls, ARRAY_COUNT(other_calls));
    if (rc == 0 && filter->denies_network)
        rc = network_deny(context);
    if (rc == 0 && filter->denies_growth)
        rc = growth_deny(context);
    return rc;
}

/* Calls of another architecture's numbers (32-bit programs) are all denied. All threads: whoever
 * loaded an interpreter may have started some. And the processor's guesses past this filter are no
 * secret of ours, so it costs none of the store bypass. */
static int attributes_set(scmp_filter_ctx context)
{
    int rc = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (rc == 0)
        rc = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = seccomp_attr_set(context, SCMP_FLTATR_CTL_SSB, 1);
    return rc;
}

int syscall_filter_enter(const struct syscall_filter *filter, char *reason, size_t reason_bytes)
{
    if (!filter->denies_machine && !filter->denies_others && !filter->denies_network &&
        !filter->denies_growth)
        return 0;
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int rc = context ? attributes_set(context) : -ENOMEM;
    if (rc == 0)
        rc = rules_add(context, filter);
    if (rc == 0)
        rc = seccomp_load(context);
    if (context)
        seccomp_release(context);
    if (rc < 0)
        snprintf(reason, reason_bytes, "the filter of system calls: %s", strerror(-rc));
    return rc;
}
