/* SPDX-License-Identifier: MIT */
/* channel.c - the segment, the bells and the socketpair of one process, and what it says on
 * them. */
#include "dispatcher/workers/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/text/packed.h"
#include "shm/descriptors.h"

static int channel_bells_open(struct channel *channel, struct channel_ends *ends);
static int channel_socket_open(struct channel *channel, struct channel_ends *ends);
static const char *channel_message_read(const uint8_t *data, size_t bytes,
                                        struct channel_message *out);

static bool channel_bytes_wait(const struct channel *channel);

void channel_init(struct channel *channel)
{
    *channel = (struct channel){
        .segment = {.fd = -1}, .bell = {.fd = -1}, .own_bell = {.fd = -1}, .socket = -1};
}

int channel_open(struct channel *channel, struct channel_ends *ends,
                 const struct segment_options *options)
{
    channel_init(channel);
    *ends = (struct channel_ends){-1, -1};
    int rc = segment_create(&channel->segment, options);
    if (rc < 0)
        goto close_all;
    /* These read where our ends of the rings are: before there is a worker that could write
     * there. */
    ring_tx_init(&channel->requests, channel->segment.request_ring, options->request_ring_bytes);
    ring_rx_init(&channel->replies, channel->segment.reply_ring, options->reply_ring_bytes);
    rc = channel_bells_open(channel, ends);
    if (rc < 0)
        goto close_all;
    rc = channel_socket_open(channel, ends);
    if (rc < 0)
        goto close_all;
    return 0;

close_all:
    channel_ends_close(ends);
    channel_close(channel);
    return rc;
}

void channel_set_step_budget(struct channel *channel, uint32_t units)
{
    /* relaxed: a word on its own; which step is the first one with it does not matter. */
    if (channel->segment.header)
        atomic_store_explicit(&channel->segment.header->step_budget, units, memory_order_relaxed);
}

uint32_t channel_capacity(const struct channel *channel, uint32_t slot_count)
{
    /* relaxed: written before READY, which was read. */
    uint64_t capacity =
        atomic_load_explicit(&channel->segment.header->capacity, memory_order_relaxed);
    return capacity > 0 && capacity < slot_count ? (uint32_t)capacity : slot_count;
}

void channel_collect_calls(struct channel *channel, struct call_counts *total)
{
    const struct segment_header *header = channel->segment.header;
    if (!header)
        return;
    calls_collect(&header->steps, &channel->seen.steps, &total->steps);
    calls_collect(&header->batches, &channel->seen.batches, &total->batches);
}

void channel_close(struct channel *channel)
{
    descriptor_close(&channel->bell.fd);
    descriptor_close(&channel->own_bell.fd);
    descriptor_close(&channel->socket);
    segment_detach(&channel->segment);
    channel_init(channel);
}

void channel_ends_close(struct channel_ends *ends)
{
    descriptor_close(&ends->bell);
    descriptor_close(&ends->socket);
}

/* We write to the worker's bell, so our end has flags of its own: it never blocks, whatever the
 * worker does to its end. The flags of an eventfd would be the worker's to change. */
static int channel_bells_open(struct channel *channel, struct channel_ends *ends)
{
    struct segment_header *header = channel->segment.header;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) == -1)
        return -errno;
    ends->bell = pair[0];
    channel->bell = (struct doorbell){&header->worker_bell, pair[1]};
    int own = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (own == -1)
        return -errno;
    channel->own_bell = (struct doorbell){&header->dispatcher_bell, own};
    return 0;
}

static int channel_socket_open(struct channel *channel, struct channel_ends *ends)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return -errno;
    channel->socket = pair[0];
    ends->socket = pair[1];
    descriptors_refuse(channel->socket);
    channel->takes_descriptors = !descriptors_are_refusable(channel->socket);
    return 0;
}

/* ---- what the worker says ------------------------------------------------------------------- */

