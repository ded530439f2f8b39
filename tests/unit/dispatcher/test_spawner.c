/* SPDX-License-Identifier: MIT */
/*
 * test_spawner.c - the life of the spawner: what it has, what it leaves, and how it ends.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "shm/clock.h"
#include "tests/unit/dispatcher/spawned.h"

#include <cmocka.h>

/* ---- the worker ---------------------------------------------------------------------------- */

/* Says a byte, and stays until it is killed; not for ever, should the test fail. */
static _Noreturn void stay(void)
{
    alarm(60);
    if (write(STDOUT_FILENO, "", 1) == 1)
        for (;;)
            pause();
    _exit(1);
}

static bool is_given(int argc, char **argv, const char *source)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], source) == 0)
            return true;
    return false;
}

/* What it does is said by its source. "family": it has a child in a group of its own. */
static int work(int argc, char **argv)
{
    if (is_given(argc, argv, "stay"))
        stay();
    if (is_given(argc, argv, "family")) {
        if (fork() == 0) {
            setpgid(0, 0);
            stay();
        }
        stay();
    }
    return 3;
}

/* ---- the tests ----------------------------------------------------------------------------- */

static struct worker_spawn_options options_of(const char *source, int stdout_fd)
{
    struct worker_spawn_options options = spawned_options(STDERR_FILENO, stdout_fd);
    options.source = source;
    return options;
}

static void a_worker_is_our_child_and_tells_us_how_it_ended(void **state)
{
    (void)state;
    struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
    int pidfd;
    pid_t pid = spawned_start(&options, &pidfd);
    siginfo_t info = spawned_reap(pidfd);
    assert_int_equal(info.si_pid, pid);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 3);
    assert_int_equal(spawner.asked_count, 0);
}

/* What it has besides stderr: /dev/null twice, a socket, and a pidfd unless the kernel is old. */
static bool has_only_its_own(void)
{
    unsigned null_count = 0, socket_count = 0, pidfd_count = 0, count = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[64], target[128];
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)spawner.pid, fd);
        ssize_t bytes = fd == STDERR_FILENO ? -1 : readlink(path, target, sizeof(target) - 1);
        if (bytes == -1)
            continue;
        target[bytes] = '\0';
        count++;
        null_count += strcmp(target, "/dev/null") == 0;
        socket_count += strncmp(target, "socket:", 7) == 0;
        pidfd_count += strstr(target, "pidfd") != NULL;
    }
    return null_count == 2 && socket_count == 1 && pidfd_count <= 1 && count == 3 + pidfd_count;
}

/* Soon: what it is about to close is open for a moment. */
static void expect_only_its_own(void)
{
    for (int i = 0; i < 10000 && !has_only_its_own(); i++)
        poll(NULL, 0, 1);
    assert_true(has_only_its_own());
}

static void it_has_a_socket_a_pidfd_and_nothing_of_ours(void **state)
{
    (void)state;
    int listening = socket(AF_INET, SOCK_STREAM, 0); /* as if somebody forgot SOCK_CLOEXEC */
    spawned_close();
    spawned_open();
    /* The pidfd that it has sent is closed a moment later. */
    expect_only_its_own();
    assert_int_equal(getsid(spawner.pid), spawner.pid);
    close(listening);
}

static void a_program_that_cannot_be_executed_is_said_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int error;
    } cases[] = {
        {"/nonexistent/millrace-worker", ENOENT}, {"/tmp", EACCES}, {"/proc/self/stat", EACCES}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
        struct spawn_answer answer;
        int pidfd, none;
        options.worker_path = cases[i].path;
        pid_t pid = spawned_start(&options, &pidfd);
        siginfo_t info = spawned_reap(pidfd);
        assert_int_equal(info.si_pid, pid);
        assert_int_equal(info.si_status, 127);
        /* It was said before the process ended, so nobody has to wait for it. */
        assert_int_equal(spawner_peek(&spawner, &answer), 1);
        spawner_take(&spawner, &none);
        assert_int_equal(answer.kind, SPAWN_EXEC_FAILED);
        assert_int_equal(answer.error, cases[i].error);
        assert_int_equal(answer.pid, pid);
        assert_int_equal(none, -1);
    }
}

#define LINGER_S 20

/* A connection that keeps who closes it until the other end has read what it never reads. */
static int lingering_open(int *peer)
{
    static char block[65536];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct linger linger = {1, LINGER_S};
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, bytes), 0);
    *peer = accept(listener, NULL, NULL);
    close(listener);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
        continue;
    return fd;
}

static void what_takes_long_to_be_closed_delays_nobody(void **state)
{
    (void)state;
    struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
    uint64_t began_ns = clock_now_ns();
    int peer, pidfd, fd = lingering_open(&peer);
    assert_int_equal(spawner_let_close(&spawner, fd), 0);
    close(fd);
    spawned_start(&options, &pidfd);
    spawned_reap(pidfd);
    assert_true(clock_now_ns() - began_ns < LINGER_S * UINT64_C(500000000));
    expect_only_its_own();
    close(peer);
}

