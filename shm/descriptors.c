/* SPDX-License-Identifier: MIT */
/* descriptors.c - descriptors as ancillary data of a packet. */
#include "shm/descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The room that the kernel reads or fills, aligned as it wants it. */
union control {
    char bytes[CMSG_SPACE(DESCRIPTORS_COUNT_MAX * sizeof(int))];
    struct cmsghdr align;
};

/* Newer than the headers at hand. */
#define PASS_RIGHTS 83

bool descriptors_are_refusable(int socket)
{
    int passes;
    socklen_t bytes = sizeof(passes);
    return getsockopt(socket, SOL_SOCKET, PASS_RIGHTS, &passes, &bytes) == 0;
}

void descriptors_refuse(int socket)
{
    const int no = 0;
    (void)setsockopt(socket, SOL_SOCKET, PASS_RIGHTS, &no, sizeof(no));
}

bool descriptors_wait(int socket)
{
    /* Without room for them, they are missed, and that is said. */
    char byte;
    struct iovec part = {&byte, sizeof(byte)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT) >= 0 &&
           (message.msg_flags & MSG_CTRUNC) != 0;
}

void descriptor_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* With room for exactly the packet's descriptors: no other can come. */
static struct msghdr message_of(const struct packet *packet, union control *control)
{
    mr_assert(packet->fd_count <= DESCRIPTORS_COUNT_MAX);
    struct msghdr message = {.msg_iov = packet->parts, .msg_iovlen = packet->part_count};
    if (packet->fd_count > 0) {
        message.msg_control = control->bytes;
        message.msg_controllen = CMSG_LEN(packet->fd_count * sizeof(int));
    }
    return message;
}

int descriptors_send(int socket, const struct packet *packet, int flags)
{
    union control control = {0};
    struct msghdr message = message_of(packet, &control);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights) {
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = message.msg_controllen;
        memcpy(CMSG_DATA(rights), packet->fds, packet->fd_count * sizeof(int));
    }
    return sendmsg(socket, &message, flags | MSG_NOSIGNAL) == -1 ? -errno : 0;
}

ssize_t descriptors_receive(int socket, const struct packet *packet, int flags)
{
    union control control = {0};
    struct msghdr message = message_of(packet, &control);
    for (size_t i = 0; i < packet->fd_count; i++)
        packet->fds[i] = -1;
    ssize_t count = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    if (count == -1)
        return -errno;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
        size_t bytes = rights->cmsg_len - CMSG_LEN(0);
        mr_assert(bytes <= packet->fd_count * sizeof(int));
        memcpy(packet->fds, CMSG_DATA(rights), bytes);
    }
    return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : count;
}
