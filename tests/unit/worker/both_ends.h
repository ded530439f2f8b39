/* SPDX-License-Identifier: MIT */
/*
 * both_ends.h - both ends of a worker's segment in this process: the worker's in a context, for
 * what a test is about, and the dispatcher's, which the test plays.
 *
 * Nothing here waits. A run has the generation that its slot was last offered with.
 */
#ifndef TESTS_WORKER_BOTH_ENDS_H
#define TESTS_WORKER_BOTH_ENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/slot.h"
#include "worker/engine/context.h"

#define BOTH_ENDS_SLOT_COUNT_MAX 8u

struct both_ends {
    struct context *context; /* borrowed: the worker's end */
    int socket;
    struct ring_tx requests;
    struct ring_rx replies;
    uint32_t generations[BOTH_ENDS_SLOT_COUNT_MAX];
    uint64_t charged[BOTH_ENDS_SLOT_COUNT_MAX]; /* to the window of the run, by what was taken */
};

static inline void both_ends_watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = (uint64_t)fd};
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

/* The context is all zeroes before. */
static inline void both_ends_init(struct both_ends *ends, struct context *context,
                                  const struct segment_options *options)
{
    struct attachment *attachment = &context->attachment;
    struct segment *segment = &attachment->segment;
    assert_true(options->slot_count <= BOTH_ENDS_SLOT_COUNT_MAX);
    *ends = (struct both_ends){.context = context};
    assert_int_equal(segment_create(segment, options), 0);
    ring_rx_init(&attachment->request, segment->request_ring, options->request_ring_bytes);
    ring_tx_init(&attachment->reply, segment->reply_ring, options->reply_ring_bytes);
    ring_tx_init(&ends->requests, segment->request_ring, options->request_ring_bytes);
    ring_rx_init(&ends->replies, segment->reply_ring, options->reply_ring_bytes);
    attachment->bell = (struct doorbell){&segment->header->worker_bell, eventfd(0, EFD_NONBLOCK)};
    attachment->dispatcher_bell =
        (struct doorbell){&segment->header->dispatcher_bell, eventfd(0, EFD_NONBLOCK)};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    attachment->socket = pair[0];
    ends->socket = pair[1];
    attachment->wake = -1;
    attachment->epoll = epoll_create1(EPOLL_CLOEXEC);
    both_ends_watch(attachment->epoll, attachment->bell.fd);
    both_ends_watch(attachment->epoll, attachment->socket);
    error_clear(&context->error);
    reply_init(&context->reply, attachment, &context->error);
}

/* After whoever works on the context has finished. */
static inline void both_ends_finish(struct both_ends *ends)
{
    struct attachment *attachment = &ends->context->attachment;
    reply_finish(&ends->context->reply);
    close(attachment->bell.fd);
    close(attachment->dispatcher_bell.fd);
    close(attachment->socket);
    if (attachment->wake != -1)
        close(attachment->wake);
    close(attachment->epoll);
    close(ends->socket);
    segment_detach(&attachment->segment);
}

/* ---- the dispatcher's part ----------------------------------------------------------------- */

static inline struct slot_shared *both_ends_slot(struct both_ends *ends, uint32_t slot)
{
    return &ends->context->attachment.segment.slots[slot];
}

/* A run, with its request (protocol.h). */
static inline void both_ends_offer(struct both_ends *ends, uint16_t slot, const void *request,
                                   uint32_t bytes)
{
    void *room;
    uint32_t generation = ++ends->generations[slot];
    ends->charged[slot] = 0;
    assert_int_equal(ring_claim(&ends->requests, bytes, &room), 0);
    memcpy(room, request, bytes);
    slot_offer(both_ends_slot(ends, slot), generation);
    ring_commit(&ends->requests,
                &(struct record){
                    .kind = RECORD_START, .bytes = bytes, .slot = slot, .generation = generation});
}

static inline void both_ends_stop(struct both_ends *ends)
{
    void *room;
    assert_int_equal(ring_claim(&ends->requests, 0, &room), 0);
    ring_commit(&ends->requests, &(struct record){.kind = RECORD_STOP});
}

static inline void both_ends_cancel(struct both_ends *ends, uint32_t slot, uint32_t reason)
{
    slot_cancel(both_ends_slot(ends, slot), &ends->context->attachment.segment.header->cancel_count,
                ends->generations[slot], reason);
}

/* What was taken of the run so far has reached its client. */
static inline void both_ends_deliver(struct both_ends *ends, uint32_t slot)
{
    slot_deliver(both_ends_slot(ends, slot), ends->charged[slot]);
}

/* The next record that was sent, with as much of its payload as there is room for, and a zero
 * behind it; -1: none. The slot of a run that ended is free then. */
static inline int both_ends_take(struct both_ends *ends, uint32_t *slot, char *payload, size_t room)
{
    struct record meta;
    const void *bytes;
    int rc = ring_peek(&ends->replies, &meta, &bytes);
    assert_true(rc >= 0);
    if (rc == 0)
        return -1;
    assert_true(meta.slot < BOTH_ENDS_SLOT_COUNT_MAX);
    assert_int_equal(meta.generation, ends->generations[meta.slot]);
    size_t count = meta.bytes < room - 1 ? meta.bytes : room - 1;
    memset(payload, 0, room);
    memcpy(payload, bytes, count);
    *slot = meta.slot;
    if (meta.kind == RECORD_CHUNK)
        ends->charged[meta.slot] += meta.bytes + CHUNK_CHARGE_BYTES;
    else if (meta.kind == RECORD_END || meta.kind == RECORD_ERROR)
        slot_free(both_ends_slot(ends, meta.slot), meta.generation);
    ring_release(&ends->replies);
    return meta.kind;
}

#endif
