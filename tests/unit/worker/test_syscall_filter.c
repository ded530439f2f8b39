/* SPDX-License-Identifier: MIT */
/*
 * test_syscall_filter.c - what each part of the filter denies and leaves, without Landlock, so that
 * nothing else can have denied it.
 *
 * A filter is for good, so each test enters its own in a child process. There the dispatcher is the
 * parent, which is this program.
 */
#include "worker/confine/syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Bits above those that the kernel reads of an int. */
#define UPPER (INT64_C(0x5a) << 32)

static int wrong_count; /* in the child */

/* What the call came to is an errno, or 0; and is it the one that is expected? */
static void expect(int line, const char *text, long result, int expected)
{
    int found = result == -1 ? errno : 0;
    if (found == expected)
        return;
    fprintf(stderr, "line %d: %s: %s instead of %s\n", line, text, strerrorname_np(found),
            strerrorname_np(expected));
    wrong_count++;
}
#define EXPECT(call, expected) expect(__LINE__, #call, call, expected)

static void in_child(const struct syscall_filter *filter, void (*look)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char reason[128];
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
            syscall_filter_enter(filter, reason, sizeof reason) != 0)
            _exit(100);
        look();
        _exit(wrong_count);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- settings of others -------------------------------------------------------------------- */

static void look_at_limits(void)
{
    struct rlimit limit;
    long own = getpid(), parent = getppid();
    EXPECT(syscall(SYS_prlimit64, 0L, RLIMIT_CPU, NULL, &limit), 0);
    EXPECT(syscall(SYS_prlimit64, 0L, RLIMIT_CPU, &limit, NULL), 0);
    EXPECT(syscall(SYS_prlimit64, own, RLIMIT_CPU, &limit, NULL), 0);
    EXPECT(syscall(SYS_prlimit64, parent, RLIMIT_CPU, &limit, NULL), EPERM);
    EXPECT(syscall(SYS_prlimit64, parent, RLIMIT_CPU, NULL, &limit), EPERM);
    EXPECT(syscall(SYS_prlimit64, parent | UPPER, RLIMIT_CPU, NULL, &limit), EPERM);
    EXPECT(syscall(SYS_prlimit64, 1L, RLIMIT_CPU, NULL, &limit), EPERM);
    EXPECT(syscall(SYS_prlimit64, own - 1, RLIMIT_CPU, NULL, &limit), EPERM);
    EXPECT(syscall(SYS_prlimit64, own + 1, RLIMIT_CPU, NULL, &limit), EPERM);
    EXPECT(syscall(SYS_prlimit64, -1L, RLIMIT_CPU, NULL, &limit), EPERM);
}

static void look_at_priorities(void)
{
    const struct sched_param param = {0};
    long own = getpid(), parent = getppid();
    EXPECT(syscall(SYS_setpriority, PRIO_PROCESS, 0L, 19L), 0);
    EXPECT(syscall(SYS_setpriority, PRIO_PROCESS, own, 19L), 0);
    EXPECT(syscall(SYS_setpriority, PRIO_PROCESS, parent, 19L), EPERM);
    EXPECT(syscall(SYS_setpriority, PRIO_PROCESS, parent | UPPER, 19L), EPERM);
    EXPECT(syscall(SYS_setpriority, PRIO_PGRP, 0L, 19L), EPERM);
    EXPECT(syscall(SYS_setpriority, PRIO_USER, 0L, 19L), EPERM);
    EXPECT(syscall(SYS_setpriority, PRIO_USER | UPPER, 0L, 19L), EPERM);
    EXPECT(syscall(SYS_ioprio_set, 1L, 0L, 0L), 0);
    EXPECT(syscall(SYS_ioprio_set, 1L, parent, 0L), EPERM);
    EXPECT(syscall(SYS_ioprio_set, 2L, 0L, 0L), EPERM);
    EXPECT(syscall(SYS_ioprio_set, 3L, 0L, 0L), EPERM);
    EXPECT(syscall(SYS_sched_setscheduler, 0L, SCHED_BATCH, &param), 0);
    EXPECT(syscall(SYS_sched_setscheduler, own, SCHED_BATCH, &param), 0);
    EXPECT(syscall(SYS_sched_setscheduler, parent, SCHED_BATCH, &param), EPERM);
    EXPECT(syscall(SYS_sched_setparam, parent, &param), EPERM);
    EXPECT(syscall(SYS_sched_setattr, parent, &param, 0L), EPERM);
    EXPECT(syscall(SYS_sched_getscheduler, parent), 0); /* to know is no harm */
}