int channel_take(const struct channel *channel, uint8_t *buffer, struct channel_message *out,
                 const char **wrong)
{
    if (channel_is_stuck(channel)) {
        *wrong = "it sent descriptors";
        return -EBADMSG;
    }
    ssize_t bytes = recv(channel->socket, buffer, MESSAGE_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (bytes == -1 || (bytes == 0 && !channel_bytes_wait(channel)))
        return 0; /* how the process ended is known from its pidfd */
    const char *reason = channel_message_read(buffer, (size_t)bytes, out);
    if (!reason)
        return 1;
    *wrong = reason;
    return -EBADMSG;
}

int channel_send(const struct channel *channel, const struct message *what,
                 const struct packet *body)
{
    struct message header = *what;
    struct iovec parts[1 + CHANNEL_PART_COUNT_MAX] = {{&header, sizeof header}};
    struct packet packet = {.parts = parts, .part_count = 1};
    header.magic = MESSAGE_MAGIC;
    header.version = PROTOCOL_VERSION;
    if (body) {
        mr_assert(body->part_count <= CHANNEL_PART_COUNT_MAX);
        packet.fds = body->fds;
        packet.fd_count = body->fd_count;
    }
    for (size_t i = 0; body && i < body->part_count; i++) {
        parts[packet.part_count++] = body->parts[i];
        header.bytes += (uint32_t)body->parts[i].iov_len;
    }
    return header.bytes > MESSAGE_BYTES_MAX - sizeof header
               ? -E2BIG
               : descriptors_send(channel->socket, &packet, MSG_DONTWAIT);
}

bool channel_is_stuck(const struct channel *channel)
{
    return channel->takes_descriptors && descriptors_wait(channel->socket);
}

bool channel_log_read(const uint8_t *data, size_t bytes, struct channel_log *out)
{
    const uint8_t *end = data + bytes;
    struct packed_item list = {0}, level = {0}, text = {0};
    const uint8_t *at = packed_read_kind(data, end, PACKED_ARRAY, &list);
    at = packed_read_kind(at, end, PACKED_NATURAL, &level);
    at = packed_read_kind(at, end, PACKED_STRING, &text);
    if (!at || list.u.count != 2 || level.u.natural >= LEVEL_COUNT)
        return false;
    *out = (struct channel_log){.level = (enum log_level)level.u.natural,
                                .text = (const char *)text.text,
                                .text_bytes = text.u.count};
    return true;
}

/* Whether more than empty packets is there: what recv() says of one is what it says of the end. */
static bool channel_bytes_wait(const struct channel *channel)
{
    int bytes = 0;
    return ioctl(channel->socket, SIOCINQ, &bytes) == 0 && bytes > 0;
}

/* What is wrong with it, or NULL. `bytes` is what was sent, of which the limit is there. */
static const char *channel_message_read(const uint8_t *data, size_t bytes,
                                        struct channel_message *out)
{
    struct message header;
    if (bytes < sizeof header)
        return "it sent a message cut short";
    if (bytes > MESSAGE_BYTES_MAX)
        return "it sent a message above the limit";
    memcpy(&header, data, sizeof header);
    if (header.magic != MESSAGE_MAGIC || header.version != PROTOCOL_VERSION ||
        header.bytes != bytes - sizeof header)
        return "it speaks another version of the protocol: millrace and the worker are not of one "
               "build";
    if (header.kind != MESSAGE_HELLO && header.kind != MESSAGE_READY &&
        header.kind != MESSAGE_FAILED && header.kind != MESSAGE_FILE &&
        header.kind != MESSAGE_PROGRESS && header.kind != MESSAGE_FORKED)
        return "it sent an unknown message";
    *out = (struct channel_message){.kind = (enum message_kind)header.kind,
                                    .slot = header.slot,
                                    .generation = header.generation,
                                    .body = data + sizeof header,
                                    .body_bytes = bytes - sizeof header};
    return NULL;
}
