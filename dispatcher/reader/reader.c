/* SPDX-License-Identifier: MIT */
/* reader.c - starting, asking, hearing and ending the reader. */
#include "dispatcher/reader/reader.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/reactor/child.h"
#include "shm/descriptors.h"

#define CLOSE_TRIES 500
#define CLOSE_TRY_MS 2

static int reader_process_start(pid_t *pid, int socket, uint64_t body_bytes_max);

void reader_init(struct reader *reader)
{
    *reader = (struct reader){.socket = -1};
}

int reader_open(struct reader *reader, uint64_t body_bytes_max)
{
    mr_assert(reader->state == READER_NONE);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return -errno;
    descriptors_refuse(pair[0]);
    int rc = reader_process_start(&reader->pid, pair[1], body_bytes_max);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    reader->socket = pair[0];
    reader->state = READER_RUNNING;
    reader->generation++;
    return 0;
}

int reader_ask(const struct reader *reader, const struct read_request *request, const void *rest,
               size_t bytes, int fd)
{
    /* sendmsg only reads; its type cannot say so. */
    union {
        const void *read_only;
        void *as_iovec_wants;
    } header = {.read_only = request}, tail = {.read_only = rest};
    struct iovec parts[] = {{header.as_iovec_wants, sizeof(*request)},
                            {tail.as_iovec_wants, bytes}};
    struct packet packet = {parts, ARRAY_COUNT(parts), &fd, fd >= 0};
    int rc = descriptors_send(reader->socket, &packet, MSG_DONTWAIT);
    return rc == -ECONNRESET ? -EPIPE : rc;
}

int reader_hear(const struct reader *reader, struct read_answer *out)
{
    /* Without room for descriptors, none is made here. */
    ssize_t count = recv(reader->socket, out, sizeof(*out), MSG_DONTWAIT | MSG_TRUNC);
    if (count == -1)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (count == 0)
        return -EPIPE;
    return count == sizeof(*out) ? 1 : -EBADMSG;
}

void reader_kill(struct reader *reader)
{
    mr_assert(reader->state == READER_RUNNING);
    kill(reader->pid, SIGKILL); /* not reaped yet, so the number is nobody else's */
    descriptor_close(&reader->socket);
    reader->state = READER_ENDING;
}

bool reader_is_gone(struct reader *reader)
{
    siginfo_t info = {0};
    mr_assert(reader->state == READER_ENDING);
    if (waitid(P_PID, (id_t)reader->pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return false;
    reader->pid = 0;
    reader->state = READER_NONE;
    return true;
}

void reader_close(struct reader *reader)
{
    if (reader->state == READER_RUNNING) {
        descriptor_close(&reader->socket); /* which it takes for our end */
        reader->state = READER_ENDING;
    }
    for (int i = 0; i < CLOSE_TRIES && reader->state == READER_ENDING; i++)
        if (!reader_is_gone(reader))
            poll(NULL, 0, CLOSE_TRY_MS);
    if (reader->state == READER_ENDING)
        kill(reader->pid, SIGKILL);
}

static int reader_process_start(pid_t *pid, int socket, uint64_t body_bytes_max)
{
    char word[24];
    snprintf(word, sizeof(word), "%llu", (unsigned long long)body_bytes_max);
    return child_start(pid, READER_NAME, word, socket);
}
