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

static int message_send_with(int socket, enum message_kind kind, const struct reply_job *job,
                             const void *body, size_t bytes, int flags);

int message_send(int socket, enum message_kind kind, const void *body, size_t bytes)
{
    return message_send_of(socket, kind, &(const struct reply_job){0}, body, bytes);
}

int message_try_send(int socket, enum message_kind kind, const void *body, size_t bytes)
{
    return message_send_with(socket, kind, &(const struct reply_job){0}, body, bytes, MSG_DONTWAIT);
}

int message_send_of(int socket, enum message_kind kind, const struct reply_job *job,
                    const void *body, size_t bytes)
{
    return message_send_with(socket, kind, job, body, bytes, 0);
}

static int message_send_with(int socket, enum message_kind kind, const struct reply_job *job,
                             const void *body, size_t bytes, int flags)
{
    if (bytes > MESSAGE_BYTES_MAX - sizeof(struct message))
        return -EMSGSIZE;
    struct message header = {
        .magic = MESSAGE_MAGIC,
        .version = PROTOCOL_VERSION,
        .kind = (uint16_t)kind,
        .bytes = (uint32_t)bytes,
        .slot = job->slot,
        .generation = job->generation,
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
        sent = sendmsg(socket, &packet, MSG_NOSIGNAL | flags);
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
    void *body; /* of as many bytes as there is room for */
    size_t body_room;
    int fd; /* owned; -1 when none came */
};

/* Takes one packet. 0; -EMSGSIZE, there is no room for its body, and it is gone; -EPROTO, also when
 * none waits. */
static int message_receive(int socket, struct message_packet *packet)
{
    struct iovec parts[2] = {
        {.iov_base = &packet->header, .iov_len = sizeof packet->header},
        {.iov_base = packet->body, .iov_len = packet->body_room},
    };
    const struct message *header = &packet->header;
    ssize_t received =
        descriptors_receive(socket, &(struct packet){parts, 2, &packet->fd, 1}, MSG_DONTWAIT);
    if (received == -EMSGSIZE) {
        descriptor_close(&packet->fd);
        return -EMSGSIZE;
    }
    if (received >= (ssize_t)sizeof *header && header->magic == MESSAGE_MAGIC &&
        header->version == PROTOCOL_VERSION && header->bytes == (size_t)received - sizeof *header &&
        (header->kind == MESSAGE_FILES || header->kind == MESSAGE_BLOB ||
         header->kind == MESSAGE_PIPE) &&
        (packet->fd != -1) == (header->kind != MESSAGE_FILES))
        return 0;
    descriptor_close(&packet->fd);
    return -EPROTO;
}

/* The next packet of this kind for this run; what comes before it was sent for runs that never
 * came. */
static int message_receive_for(int socket, enum message_kind kind, const struct reply_job *job,
                               struct message_packet *packet)
{
    for (unsigned i = 0; i < MESSAGE_STALE_COUNT_MAX; i++) {
        int rc = message_receive(socket, packet);
        if (rc == -EPROTO)
            return -EPROTO;
        if (rc == 0 && packet->header.kind == kind && packet->header.slot == job->slot &&
            packet->header.generation == job->generation)
            return 0;
        descriptor_close(&packet->fd);
    }
    return -EPROTO;
}

/* One with a number and a descriptor. */
static int message_receive_fd(int socket, enum message_kind kind, const struct reply_job *job,
                              int *fd, uint64_t *number)
{
    struct message_packet packet = {.body = number, .body_room = sizeof *number};
    int rc = message_receive_for(socket, kind, job, &packet);
    if (rc == 0 && packet.header.bytes != sizeof *number) {
        descriptor_close(&packet.fd);
        rc = -EPROTO;
    }
    if (rc < 0)
        return rc;
    *fd = packet.fd;
    return 0;
}

int message_receive_blob(int socket, const struct reply_job *job, int *fd, uint64_t *bytes)
{
    return message_receive_fd(socket, MESSAGE_BLOB, job, fd, bytes);
}

int message_receive_pipe(int socket, const struct reply_job *job, int *fd)
{
    uint64_t number;
    return message_receive_fd(socket, MESSAGE_PIPE, job, fd, &number);
}

ssize_t message_receive_files(int socket, const struct reply_job *job,
                              uint8_t body[MESSAGE_FILES_BYTES_MAX])
{
    struct message_packet packet = {.body = body, .body_room = MESSAGE_FILES_BYTES_MAX};
    int rc = message_receive_for(socket, MESSAGE_FILES, job, &packet);
    return rc == 0 ? (ssize_t)packet.header.bytes : rc;
}