static void what_cannot_be_asked_is_said_at_once(void **state)
{
    (void)state;
    struct worker_spawn_options options = options_of("words.so", 1 << 20);
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), -EBADF);
    char *source = malloc(SPAWN_TEXT_BYTES_MAX + 1);
    assert_non_null(source);
    memset(source, 'x', SPAWN_TEXT_BYTES_MAX);
    source[SPAWN_TEXT_BYTES_MAX] = '\0';
    options = options_of(source, STDERR_FILENO);
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), -E2BIG);
    free(source);
    assert_int_equal(spawner.asked_count, 0);
}

static void no_more_is_asked_than_may_wait(void **state)
{
    (void)state;
    struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
    for (uint32_t i = 0; i < SPAWNER_ASKED_COUNT_MAX; i++)
        assert_int_equal(spawner_ask(&spawner, &options, i, i), 0);
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), -EAGAIN);
    for (uint32_t i = 0; i < SPAWNER_ASKED_COUNT_MAX; i++) {
        struct spawn_answer answer;
        int pidfd;
        assert_int_equal(spawned_answer(&answer, &pidfd), 0);
        assert_int_equal(answer.kind, SPAWN_STARTED);
        assert_int_equal(answer.index, i); /* in the order in which they were asked for */
        assert_int_equal(answer.generation, i);
        spawned_reap(pidfd);
    }
    assert_int_equal(spawner.asked_count, 0);
}

/* More than the socket holds at once. */
static void long_requests_are_asked_one_after_the_other(void **state)
{
    (void)state;
    char reason[CLI_REASON_BYTES];
    struct environment environment = {0};
    char *item = malloc(ENVIRONMENT_BYTES_MAX);
    assert_non_null(item);
    memset(item, 'x', ENVIRONMENT_BYTES_MAX);
    memcpy(item, "A=", 2);
    item[ENVIRONMENT_BYTES_MAX - 1] = '\0';
    assert_int_equal(environment_add(&environment, item, reason), 0);
    struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
    assert_int_equal(spawner_ask(&spawner, &options, 0, 0), 0); /* a short one may be before it */
    options.environment = &environment;
    for (uint32_t i = 1; i < 6; i++) {
        struct spawn_answer answer;
        int pidfd;
        assert_true(spawner_may_ask(&spawner));
        assert_int_equal(spawner_ask(&spawner, &options, i, i), 0);
        assert_false(spawner_may_ask(&spawner));
        assert_int_equal(spawner_ask(&spawner, &options, i, i), -EAGAIN);
        for (uint32_t k = i == 1 ? 0 : i; k <= i; k++) {
            assert_int_equal(spawned_answer(&answer, &pidfd), 0);
            assert_int_equal(answer.index, k);
            spawned_reap(pidfd);
        }
    }
    environment_finish(&environment);
    free(item);
}

static void one_that_hangs_can_be_killed_and_replaced(void **state)
{
    (void)state;
    struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
    struct spawn_answer answer;
    int pidfd;
    assert_int_equal(kill(spawner.pid, SIGSTOP), 0);
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), 0);
    assert_int_equal(spawner_peek(&spawner, &answer), 0);
    spawner_kill(&spawner);
    assert_int_equal(spawner_peek(&spawner, &answer), -EPIPE);
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), -EPIPE);
    spawned_gone();
    uint32_t generation = spawner.generation;
    assert_int_equal(spawner_open(&spawner), 0);
    assert_int_equal(spawner.generation, generation + 1);
    assert_int_equal(spawned_answer(&answer, &spawner.pidfd), 0);
    assert_int_equal(answer.kind, SPAWN_READY);
    spawned_start(&options, &pidfd);
    assert_int_equal(spawned_reap(pidfd).si_status, 3);
}

static void its_death_is_seen_behind_all_that_it_said(void **state)
{
    (void)state;
    struct worker_spawn_options options = options_of("words.so", STDERR_FILENO);
    struct spawn_answer answer;
    int pidfd;
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), 0);
    spawned_wait(spawner.socket);
    assert_int_equal(kill(spawner.pid, SIGKILL), 0);
    spawned_wait(spawner.pidfd);
    assert_int_equal(spawned_answer(&answer, &pidfd), 0);
    assert_int_equal(answer.kind, SPAWN_STARTED);
    /* Told of, and not yet let go: it ends by itself. */
    spawned_reap(pidfd);
    assert_int_equal(spawned_answer(&answer, &pidfd), -EPIPE);
    spawner_kill(&spawner);
}

