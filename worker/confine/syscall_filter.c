/* SPDX-License-Identifier: MIT */
/*
 * syscall_filter.c - seccomp filters that deny a list and allow the rest.
 *
 * A list of what is allowed would be stricter, and would break pipelines with every new version of
 * a C library or of a device's; a list of what is denied names what no pipeline has business with.
 */
#include "worker/confine/syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/confine/filter_rules.h"

/* Of clone(2) and unshare(2). The namespace of clocks has a flag that means something else to
 * clone(2); it is only for those who may already do worse. */
static const uint64_t namespace_flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUSER;

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
    /* What all processes of a user have in common by a name or a key, and is left when they go. */
    SCMP_SYS(shmget),
    SCMP_SYS(shmat),
    SCMP_SYS(shmctl),
    SCMP_SYS(semget),
    SCMP_SYS(semop),
    SCMP_SYS(semtimedop),
    SCMP_SYS(semctl),
    SCMP_SYS(msgget),
    SCMP_SYS(msgsnd),
    SCMP_SYS(msgrcv),
    SCMP_SYS(msgctl),
    SCMP_SYS(mq_open),
    SCMP_SYS(mq_unlink),
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

/* What Landlock does not look at. Those that are newer than libseccomp have one number everywhere:
 * fchmodat2, setxattrat, removexattrat, file_setattr. */
static const int mode_calls[] = {
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(setxattr),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(lsetxattr),
    SCMP_SYS(removexattr),
    SCMP_SYS(fremovexattr),
    SCMP_SYS(lremovexattr),
    452,
    463,
    466,
    469,
};

static const int growth_calls[] = {
    SCMP_SYS(execve),         SCMP_SYS(execveat),
    SCMP_SYS(fork),           SCMP_SYS(vfork),
    SCMP_SYS(socket),         SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
};

static int syscall_filter_add_rules(scmp_filter_ctx context, const struct syscall_filter *filter);
static int syscall_filter_set_attributes(scmp_filter_ctx context);

int syscall_filter_enter(const struct syscall_filter *filter, char *reason, size_t reason_bytes)
{
    if (!syscall_filter_denies(filter))
        return 0;
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int rc = context ? syscall_filter_set_attributes(context) : -ENOMEM;
    if (rc == 0)
        rc = syscall_filter_add_rules(context, filter);
    if (rc == 0)
        rc = seccomp_load(context);
    if (context)
        seccomp_release(context);
    if (rc < 0)
        snprintf(reason, reason_bytes, "the filter of system calls: %s", strerror(-rc));
    return rc;
}

void syscall_filter_mark(void)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int rc = context ? syscall_filter_set_attributes(context) : -ENOMEM;
    if (rc == 0)
        rc = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
    if (rc == 0)
        rc = seccomp_load(context);
    (void)rc; /* where there are no filters, nothing can be shown */
    if (context)
        seccomp_release(context);
}

/* clone3() has its flags in memory, where a filter cannot look. A C library that is told that there
 * is no such call takes clone(). */
static int syscall_filter_hide_clone3(scmp_filter_ctx context)
{
    int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return rc == -EEXIST ? 0 : rc;
}

static int syscall_filter_deny_flags(scmp_filter_ctx context, uint64_t flags_of_clone)
{
    int rc = syscall_filter_hide_clone3(context);
    if (rc == 0)
        rc = rules_deny_bits(context, SCMP_SYS(unshare), 0, namespace_flags);
    return rc < 0 ? rc : rules_deny_bits(context, SCMP_SYS(clone), 0, flags_of_clone);
}

/* CLONE_PARENT gives the dispatcher children that it does not know of. */
static int syscall_filter_deny_clones(scmp_filter_ctx context)
{
    return syscall_filter_deny_flags(context, namespace_flags | CLONE_PARENT);
}

static int syscall_filter_deny_namespaces(scmp_filter_ctx context)
{
    return syscall_filter_deny_flags(context, namespace_flags);
}

