/* SPDX-License-Identifier: MIT */
/* test_fetcher_confine.c - what the fetcher cannot do, and what it still can. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/fetcher/fetcher_confine.h"
#include "millrace/check.h"

#define FILE_BYTES_MAX 4096u
#define NOT_CONFINED 100

static char folder[] = "/tmp/fetcher_confine_XXXXXX";
static char secret[64];

/* The exit code of a confined child that does this; 0: nothing was wrong. */
static void expect_of_child(int (*what)(pid_t parent))
{
    siginfo_t info;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        _exit(what(parent));
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
}

static int first_of(const bool *is_wrong, size_t count)
{
    size_t first = 0;
    while (first < count && !is_wrong[first])
        first++;
    return first == count ? 0 : (int)first + 1;
}

static int misdeed_of(pid_t parent)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1 || !fetcher_confine(parent, FILE_BYTES_MAX))
        return NOT_CONFINED;
    const bool is_possible[] = {
        kill(parent, 0) == 0 || errno != EPERM,
        syscall(SYS_tgkill, parent, parent, 0) == 0 || errno != EPERM,
        fcntl(pair[0], F_SETOWN, parent) == 0 || errno != EPERM,
        ioctl(pair[0], TIOCSTI, "x") == 0 || errno != EPERM,
        socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM,
        socket(AF_PACKET, SOCK_RAW, 0) >= 0 || errno != EPERM,
        syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0 || errno != EPERM,
        syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS,
        execl("/bin/true", "true", NULL) == 0 || errno != EPERM,
        prctl(PR_SET_DUMPABLE, 1) == 0 || errno != EPERM,
        syscall(SYS_prlimit64, parent, RLIMIT_CPU, NULL, NULL) == 0 || errno != EPERM,
        syscall(SYS_process_vm_readv, parent, NULL, 0, NULL, 0, 0) == 0 || errno != EPERM,
        unlink(secret) == 0 || errno != EPERM,
        listen(pair[0], 1) == 0 || errno != EPERM,
    };
    return first_of(is_possible, ARRAY_COUNT(is_possible));
}

static void it_can_do_nothing_to_others(void **state)
{
    (void)state;
    expect_of_child(misdeed_of);
}

static int files_of(pid_t parent)
{
    if (!fetcher_confine(parent, FILE_BYTES_MAX))
        return NOT_CONFINED;
    char path[96];
    snprintf(path, sizeof(path), "%s/new", folder);
    const bool is_wrong[] = {
        open(secret, O_RDONLY) >= 0 || errno != EACCES,
        open(secret, O_WRONLY) >= 0 || errno != EACCES,
        open("/etc/hosts", O_WRONLY) >= 0 || errno != EACCES,
        open(path, O_WRONLY | O_CREAT, 0600) >= 0 || errno != EACCES,
        open("/proc/self/environ", O_RDONLY) >= 0 || errno != EACCES,
        open("/etc/nsswitch.conf", O_RDONLY) == -1 && errno != ENOENT,
        open("/usr/lib", O_RDONLY) == -1 && errno != ENOENT,
    };
    return first_of(is_wrong, ARRAY_COUNT(is_wrong));
}

/* Users alone would do for a server of root; Landlock does for all. */
static void it_reads_what_the_system_has_and_writes_nothing(void **state)
{
    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
        skip();
    expect_of_child(files_of);
}

static void *thread_of(void *context)
{
    *(bool *)context = true;
    return NULL;
}

static int deeds_of(pid_t parent)
{
    bool has_run = false;
    pthread_t thread;
    int flags = -1, waiting = 0;
    char bytes[2 * FILE_BYTES_MAX] = "";
    int given = open(secret, O_WRONLY);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* as the server starts it */
    if (!fetcher_confine(parent, FILE_BYTES_MAX))
        return NOT_CONFINED;
    int made = socket(AF_INET, SOCK_STREAM, 0);
    const bool is_wrong[] = {
        pthread_create(&thread, NULL, thread_of, &has_run) != 0,
        pthread_join(thread, NULL) != 0 || !has_run,
        made == -1 || socket(AF_INET6, SOCK_DGRAM, 0) == -1,
        (flags = fcntl(made, F_GETFL)) == -1 || fcntl(made, F_SETFL, flags | O_NONBLOCK) == -1,
        ioctl(made, FIONREAD, &waiting) == -1 && errno == EPERM,
        pwrite(given, bytes, sizeof(bytes), 0) != FILE_BYTES_MAX, /* as much as it may */
        pwrite(given, bytes, 1, FILE_BYTES_MAX) != -1 || errno != EFBIG,
    };
    return first_of(is_wrong, ARRAY_COUNT(is_wrong));
}

static void it_has_threads_sockets_and_the_files_it_is_given(void **state)
{
    (void)state;
    expect_of_child(deeds_of);
}

static int orphan_of(pid_t parent)
{
    return fetcher_confine(parent + 1, FILE_BYTES_MAX) ? 1 : 0;
}

static void it_is_nothing_without_its_parent(void **state)
{
    (void)state;
    expect_of_child(orphan_of);
}

static int secret_make(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chmod(folder, 0777) == -1)
        return -1;
    snprintf(secret, sizeof(secret), "%s/secret", folder);
    int fd = open(secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return fd == -1 || fchmod(fd, 0666) == -1 ? -1 : close(fd);
}

static int secret_remove(void **state)
{
    (void)state;
    return unlink(secret) == -1 ? -1 : rmdir(folder);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_can_do_nothing_to_others),
        cmocka_unit_test(it_reads_what_the_system_has_and_writes_nothing),
        cmocka_unit_test(it_has_threads_sockets_and_the_files_it_is_given),
        cmocka_unit_test(it_is_nothing_without_its_parent),
    };
    return cmocka_run_group_tests_name("fetcher_confine", tests, secret_make, secret_remove);
}