static unsigned child_count(void)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_not_equal(fd, -1);
    ssize_t bytes = read(fd, text, sizeof(text));
    close(fd);
    unsigned count = 0;
    for (ssize_t i = 0; i < bytes; i++)
        count += text[i] == ' ';
    return count;
}

/* The spawner has made a child and cannot say so: its socket is full. That child must not become a
 * worker that nobody knows of. */
static void a_child_that_was_not_told_of_ends_with_it(void **state)
{
    (void)state;
    int theirs = (int)syscall(SYS_pidfd_getfd, spawner.pidfd, 32, 0);
    if (theirs == -1) {
        print_message("no pidfd_getfd here: %s\n", strerror(errno));
        skip();
    }
    while (send(theirs, "full", 4, MSG_DONTWAIT) == 4)
        continue;
    assert_int_equal(errno, EAGAIN);
    int out[2];
    char byte;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct worker_spawn_options options = options_of("stay", out[1]);
    assert_int_equal(spawner_ask(&spawner, &options, 1, 1), 0);
    close(out[1]);
    while (child_count() < 2)
        poll(NULL, 0, 1);
    spawner_kill(&spawner);
    close(theirs);
    assert_int_equal(read(out[0], &byte, 1), 0); /* it ended, and never was a worker */
    close(out[0]);
}

/* ---- the server ends ----------------------------------------------------------------------- */

/* A process that has a spawner and a family of workers, which all hold `out`. Told to, it stops the
 * spawner, and says a byte. */
static _Noreturn void serve(int out)
{
    struct worker_spawn_options options = options_of("family", out);
    int pidfd, number;
    sigset_t told;
    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    sigprocmask(SIG_BLOCK, &told, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
    spawned_open();
    spawned_start(&options, &pidfd);
    if (sigwait(&told, &number) == 0 && kill(spawner.pid, SIGSTOP) == 0 && write(out, "", 1) == 1)
        for (;;)
            pause();
    _exit(1);
}

static void expect_bytes(int fd, ssize_t count)
{
    char byte;
    for (; count > 0; count--)
        assert_int_equal(read(fd, &byte, 1), 1);
}

/* The end of the pipe is seen when nobody of the family is left. */
static void expect_all_gone_after_the_servers_death(bool is_stopped)
{
    int out[2];
    char byte;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        serve(out[1]);
    close(out[1]);
    expect_bytes(out[0], 2); /* the worker and its child */
    if (is_stopped) {
        assert_int_equal(kill(pid, SIGUSR1), 0);
        expect_bytes(out[0], 1);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(read(out[0], &byte, 1), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(out[0]);
}

static void a_killed_server_leaves_nothing_of_its_workers_families(void **state)
{
    (void)state;
    expect_all_gone_after_the_servers_death(false);
}

static void a_stopped_spawner_goes_on_when_the_server_is_killed(void **state)
{
    (void)state;
    expect_all_gone_after_the_servers_death(true);
}

static void an_orderly_end_leaves_nothing_either(void **state)
{
    (void)state;
    int out[2], pidfd;
    char byte;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct worker_spawn_options options = options_of("family", out[1]);
    spawned_start(&options, &pidfd);
    close(out[1]);
    expect_bytes(out[0], 2);
    spawned_close();
    assert_int_equal(read(out[0], &byte, 1), 0);
    close(out[0]);
    assert_int_equal(spawned_reap(pidfd).si_status, SIGKILL);
}

#define SPAWNER_TEST(name) cmocka_unit_test_setup_teardown(name, spawned_begin, spawned_end)

int main(int argc, char **argv)
{
    alarm(60);
    int code = spawned_main(argc, argv, work);
    if (code >= 0)
        return code;
    const struct CMUnitTest tests[] = {
        SPAWNER_TEST(a_worker_is_our_child_and_tells_us_how_it_ended),
        SPAWNER_TEST(it_has_a_socket_a_pidfd_and_nothing_of_ours),
        SPAWNER_TEST(a_program_that_cannot_be_executed_is_said_exactly),
        SPAWNER_TEST(what_takes_long_to_be_closed_delays_nobody),
        SPAWNER_TEST(what_cannot_be_asked_is_said_at_once),
        SPAWNER_TEST(no_more_is_asked_than_may_wait),
        SPAWNER_TEST(long_requests_are_asked_one_after_the_other),
        SPAWNER_TEST(one_that_hangs_can_be_killed_and_replaced),
        SPAWNER_TEST(its_death_is_seen_behind_all_that_it_said),
        SPAWNER_TEST(a_child_that_was_not_told_of_ends_with_it),
        SPAWNER_TEST(a_killed_server_leaves_nothing_of_its_workers_families),
        SPAWNER_TEST(a_stopped_spawner_goes_on_when_the_server_is_killed),
        SPAWNER_TEST(an_orderly_end_leaves_nothing_either),
    };
    closefrom(3);
    return cmocka_run_group_tests_name("spawner", tests, NULL, NULL);
}
