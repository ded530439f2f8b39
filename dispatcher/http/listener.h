/* SPDX-License-Identifier: MIT */
/*
 * listener.h - listening sockets.
 */
#ifndef DISPATCHER_LISTENER_H
#define DISPATCHER_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/reactor/uring.h"
#include "millrace/check.h"

struct front;
struct transport;

struct listener {
    int fd;
    bool accept_queued;
    const struct transport *transport; /* of its connections */
    char name[80];                     /* "127.0.0.1:8080", with the port that was taken */
};

/* Opens "ADDR:PORT" or "[ADDR6]:PORT". 0, or -EINVAL / -errno with `reason`. */
int listener_open(struct listener *out, const char *address, char *reason,
                  size_t reason_bytes) MUST_USE;
void listener_close(struct listener *listener);

/* Queues the multishot accept of every listener that has none. */
void listener_arm(struct front *front);

/* Likewise when an accept has ended, or failed some time ago, unless the server drains. */
void listener_on_timer(struct front *front);
void listener_on_accept(struct front *front, const struct uring_event *event);

/* Stops accepting. */
void listener_disarm(struct front *front);

#endif