static void look_at_processors(void)
{
    cpu_set_t all;
    EXPECT(sched_getaffinity(0, sizeof all, &all), 0);
    EXPECT(syscall(SYS_sched_setaffinity, 0L, sizeof all, &all), 0);
    EXPECT(syscall(SYS_sched_setaffinity, (long)getpid(), sizeof all, &all), 0);
    EXPECT(syscall(SYS_sched_setaffinity, (long)getppid(), sizeof all, &all), EPERM);
    EXPECT(syscall(SYS_sched_setaffinity, getppid() | UPPER, sizeof all, &all), EPERM);
    if (getsid(0) != 0) /* 0: this program's session is another namespace's */
        EXPECT(syscall(SYS_sched_setaffinity, (long)getsid(0), sizeof all, &all), EPERM);
}

static void look_at_what_stays(void)
{
    EXPECT(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0), EPERM);
    EXPECT(syscall(SYS_fcntl, 2L, F_SETLEASE, F_RDLCK), EPERM);
    EXPECT(syscall(SYS_fcntl, 2L, F_SETLEASE | UPPER, F_RDLCK), EPERM);
    EXPECT(fcntl(2, F_GETFD), 0);
    if (getsid(0) != 0)
        EXPECT(syscall(SYS_setpgid, 0L, (long)getsid(0)), EPERM);
    EXPECT(setpgid(0, 0), 0);
    EXPECT(syscall(SYS_shmget, 0L, 4096L, 0600L), EPERM);
    EXPECT(syscall(SYS_mq_open, "/x", O_CREAT | O_RDWR, 0600L, NULL), EPERM);
    EXPECT(kill(getpid(), 0), 0);
    EXPECT(kill(getppid(), 0), 0); /* that is another part's, or Landlock's */
}

static void only_ones_own_settings_can_be_changed(void **state)
{
    const struct syscall_filter filter = {.denies_machine = true};
    (void)state;
    in_child(&filter, look_at_limits);
    in_child(&filter, look_at_priorities);
    in_child(&filter, look_at_processors);
    in_child(&filter, look_at_what_stays);
}

static void look_at_others(void)
{
    cpu_set_t all;
    EXPECT(sched_getaffinity(0, sizeof all, &all), 0);
    EXPECT(syscall(SYS_sched_setaffinity, 0L, sizeof all, &all), 0);
    EXPECT(syscall(SYS_sched_setaffinity, (long)getpid(), sizeof all, &all), 0);
    EXPECT(syscall(SYS_sched_setaffinity, 1L, sizeof all, &all), EPERM);
    EXPECT(syscall(SYS_sched_setaffinity, getpid() + 1L, sizeof all, &all), EPERM);
    EXPECT(syscall(SYS_move_pages, 0L, 0L, NULL, NULL, NULL, 0L), 0);
    EXPECT(syscall(SYS_move_pages, (long)getppid(), 0L, NULL, NULL, NULL, 0L), EPERM);
    EXPECT(syscall(SYS_migrate_pages, (long)getppid(), 0L, NULL, NULL), EPERM);
    EXPECT(syscall(SYS_process_mrelease, -1L, 0L), EPERM);
    EXPECT(syscall(SYS_get_robust_list, (long)getppid(), NULL, NULL), EPERM);
}

static void nobody_else_can_be_bound_or_looked_into(void **state)
{
    const struct syscall_filter filter = {.denies_others = true};
    (void)state;
    in_child(&filter, look_at_others);
}

/* ---- signals ------------------------------------------------------------------------------- */

