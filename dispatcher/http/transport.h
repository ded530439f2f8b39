/* SPDX-License-Identifier: MIT */
/*
 * transport.h - what lies between a connection and its socket: nothing, or what turns bytes of HTTP
 * into others and back.
 *
 * A connection has the transport of its listener, and a state that the transport made for it. Each
 * function that is NULL means that bytes are what they are, or that there is nothing to do; then
 * nothing is called for it. The state is the last argument, so that the plain transport has nothing
 * to move on its way to the kernel.
 */
#ifndef DISPATCHER_TRANSPORT_H
#define DISPATCHER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "dispatcher/reactor/uring.h"

struct transport {
    /* The state of a new connection. 0 or -ENOMEM. */
    int (*open)(void **state);
    void (*close)(void *state);

    /* Queues the receive of a socket, as uring_recv() does. */
    void (*recv)(struct uring *uring, int fd, struct uring_ref ref, bool is_single, void *state);

    /* Turns what came into what it means, which lives until the next call. 0, or -EPROTO: it means
     * nothing, and the connection ends. */
    int (*received)(const char **data, size_t *bytes, void *state);

    /* Queues a send of this message, which belongs to the kernel until its completion. What has not
     * left by then is sent once more, by the same bytes at the beginning of the next message. */
    void (*send)(struct uring *uring, int fd, const struct msghdr *message, struct uring_ref ref,
                 void *state);

    /* The kernel took so many bytes: how many of the message's have left by that. */
    size_t (*sent)(size_t bytes, void *state);

    /* Nothing more is sent, or (SHUT_RDWR) received. */
    void (*shut)(int fd, int how, void *state);

    /* Says something on a socket that gets no connection, as far as it takes it at once. NULL:
     * nothing is said. */
    void (*turn_away)(int fd, const char *text, size_t bytes);
};

/* HTTP as it is. */
extern const struct transport transport_plain;

#endif
