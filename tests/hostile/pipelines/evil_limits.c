/* SPDX-License-Identifier: MIT */
/*
 * evil_limits.c - takes as much as there is of what the kernel counts for each user.
 *
 * All of it is held until the worker ends; the answer is "ok COUNT". Word 1 is how many at most.
 */
#include "evil.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MANY 1000000L
#define DESCRIPTORS_A_MESSAGE 253

/* As many as one may have. */
static void limit_raise(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(resource, &limit);
    }
}

/* Takes one after the other until the kernel refuses. */
static int take_all(struct evil *evil, int (*take)(long index))
{
    long most = evil_number(evil, 1, MANY);
    long count = 0;
    int rc = 0;
    limit_raise(RLIMIT_NOFILE);
    while (count < most && (rc = take(count)) == 0)
        count++;
    return count > 0 ? evil_say_count(evil, count) : rc;
}

/* ---- descriptors in flight ------------------------------------------------------------------- */

static int message_send(int socket, int count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(DESCRIPTORS_A_MESSAGE * sizeof(int))];
    } control = {.header = {CMSG_LEN((size_t)count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec bytes = {"x", 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = control.header.cmsg_len};
    /* Descriptor 0 over and over. */
    memset(CMSG_DATA(&control.header), 0, (size_t)count * sizeof(int));
    return SAID(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int flight_take(long index)
{
    static int ends[2] = {-1, -1};
    (void)index;
    if (ends[0] == -1 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == -1)
        return -errno;
    int rc = message_send(ends[0], DESCRIPTORS_A_MESSAGE);
    if (rc != -EAGAIN)
        return rc;
    /* This one is full: another one. */
    ends[0] = -1;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == -1)
        return -errno;
    return message_send(ends[0], DESCRIPTORS_A_MESSAGE);
}

/* ---- processes and threads ------------------------------------------------------------------- */

static int process_take(long index)
{
    (void)index;
    pid_t child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    return SAID(child);
}

static void *thread_sleep(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

static int thread_take(long index)
{
    pthread_t thread;
    pthread_attr_t attributes;
    (void)index;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    int rc = -pthread_create(&thread, &attributes, thread_sleep, NULL);
    pthread_attr_destroy(&attributes);
    return rc;
}

/* ---- what the kernel notes ------------------------------------------------------------------- */

static int inotify_take(long index)
{
    (void)index;
    return SAID(inotify_init1(IN_CLOEXEC));
}

static int inotify_watch_take(long index)
{
    static int fd = -1;
    char name[64];
    if (fd == -1 && (fd = inotify_init1(IN_CLOEXEC)) == -1)
        return -errno;
    (void)index;
    /* A watch of its own for each inode: memory files have as many as one likes. */
    int file = memfd_create("watched", MFD_CLOEXEC);
    if (file == -1)
        return -errno;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
    return SAID(inotify_add_watch(fd, name, IN_ALL_EVENTS));
}

static int epoll_watch_take(long index)
{
    static int fd = -1, event = -1;
    struct epoll_event wanted = {.events = EPOLLIN};
    (void)index;
    if (event == -1 && (event = eventfd(0, EFD_CLOEXEC)) == -1)
        return -errno;
    if (fd == -1 || epoll_ctl(fd, EPOLL_CTL_ADD, event, &wanted) == -1) {
        fd = epoll_create1(EPOLL_CLOEXEC);
        if (fd == -1)
            return -errno;
        return SAID(epoll_ctl(fd, EPOLL_CTL_ADD, event, &wanted));
    }
    return 0;
}

static int pipe_take(long index)
{
    int ends[2];
    (void)index;
    if (pipe2(ends, O_CLOEXEC) == -1)
        return -errno;
    /* The most that one pipe of an ordinary user may have. */
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    return 0;
}

static int signal_take(long index)
{
    sigset_t set;
    (void)index;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return SAID(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 0}));
}

static int timer_take(long index)
{
    timer_t timer;
    struct sigevent nothing = {.sigev_notify = SIGEV_NONE};
    (void)index;
    return SAID(timer_create(CLOCK_MONOTONIC, &nothing, &timer));
}

static int aio_take(long index)
{
    static unsigned long contexts[4096];
    if (index >= 4096)
        return -ENOSPC;
    return SAID(syscall(SYS_io_setup, 1024L, &contexts[index]));
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int locked_take(long index)
{
    (void)index;
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    return SAID(mlock(memory, 65536));
}

static int memfd_take(long index)
{
    (void)index;
    return SAID(memfd_create("taken", MFD_CLOEXEC));
}

static int queue_take(long index)
{
    char name[64];
    snprintf(name, sizeof(name), "/evil-%d-%ld", (int)getpid(), index);
    mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
    if (queue == (mqd_t)-1)
        return -errno;
    /* Its memory counts for as long as it is open. */
    mq_unlink(name);
    return 0;
}

static int key_take(long index)
{
    char name[64];
    snprintf(name, sizeof(name), "taken-%ld", index);
    return SAID(syscall(SYS_add_key, "user", name, "x", 1L, -4L));
}

static int socket_take(long index)
{
    (void)index;
    return SAID(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int descriptor_take(long index)
{
    (void)index;
    return SAID(fcntl(0, F_DUPFD_CLOEXEC, 3));
}

#define LIMIT_ATTACK(attack, take)                                                                 \
    static int attack(struct evil *evil)                                                           \
    {                                                                                              \
        return take_all(evil, take);                                                               \
    }

LIMIT_ATTACK(flights_take, flight_take)
LIMIT_ATTACK(processes_take, process_take)
LIMIT_ATTACK(threads_take, thread_take)
LIMIT_ATTACK(inotifys_take, inotify_take)
LIMIT_ATTACK(inotify_watches_take, inotify_watch_take)
LIMIT_ATTACK(epoll_watches_take, epoll_watch_take)
LIMIT_ATTACK(pipes_take, pipe_take)
LIMIT_ATTACK(timers_take, timer_take)
LIMIT_ATTACK(aios_take, aio_take)
LIMIT_ATTACK(memfds_take, memfd_take)
LIMIT_ATTACK(queues_take, queue_take)
LIMIT_ATTACK(keys_take, key_take)
LIMIT_ATTACK(sockets_take, socket_take)
LIMIT_ATTACK(descriptors_take, descriptor_take)

static int signals_take(struct evil *evil)
{
    limit_raise(RLIMIT_SIGPENDING);
    return take_all(evil, signal_take);
}

static int lockeds_take(struct evil *evil)
{
    limit_raise(RLIMIT_MEMLOCK);
    return take_all(evil, locked_take);
}

const struct attack evil_limits[] = {
    {"take-flight", flights_take, "descriptors in flight, 253 a message that nobody receives"},
    {"take-processes", processes_take, "processes"},
    {"take-threads", threads_take, "threads"},
    {"take-inotify", inotifys_take, "instances of inotify"},
    {"take-inotify-watches", inotify_watches_take, "watches of inotify"},
    {"take-epoll-watches", epoll_watches_take, "watches of epoll"},
    {"take-pipes", pipes_take, "pages of pipes"},
    {"take-signals", signals_take, "pending signals"},
    {"take-timers", timers_take, "timers"},
    {"take-aio", aios_take, "contexts of asynchronous input and output"},
    {"take-locked", lockeds_take, "locked memory"},
    {"take-memfds", memfds_take, "memory files"},
    {"take-queues", queues_take, "message queues"},
    {"take-keys", keys_take, "keys"},
    {"take-sockets", sockets_take, "sockets"},
    {"take-descriptors", descriptors_take, "descriptors"},
    {NULL, NULL, NULL},
};
