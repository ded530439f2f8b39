/* SPDX-License-Identifier: MIT */
/*
 * descriptors.h - descriptors: closed once, and passed to another process beside a packet.
 */
#ifndef SHM_DESCRIPTORS_H
#define SHM_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "millrace/check.h"

/* Beside one packet, at most. */
#define DESCRIPTORS_COUNT_MAX 8u

/* One packet of a SOCK_SEQPACKET socket: bytes in some parts, and descriptors beside them. */
struct packet {
    struct iovec *parts;
    size_t part_count;
    int *fds;
    size_t fd_count;
};

/* Closes `*fd`, where there is one; from then on it is -1. */
void descriptor_close(int *fd);

/* Whether a socket of this kernel can refuse descriptors (from Linux 6.16 on). */
bool descriptors_are_refusable(int socket);

/* Nobody sends descriptors to this socket from now on, where it can refuse them. Whoever takes a
 * packet with some, or closes the socket before, closes them, and some take long to be closed. */
void descriptors_refuse(int socket);

/* Whether descriptors wait beside the next packet. To ask takes and closes none. */
bool descriptors_wait(int socket);

/* Sends the packet, with flags of sendmsg(); the descriptors stay the caller's. 0 or -errno. */
int descriptors_send(int socket, const struct packet *packet, int flags) MUST_USE;

/* Takes a packet, with flags of recvmsg(), and all descriptors that came with it and fit: they are
 * the caller's, whatever is returned; the other places are -1. Returns the count of bytes, 0 at the
 * end of the socket, or -errno: -EAGAIN when none waits, -EMSGSIZE for one that is longer than its
 * parts. */
ssize_t descriptors_receive(int socket, const struct packet *packet, int flags) MUST_USE;

#endif
