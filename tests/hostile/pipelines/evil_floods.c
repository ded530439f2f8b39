/* SPDX-License-Identifier: MIT */
/* evil_floods.c - more of everything that the dispatcher reads, and processes that do not go
 * away. */
#include "evil.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <millrace/pipeline.h>
#include <millrace/protocol.h>

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Does it again and again for the time that word 1 says, in ms; how often it was possible. */
static int flood(struct evil *evil, bool (*once)(void))
{
    int64_t end_ms = now_ms() + evil_number(evil, 1, 1000);
    long count = 0;
    while (now_ms() < end_ms)
        for (int i = 0; i < 64; i++)
            count += once() ? 1 : 0;
    return evil_say_count(evil, count);
}

static bool output_write(void)
{
    static char block[65536];
    memset(block, 'o', sizeof(block));
    return write(1, block, sizeof(block)) > 0;
}

static bool line_write(void)
{
    return write(2, "a line of a flood\n", 18) > 0;
}

static bool bell_ring(void)
{
    uint64_t one = 1;
    return write(WORKER_FD_DISPATCHER_BELL, &one, sizeof(one)) > 0;
}

static bool packet_send(void)
{
    return send(WORKER_FD_SOCKET, "", 0, MSG_NOSIGNAL) >= 0;
}

/* Each wakes who waits for the other end. */
static bool socket_shut(void)
{
    return shutdown(WORKER_FD_SOCKET, SHUT_RDWR) == 0;
}

static bool log_write(void)
{
    mr_log(MR_LOG_WARNING, "a record of a flood");
    return true;
}

#define FLOOD(name, once)                                                                          \
    static int name(struct evil *evil)                                                             \
    {                                                                                              \
        return flood(evil, once);                                                                  \
    }

FLOOD(flood_output, output_write)
FLOOD(flood_lines, line_write)
FLOOD(flood_bells, bell_ring)
FLOOD(flood_packets, packet_send)
FLOOD(flood_log, log_write)
FLOOD(flood_shutdown, socket_shut)

static int flood_chunks(struct evil *evil)
{
    evil->chunk_count = evil_number(evil, 1, 100000);
    evil->chunk_bytes = (size_t)evil_number(evil, 2, 8);
    return 0;
}

/* A run that does no harm, for as long as somebody reads it. */
static int chunk_slowly(struct evil *evil)
{
    evil->chunk_count = evil_number(evil, 1, 100000);
    evil->pace_ms = 100;
    return 0;
}

/* ---- packets --------------------------------------------------------------------------------- */

