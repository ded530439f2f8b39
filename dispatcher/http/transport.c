/* SPDX-License-Identifier: MIT */
/* transport.c - the plain one: the socket itself. */
#include "dispatcher/http/transport.h"

static void transport_plain_recv(struct uring *uring, int fd, struct uring_ref ref, bool is_single,
                                 void *state)
{
    (void)state;
    uring_recv(uring, fd, ref, is_single);
}

static void transport_plain_send(struct uring *uring, int fd, const struct msghdr *message,
                                 struct uring_ref ref, void *state)
{
    (void)state;
    uring_send(uring, fd, message, ref);
}

static void transport_plain_shut(int fd, int how, void *state)
{
    (void)state;
    shutdown(fd, how);
}

static void transport_plain_turn_away(int fd, const char *text, size_t bytes)
{
    ssize_t sent = send(fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
}

const struct transport transport_plain = {
    .recv = transport_plain_recv,
    .send = transport_plain_send,
    .shut = transport_plain_shut,
    .turn_away = transport_plain_turn_away,
};
