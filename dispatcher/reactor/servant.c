/* SPDX-License-Identifier: MIT */
/* servant.c - starting, asking, hearing and ending a process of the server's own. */
#include "dispatcher/reactor/servant.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/reactor/child.h"
#include "shm/descriptors.h"

#define CLOSE_TRIES 500
#define CLOSE_TRY_MS 2

void servant_init(struct servant *servant)
{
    *servant = (struct servant){.socket = -1};
}

int servant_open(struct servant *servant, const char *name, const char *word)
{
    mr_assert(servant->state == SERVANT_NONE);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return -errno;
    descriptors_refuse(pair[0]);
    int rc = child_start(&servant->pid, name, word, pair[1]);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    servant->socket = pair[0];
    servant->state = SERVANT_RUNNING;
    servant->generation++;
    return 0;
}

int servant_ask(const struct servant *servant, const void *message, size_t bytes, const void *more,
                size_t more_bytes, int fd)
{
    /* sendmsg only reads; its type cannot say so. */
    union {
        const void *read_only;
        void *as_iovec_wants;
    } head = {.read_only = message}, tail = {.read_only = more};
    struct iovec parts[] = {{head.as_iovec_wants, bytes}, {tail.as_iovec_wants, more_bytes}};
    struct packet packet = {parts, ARRAY_COUNT(parts), &fd, fd >= 0};
    int rc = descriptors_send(servant->socket, &packet, MSG_DONTWAIT);
    return rc == -ECONNRESET ? -EPIPE : rc;
}

int servant_hear(const struct servant *servant, void *message, size_t bytes)
{
    /* Without room for descriptors, none is made here. */
    ssize_t count = recv(servant->socket, message, bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (count == -1)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (count == 0)
        return -EPIPE;
    return (size_t)count == bytes ? 1 : -EBADMSG;
}

void servant_kill(struct servant *servant)
{
    mr_assert(servant->state == SERVANT_RUNNING);
    kill(servant->pid, SIGKILL); /* not reaped yet, so the number is nobody else's */
    descriptor_close(&servant->socket);
    servant->state = SERVANT_ENDING;
}

bool servant_is_gone(struct servant *servant)
{
    siginfo_t info = {0};
    mr_assert(servant->state == SERVANT_ENDING);
    if (waitid(P_PID, (id_t)servant->pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return false;
    servant->pid = 0;
    servant->state = SERVANT_NONE;
    return true;
}

void servant_close(struct servant *servant)
{
    if (servant->state == SERVANT_RUNNING) {
        descriptor_close(&servant->socket); /* which it takes for our end */
        servant->state = SERVANT_ENDING;
    }
    for (int i = 0; i < CLOSE_TRIES && servant->state == SERVANT_ENDING; i++)
        if (!servant_is_gone(servant))
            poll(NULL, 0, CLOSE_TRY_MS);
    if (servant->state == SERVANT_ENDING)
        kill(servant->pid, SIGKILL);
}
