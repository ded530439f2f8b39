/* SPDX-License-Identifier: MIT */
/*
 * message.c - packets with a header, and descriptors beside them.
 */
#include "worker/engine/message.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "shm/descriptors.h"

/* A blob's message waits in the socket before its START is committed; more than these were sent for
 * runs that never came. */
#define MESSAGE_STALE_COUNT_MAX 1024u

int message_send(int socket, enum message_kind kind, const void *body, size_t bytes)
{
    if (bytes > MESSAGE_BYTES_MAX - sizeof(struct message))
        return -EMSGSIZE;
    struct message header = {
        .magic = MESSAGE_MAGIC,
        .version = PROTOCOL_VERSION,
        .kind = (uint16_t)kind,
        .bytes = (uint32_t)bytes,
    };
    /* sendmsg only reads; its type cannot say so. */
    union {
        const void *read_only;
        void *as_iovec_wants;
    } pointer = {.read_only = body};
    struct iovec parts[2] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = pointer.as_iovec_wants, .iov_len = bytes},
    };
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = bytes > 0 ? 2 : 1};
    ssize_t sent;
    do {
        sent = sendmsg(socket, &packet, MSG_NOSIGNAL);
    } while (sent == -1 && errno == EINTR);
    return sent == -1 ? -errno : 0;
}

int message_send_value(int socket, enum message_kind kind, struct mr_value *value)
{
    if (value->status == -E2BIG)
        return -EMSGSIZE;
    int rc = value_check(value);
    return rc != 0 ? rc
                   : message_send(socket, kind, value->begin, (size_t)(value->at - value->begin));
}

int message_send_failed(int socket, const struct error *error)
{
    struct buffer body = {.data = NULL};
    struct mr_value value;
    value_start_in_buffer(&value, &body, NULL);
    value_error(&value, error, error->traceback != NULL);
    int rc = message_send_value(socket, MESSAGE_FAILED, &value);
    buffer_finish(&body);
    return rc;
}

struct message_packet {
    struct message header;
    uint64_t blob_bytes;
    int fd; /* owned; -1 when none came */
};

/* Takes one packet. 0, or -EPROTO, also when none waits. */
static int message_receive(int socket, struct message_packet *out)
{
    struct iovec parts[2] = {
        {.iov_base = &out->header, .iov_len = sizeof out->header},
        {.iov_base = &out->blob_bytes, .iov_len = sizeof out->blob_bytes},
    };
    ssize_t received =
        descriptors_receive(socket, &(struct packet){parts, 2, &out->fd, 1}, MSG_DONTWAIT);
    if (received == (ssize_t)(sizeof out->header + sizeof out->blob_bytes) &&
        out->header.magic == MESSAGE_MAGIC && out->header.version == PROTOCOL_VERSION &&
        out->header.kind == MESSAGE_BLOB && out->header.bytes == sizeof out->blob_bytes &&
        out->fd != -1)
        return 0;
    descriptor_close(&out->fd);
    return -EPROTO;
}

int message_receive_blob(int socket, uint32_t slot, uint32_t generation, int *fd, uint64_t *bytes)
{
    for (unsigned i = 0; i < MESSAGE_STALE_COUNT_MAX; i++) {
        struct message_packet packet;
        if (message_receive(socket, &packet) != 0)
            return -EPROTO;
        if (packet.header.slot == slot && packet.header.generation == generation) {
            *fd = packet.fd;
            *bytes = packet.blob_bytes;
            return 0;
        }
        close(packet.fd);
    }
    return -EPROTO;
}
