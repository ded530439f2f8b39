/* SPDX-License-Identifier: MIT */
/* evil_rights.c - descriptors that are the dispatcher's to close, each of which takes long. */
#include "evil.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/protocol.h>

/* In a packet without a byte; what was sent is closed here, so that its last holder is the
 * socket. */
static int descriptor_pass(int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct msghdr message = {.msg_control = &control, .msg_controllen = control.header.cmsg_len};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    int rc = SAID(sendmsg(WORKER_FD_SOCKET, &message, MSG_NOSIGNAL));
    close(fd);
    return rc;
}

/* A connection whose close waits until the other end has read what it never reads: for as many
 * seconds as word 1 says. */
static int packet_linger(struct evil *evil)
{
    static char block[65536];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct linger linger = {1, (int)evil_number(evil, 1, 5)};
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int sender = socket(AF_INET, SOCK_STREAM, 0);
    if (listener == -1 || sender == -1 ||
        bind(listener, (struct sockaddr *)&address, bytes) == -1 || listen(listener, 1) == -1 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) == -1 ||
        connect(sender, (struct sockaddr *)&address, bytes) == -1 ||
        setsockopt(sender, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == -1)
        return -errno;
    while (send(sender, block, sizeof(block), MSG_DONTWAIT) > 0)
        continue;
    return descriptor_pass(sender);
}

/* Memory, of as many MiB as word 1 says, that is freed with its last descriptor. */
static int packet_memory(struct evil *evil)
{
    int fd = memfd_create("evil", MFD_CLOEXEC);
    if (fd == -1 || posix_fallocate(fd, 0, evil_number(evil, 1, 256) << 20) != 0)
        return -errno;
    return descriptor_pass(fd);
}

const struct attack evil_rights[] = {
    {"packet-linger", packet_linger, "a packet with a connection that does not want to be closed"},
    {"packet-memory", packet_memory, "a packet with memory that takes long to be freed"},
    {NULL, NULL, NULL},
};