static void look_at_signals(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};
    long parent = getppid(), own = getpid();
    EXPECT(kill(getpid(), 0), 0);
    EXPECT(raise(SIGCHLD), 0);
    EXPECT(kill(getppid(), 0), EPERM);
    EXPECT(syscall(SYS_kill, parent | UPPER, 0L), EPERM);
    if (getsid(0) != 0)
        EXPECT(kill(getsid(0), 0), EPERM);
    EXPECT(kill(-1, 0), EPERM);
    if (getpgid(getppid()) != 0)
        EXPECT(kill(-getpgid(getppid()), 0), EPERM);
    EXPECT(syscall(SYS_tgkill, own, own, 0L), 0);
    EXPECT(syscall(SYS_tgkill, parent, parent, 0L), EPERM);
    EXPECT(syscall(SYS_tkill, parent, 0L), EPERM);
    EXPECT(syscall(SYS_rt_sigqueueinfo, parent, 0L, &info), EPERM);
    EXPECT(syscall(SYS_rt_tgsigqueueinfo, parent, parent, 0L, &info), EPERM);
    int pidfd = (int)syscall(SYS_pidfd_open, parent, 0L);
    EXPECT(syscall(SYS_pidfd_send_signal, pidfd, 0L, NULL, 0L), EPERM);
    EXPECT(fcntl(2, F_SETOWN, getppid()), EPERM);
    EXPECT(syscall(SYS_fcntl, 2L, F_SETSIG | UPPER, SIGKILL), EPERM);
    EXPECT(syscall(SYS_ioctl, 2L, 0x8901L, &parent), EPERM); /* FIOSETOWN */
    pid_t child = fork();
    if (child == 0)
        pause();
    EXPECT(kill(child, SIGKILL), 0);
    EXPECT(waitpid(child, NULL, 0) == child ? 0 : -1, 0);
}

static void the_server_cannot_be_signalled_and_children_can(void **state)
{
    const struct syscall_filter filter = {.denies_signals = true};
    (void)state;
    in_child(&filter, look_at_signals);
}

/* ---- sockets ------------------------------------------------------------------------------- */

#define MPTCP 262

static void look_at_sockets(void)
{
    char byte = 0;
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(tcp, 0);
    EXPECT(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), 0);
    EXPECT(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), 0);
    EXPECT(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP), 0);
    EXPECT(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), 0); /* routes, for names */
    EXPECT(socket(AF_UNIX, SOCK_SEQPACKET, 0), 0);
    EXPECT(socket(AF_INET, SOCK_STREAM, MPTCP), EPERM);
    EXPECT(syscall(SYS_socket, AF_INET | UPPER, SOCK_STREAM, MPTCP | UPPER), EPERM);
    EXPECT(socket(AF_INET6, SOCK_STREAM, MPTCP), EPERM);
    EXPECT(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), EPERM);
    EXPECT(socket(AF_INET, SOCK_SEQPACKET, 0), EPERM);
    EXPECT(socket(AF_INET, SOCK_DCCP, 0), EPERM);
    EXPECT(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), EPERM);
    EXPECT(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EPERM);
    EXPECT(socket(AF_INET, SOCK_RAW, IPPROTO_TCP), EPERM);
    EXPECT(syscall(SYS_socket, AF_INET | UPPER, SOCK_RAW, IPPROTO_TCP), EPERM);
    EXPECT(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    EXPECT(socket(AF_VSOCK, SOCK_STREAM, 0), EPERM);
    EXPECT(socket(43 /* SMC */, SOCK_STREAM, 0), EPERM);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 4 /* SOCK_DIAG */), EPERM);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 6 /* XFRM */), EPERM);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 17), EPERM);
    EXPECT(socket(AF_ALG, SOCK_SEQPACKET, 0), EPERM);
    EXPECT(listen(tcp, 1), EPERM);
    EXPECT(syscall(SYS_sendto, tcp, &byte, 1L, MSG_FASTOPEN, NULL, 0L), EPERM);
    EXPECT(syscall(SYS_sendmsg, tcp, NULL, MSG_FASTOPEN | UPPER), EPERM);
    EXPECT(syscall(SYS_sendmmsg, tcp, NULL, 1L, MSG_FASTOPEN | MSG_MORE), EPERM);
    EXPECT(syscall(SYS_io_uring_setup, 1L, NULL), EPERM);
}