/* A packet with 253 descriptors: word 1 of them. */
static int packet_descriptors(struct evil *evil)
{
    enum { COUNT = 253 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(COUNT * sizeof(int))];
    } control = {.header = {CMSG_LEN(COUNT * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct message head = {
        .magic = MESSAGE_MAGIC, .version = PROTOCOL_VERSION, .kind = MESSAGE_READY};
    struct iovec bytes = {&head, sizeof(head)};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = control.header.cmsg_len};
    memset(CMSG_DATA(&control.header), 0, COUNT * sizeof(int));
    for (long i = 0; i < evil_number(evil, 1, 1); i++)
        if (sendmsg(WORKER_FD_SOCKET, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
            return -errno;
    return 0;
}

static int packet_huge(struct evil *evil)
{
    size_t bytes = (size_t)evil_number(evil, 1, 200000);
    char *block = calloc(1, bytes);
    if (!block)
        return -ENOMEM;
    int rc = SAID(send(WORKER_FD_SOCKET, block, bytes, MSG_NOSIGNAL));
    free(block);
    return rc;
}

/* One with a head that lies: kind and bytes are said. */
static int packet_forge(struct evil *evil)
{
    struct message head = {.magic = MESSAGE_MAGIC,
                           .version = PROTOCOL_VERSION,
                           .kind = (uint16_t)evil_number(evil, 1, MESSAGE_HELLO),
                           .bytes = (uint32_t)evil_number(evil, 2, 0)};
    return SAID(send(WORKER_FD_SOCKET, &head, sizeof(head), MSG_NOSIGNAL));
}

/* ---- what is printed ------------------------------------------------------------------------- */

/* Everything that would move a terminal's cursor, hide what follows, or end a line. */
static int print_controls(struct evil *evil)
{
    static const char text[] = "C0 \033[31m \a \r end\n"
                               "raw \x9b"
                               "31m \x85 end\n"
                               "C1 \xc2\x9b"
                               "31m \xc2\x9d"
                               "0;TITLE\xc2\x9c \xc2\x85 end\n"
                               "lines \xe2\x80\xa8 \xe2\x80\xa9 end\n"
                               "bidi \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\x8f end\n"
                               "invalid \xff\xc0\x80\xed\xa0\x80 end\n";
    (void)evil;
    return write(1, text, sizeof(text) - 1) == (ssize_t)(sizeof(text) - 1) ? 0 : -errno;
}

/* ---- processes ------------------------------------------------------------------------------- */

/* Away from the worker's group, or its session, and deaf to all that can be ignored. */
static int leave_child(bool leaves_session)
{
    pid_t child = fork();
    if (child != 0)
        return SAID(child);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (leaves_session)
        setsid();
    else
        setpgid(0, 0);
    for (;;)
        pause();
}

static int daemon_leave(struct evil *evil)
{
    (void)evil;
    return leave_child(true);
}

static int children_leave(struct evil *evil)
{
    int rc = 0;
    for (long i = 0; i < evil_number(evil, 1, 20) && rc == 0; i++)
        rc = leave_child(false);
    return rc;
}

static _Noreturn void *wait_for_ever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}

/* A process of which the first thread has ended looks dead to who reads of it in /proc. */
static int headless_leave(struct evil *evil)
{
    (void)evil;
    pthread_t thread;
    pid_t child = fork();
    if (child != 0)
        return child == -1 ? -errno : evil_say_count(evil, child);
    setpgid(0, 0);
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        _exit(1);
    syscall(SYS_exit, 0);
    return 0;
}

static int fork_storm(struct evil *evil)
{
    long count = 0;
    for (long i = 0; i < evil_number(evil, 1, 500); i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (child == -1)
            return count > 0 ? evil_say_count(evil, count) : -errno;
        count++;
    }
    return evil_say_count(evil, count);
}

static int be_deaf(struct evil *evil)
{
    (void)evil;
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    return pause();
}

static int spin(struct evil *evil)
{
    int64_t end_ms = now_ms() + evil_number(evil, 1, 1000);
    while (now_ms() < end_ms) {
    }
    return 0;
}

const struct attack evil_floods[] = {
    {"flood-output", flood_output, "standard output, in blocks of 64 KiB"},
    {"flood-lines", flood_lines, "standard error, line by line"},
    {"flood-bells", flood_bells, "rings of the dispatcher's bell"},
    {"flood-packets", flood_packets, "packets without a byte"},
    {"flood-log", flood_log, "log records"},
    {"flood-shutdown", flood_shutdown, "hang-ups of its socket"},
    {"flood-chunks", flood_chunks, "small chunks"},
    {"rest", chunk_slowly, "a chunk now and then, and no harm"},
    {"packet-descriptors", packet_descriptors, "packets with 253 descriptors"},
    {"packet-huge", packet_huge, "a packet that is too long"},
    {"packet-forge", packet_forge, "a packet whose head lies"},
    {"print-controls", print_controls, "what would confuse a terminal that shows the log"},
    {"daemon", daemon_leave, "a child in a session of its own that ignores signals"},
    {"headless", headless_leave, "a child whose first thread ends before it"},
    {"children", children_leave, "children in groups of their own that ignore signals"},
    {"fork-storm", fork_storm, "children that end at once"},
    {"deaf", be_deaf, "ignores all signals, and waits for ever"},
    {"spin", spin, "computes"},
    {NULL, NULL, NULL},
};