/* Whoever opens a file that another process has a lease on waits for as long as the kernel gives
 * that one to let go (45 s). */
static int syscall_filter_deny_machine(scmp_filter_ctx context)
{
    int rc = rules_deny_calls(context, machine_calls, ARRAY_COUNT(machine_calls));
    if (rc == 0)
        rc = rules_deny_number(context, SCMP_SYS(fcntl), 1, F_SETLEASE);
    return rc < 0 ? rc : neighbours_deny_settings(context);
}

/* Whoever closes such a socket waits until the other end has read all of it, for as long as it
 * says: also whoever closes it for the server, if it was sent to it. */
static int syscall_filter_deny_lingering(scmp_filter_ctx context)
{
    const struct scmp_arg_cmp both[] = {{1, SCMP_CMP_MASKED_EQ, UINT32_MAX, SOL_SOCKET},
                                        {2, SCMP_CMP_MASKED_EQ, UINT32_MAX, SO_LINGER}};
    return rules_deny_pair(context, SCMP_SYS(setsockopt), both);
}

/* Of local ones that are connected for good there may be pairs. The others send to any address; a
 * raw one is one of them under another name. */
static int syscall_filter_deny_unconnected(scmp_filter_ctx context)
{
    static const uint8_t types[] = {SOCK_DGRAM, SOCK_RAW};
    int rc = rules_deny_if(context, SCMP_SYS(socketpair), 0, SCMP_CMP_NE, AF_UNIX);
    /* The upper bits of a type are flags. */
    for (size_t i = 0; i < ARRAY_COUNT(types) && rc == 0; i++)
        rc = rules_deny_masked(context, SCMP_SYS(socketpair), 1, 0xf, types[i]);
    return rc;
}

static int syscall_filter_deny_growth(scmp_filter_ctx context)
{
    int rc = rules_deny_calls(context, growth_calls, ARRAY_COUNT(growth_calls));
    if (rc == 0)
        rc = syscall_filter_hide_clone3(context);
    if (rc == 0)
        rc = rules_deny_masked(context, SCMP_SYS(clone), 0, CLONE_THREAD, 0);
    return rc < 0 ? rc : syscall_filter_deny_unconnected(context);
}

static int syscall_filter_deny_modes(scmp_filter_ctx context)
{
    return rules_deny_calls(context, mode_calls, ARRAY_COUNT(mode_calls));
}

static int syscall_filter_add_rules(scmp_filter_ctx context, const struct syscall_filter *filter)
{
    const struct {
        bool is_wanted;
        int (*add)(scmp_filter_ctx context);
    } groups[] = {
        {filter->denies_machine, syscall_filter_deny_machine},
        {filter->denies_machine && !filter->permits_siblings, syscall_filter_deny_clones},
        {filter->denies_machine && filter->permits_siblings, syscall_filter_deny_namespaces},
        {filter->denies_others, neighbours_deny_looks},
        {filter->denies_lingering, syscall_filter_deny_lingering},
        {filter->denies_signals, neighbours_deny_signals},
        {filter->denies_modes, syscall_filter_deny_modes},
        {filter->denies_network, network_deny},
        {filter->denies_detours, network_deny_detours},
        {filter->denies_growth, syscall_filter_deny_growth},
    };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(groups) && rc == 0; i++)
        if (groups[i].is_wanted)
            rc = groups[i].add(context);
    return rc;
}

/* Calls of another architecture's numbers (32-bit programs) are all denied. All threads: whoever
 * loaded an interpreter may have started some. And the processor's guesses past this filter are no
 * secret of ours, so it costs none of the store bypass. */
static int syscall_filter_set_attributes(scmp_filter_ctx context)
{
    int rc = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (rc == 0)
        rc = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = seccomp_attr_set(context, SCMP_FLTATR_CTL_SSB, 1);
    return rc;
}
