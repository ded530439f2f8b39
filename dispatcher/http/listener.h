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

#define LISTENER_ADDRESS_BYTES 80u

struct listener {
    int fd;
    uint32_t generation; /* of the socket in this place */
    bool accept_queued;
    bool is_wanted;                       /* while others come: the configuration has it */
    bool is_new;                          /* likewise: it was opened for that */
    char address[LISTENER_ADDRESS_BYTES]; /* that it was opened for */
    const struct transport *transport;    /* of its connections */
    char name[108];                       /* "127.0.0.1:8080", with the port that was taken */
};

/* Opens "ADDR:PORT" or "[ADDR6]:PORT" in a place that is closed, or has never been used. A patient
 * one waits a moment for an address that is in use. 0, or -EINVAL / -errno with `reason`. */
int listener_open(struct listener *out, const char *address, bool is_patient, char *reason,
                  size_t reason_bytes) MUST_USE;
void listener_close(struct listener *listener);

/* Queues the multishot accept of every listener that has none. */
void listener_arm(struct front *front);

/* Likewise when an accept has ended, or failed some time ago, unless the server drains. */
void listener_on_timer(struct front *front);
void listener_on_accept(struct front *front, const struct uring_event *event);

/* Stops accepting at one, or at all. */
void listener_end(struct front *front, uint32_t index);
void listener_disarm(struct front *front);

#endif
