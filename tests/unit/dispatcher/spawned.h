/* SPDX-License-Identifier: MIT */
/*
 * spawned.h - a real spawner under test, and processes that it starts.
 *
 * The spawner and the workers are the test program itself: its main() calls spawned_main() first.
 */
#ifndef TESTS_DISPATCHER_SPAWNED_H
#define TESTS_DISPATCHER_SPAWNED_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/workers/spawner.h"
#include "tests/unit/dispatcher/fds.h"

static struct spawner spawner;
static char own_path[PATH_MAX];
static int spawned_fd_count; /* before the test */

/* The exit code, if this process was started to be something else than the test; else -1. */
static inline int spawned_main(int argc, char **argv, int (*worker)(int argc, char **argv))
{
    ssize_t bytes = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
    mr_assert(bytes > 0);
    own_path[bytes] = '\0';
    if (strcmp(argv[0], SPAWNER_NAME) == 0)
        return spawner_main(argc, argv);
    return strcmp(argv[0], "millrace-worker") == 0 ? worker(argc, argv) : -1;
}

static inline void spawned_wait(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    while (poll(&wanted, 1, -1) == -1)
        mr_assert(errno == EINTR);
}

/* The next answer, with its pidfd. -EPIPE: there will be none. */
static inline int spawned_answer(struct spawn_answer *answer, int *pidfd)
{
    int rc;
    while ((rc = spawner_peek(&spawner, answer)) == 0)
        spawned_wait(spawner.socket);
    if (rc > 0)
        spawner_take(&spawner, pidfd);
    return rc < 0 ? rc : 0;
}

/* Asks with index and generation 1, and expects a process. */
static inline pid_t spawned_start(const struct worker_spawn_options *options, int *pidfd)
{
    struct spawn_answer answer;
    mr_assert(spawner_ask(&spawner, options, 1, 1) == 0);
    mr_assert(spawned_answer(&answer, pidfd) == 0);
    mr_assert(answer.kind == SPAWN_STARTED);
    mr_assert(answer.index == 1 && answer.generation == 1 && answer.pid > 0 && *pidfd >= 0);
    return answer.pid;
}

/* How it ended; it is our child. */
static inline siginfo_t spawned_reap(int pidfd)
{
    siginfo_t info = {0};
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == -1)
        mr_assert(errno == EINTR);
    close(pidfd);
    return info;
}

static inline bool nobody(const void *context, pid_t pid)
{
    (void)context, (void)pid;
    return false;
}

/* After spawner_kill(). */
static inline void spawned_gone(void)
{
    while (!spawner_is_gone(&spawner, nobody, NULL))
        poll(NULL, 0, 1);
}

static inline void spawned_close(void)
{
    if (spawner.state == SPAWNER_ENDING)
        spawned_gone();
    spawner_close(&spawner);
    mr_assert(spawner.state == SPAWNER_NONE);
    spawner_init(&spawner, (struct own_users){0});
}

static inline int spawned_lift(int fd)
{
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    mr_assert(lifted >= 0);
    close(fd);
    return lifted;
}

/* Its descriptors are not in the way of those that tests want to have certain numbers. */
static inline void spawned_open(void)
{
    struct spawn_answer answer;
    int pidfd;
    spawner_init(&spawner, (struct own_users){0});
    mr_assert(spawner_open(&spawner) == 0);
    spawner.socket = spawned_lift(spawner.socket);
    mr_assert(spawned_answer(&answer, &pidfd) == 0);
    mr_assert(answer.kind == SPAWN_READY && answer.pid == spawner.pid && pidfd >= 0);
    spawner.pidfd = spawned_lift(pidfd);
}

/* The setup of a test: a spawner is there. */
static inline int spawned_begin(void **state)
{
    (void)state;
    spawned_fd_count = fds_count();
    spawned_open();
    return 0;
}

/* Its teardown: no descriptor and no child is left. */
static inline int spawned_end(void **state)
{
    (void)state;
    spawned_close();
    siginfo_t info;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD)
        return -1;
    return fds_count() == spawned_fd_count ? 0 : -1;
}

/* A worker on `fd`, whatever that is, which prints to `stdout_fd`. */
static inline struct worker_spawn_options spawned_options(int fd, int stdout_fd)
{
    return (struct worker_spawn_options){.worker_path = own_path,
                                         .source = "words.so",
                                         .pointer = "me/words:v1",
                                         .index = 7,
                                         .segment_fd = fd,
                                         .worker_bell_fd = fd,
                                         .dispatcher_bell_fd = fd,
                                         .socket_fd = fd,
                                         .stdout_fd = stdout_fd,
                                         .stderr_fd = STDERR_FILENO};
}

#endif