static void nothing_reaches_a_port_past_the_rules_for_ports(void **state)
{
    const struct syscall_filter filter = {.denies_detours = true};
    (void)state;
    in_child(&filter, look_at_sockets);
}

static void look_at_everything(void)
{
    look_at_limits();
    look_at_others();
    EXPECT(socket(AF_INET, SOCK_STREAM, 0), EPERM);
    EXPECT(kill(getppid(), 0), EPERM);
}

static void look_at_pairs(void)
{
    int pair[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), EPERM);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), EPERM);
    EXPECT(socketpair(AF_UNIX, SOCK_RAW, 0, pair), EPERM);
    EXPECT(syscall(SYS_socketpair, (long)AF_UNIX, SOCK_DGRAM | UPPER, 0L, pair), EPERM);
    EXPECT(socketpair(AF_TIPC, SOCK_STREAM, 0, pair), EPERM);
    EXPECT(syscall(SYS_socketpair, AF_UNIX | UPPER, (long)SOCK_STREAM, 0L, pair), EPERM);
}

static void who_may_have_no_sockets_has_none_that_send_to_any_address(void **state)
{
    (void)state;
    in_child(&(struct syscall_filter){.denies_growth = true}, look_at_pairs);
}

static void look_at_modes(void)
{
    long fd = memfd_create("modes", 0);
    EXPECT(syscall(SYS_fchmod, fd, 0600), EPERM);
    EXPECT(syscall(SYS_chmod, "/nothing", 0600), EPERM);
    EXPECT(syscall(SYS_fchmodat, AT_FDCWD, "/nothing", 0600, 0), EPERM);
    EXPECT(syscall(SYS_fchown, fd, getuid(), getgid()), EPERM);
    EXPECT(syscall(SYS_setxattr, "/nothing", "user.a", "", 0L, 0L), EPERM);
    EXPECT(syscall(SYS_removexattr, "/nothing", "user.a"), EPERM);
    for (size_t i = 0; i < 4; i++) /* of a kernel that has them */
        EXPECT(syscall((long[]){452, 463, 466, 469}[i], -1L, "", 0L, 0L, 0L, 0L), EPERM);
    EXPECT(syscall(SYS_ftruncate, fd, 4096L), 0);
}

static void nobody_changes_who_may_do_what_with_a_file(void **state)
{
    (void)state;
    in_child(&(struct syscall_filter){.denies_modes = true}, look_at_modes);
}

static void look_at_lingering(void)
{
    const struct linger linger = {1, 5};
    const int one = 1;
    long fd = socket(AF_UNIX, SOCK_STREAM, 0), bytes = sizeof linger;
    EXPECT(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &linger, bytes), EPERM);
    EXPECT(syscall(SYS_setsockopt, fd, SOL_SOCKET | UPPER, SO_LINGER | UPPER, &linger, bytes),
           EPERM);
    EXPECT(setsockopt((int)fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one), 0);
}

static void no_socket_keeps_who_closes_it(void **state)
{
    (void)state;
    in_child(&(struct syscall_filter){.denies_lingering = true}, look_at_lingering);
}

static void all_parts_fit_one_filter(void **state)
{
    const struct syscall_filter filter = {.denies_machine = true,
                                          .denies_others = true,
                                          .denies_signals = true,
                                          .denies_network = true,
                                          .denies_detours = true,
                                          .denies_growth = true};
    (void)state;
    in_child(&filter, look_at_everything);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_ones_own_settings_can_be_changed),
        cmocka_unit_test(nobody_else_can_be_bound_or_looked_into),
        cmocka_unit_test(the_server_cannot_be_signalled_and_children_can),
        cmocka_unit_test(nothing_reaches_a_port_past_the_rules_for_ports),
        cmocka_unit_test(who_may_have_no_sockets_has_none_that_send_to_any_address),
        cmocka_unit_test(nobody_changes_who_may_do_what_with_a_file),
        cmocka_unit_test(no_socket_keeps_who_closes_it),
        cmocka_unit_test(all_parts_fit_one_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
