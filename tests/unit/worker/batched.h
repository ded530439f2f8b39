/* SPDX-License-Identifier: MIT */
/*
 * batched.h - the loop of a graph with batched pipes in this process, for tests of it.
 *
 * Both ends of the segment are here: the test is the pipeline and the dispatcher. A run has one
 * input, a number.
 */
#ifndef TESTS_WORKER_BATCHED_H
#define TESTS_WORKER_BATCHED_H

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
#include "shm/clock.h"
#include "shm/slot.h"
#include "worker/native/batch_loop.h"

#define SLOT_COUNT 8u
#define RING_BYTES (1u << 20)
/* So many chunks of one small number fit. */
#define WINDOW_CHUNK_COUNT 3u
#define WINDOW_BYTES (WINDOW_CHUNK_COUNT * (CHUNK_CHARGE_BYTES + 4))

struct fixture {
    struct context context;
    struct batch_loop loop;
    struct mr_builder graph;
    uint32_t generations[SLOT_COUNT];
    uint64_t charged[SLOT_COUNT];
    int socket;
    struct ring_tx requests;
    struct ring_rx replies;
};

static inline void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = (uint64_t)fd};
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

/* Begins a graph; batched_start() follows. */
static inline mr_variable batched_graph(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    return graph_input(&f->graph, &(struct mr_input_options){.type = MR_INTEGER});
}

static inline mr_variable batched_pipe(struct fixture *f, mr_batch_fn *function, enum mr_type type,
                                       mr_variable argument)
{
    const int words[] = {(int)type, argument.index_};
    return graph_pipe_batched(&f->graph, function, "batched", words, 2);
}

static inline mr_variable plain_pipe(struct fixture *f, mr_pipe_fn *function, enum mr_type type,
                                     mr_variable argument)
{
    const int words[] = {(int)type, argument.index_};
    return graph_pipe(&f->graph, function, "plain", words, 2);
}

static inline void batched_start(struct fixture *f, const struct batch_limits *limits)
{
    struct attachment *attachment = &f->context.attachment;
    const struct segment_options options = {.slot_count = SLOT_COUNT,
                                            .request_ring_bytes = RING_BYTES,
                                            .reply_ring_bytes = RING_BYTES,
                                            .window_bytes = WINDOW_BYTES};
    assert_int_equal(segment_create(&attachment->segment, &options), 0);
    struct segment *segment = &attachment->segment;
    ring_rx_init(&attachment->request, segment->request_ring, RING_BYTES);
    ring_tx_init(&attachment->reply, segment->reply_ring, RING_BYTES);
    ring_tx_init(&f->requests, segment->request_ring, RING_BYTES);
    ring_rx_init(&f->replies, segment->reply_ring, RING_BYTES);
    attachment->bell = (struct doorbell){&segment->header->worker_bell, eventfd(0, EFD_NONBLOCK)};
    attachment->dispatcher_bell =
        (struct doorbell){&segment->header->dispatcher_bell, eventfd(0, EFD_NONBLOCK)};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    attachment->socket = pair[0];
    f->socket = pair[1];
    attachment->wake = -1;
    attachment->epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(attachment->epoll, attachment->bell.fd);
    error_clear(&f->context.error);
    reply_init(&f->context.reply, attachment, &f->context.error);
    assert_null(graph_check(&f->graph));
    assert_int_equal(batch_loop_init(&f->loop, &f->context, &f->graph, limits), 0);
}

static inline void finish(struct fixture *f)
{
    struct attachment *attachment = &f->context.attachment;
    batch_loop_finish(&f->loop);
    graph_finish(&f->graph);
    reply_finish(&f->context.reply);
    close(attachment->bell.fd);
    close(attachment->dispatcher_bell.fd);
    close(attachment->socket);
    close(attachment->epoll);
    close(f->socket);
    segment_detach(&attachment->segment);
}

/* ---- the dispatcher's part ------------------------------------------------------------------- */

static inline struct slot_shared *slot_of(struct fixture *f, uint32_t slot)
{
    return &f->context.attachment.segment.slots[slot];
}

static inline void offer(struct fixture *f, uint16_t slot, uint8_t number)
{
    const uint8_t request[] = {0x92, 0xa3, 'r', 'u', 'n', 0x91, 0xcc, number};
    void *room;
    uint32_t generation = ++f->generations[slot];
    f->charged[slot] = 0;
    assert_int_equal(ring_claim(&f->requests, sizeof request, &room), 0);
    memcpy(room, request, sizeof request);
    slot_offer(slot_of(f, slot), generation);
    ring_commit(&f->requests, &(struct record){.kind = RECORD_START,
                                               .bytes = sizeof request,
                                               .slot = slot,
                                               .generation = generation});
}

static inline void send_stop(struct fixture *f)
{
    void *room;
    assert_int_equal(ring_claim(&f->requests, 0, &room), 0);
    ring_commit(&f->requests, &(struct record){.kind = RECORD_STOP});
}

static inline void cancel(struct fixture *f, uint32_t slot)
{
    slot_cancel(slot_of(f, slot), &f->context.attachment.segment.header->cancel_count,
                f->generations[slot], CANCEL_REQUESTED);
}

/* What was read of the run so far has reached its client. */
static inline void deliver(struct fixture *f, uint32_t slot)
{
    slot_deliver(slot_of(f, slot), f->charged[slot]);
}

/* The next record that was sent, -1: none. Of a chunk the number in it; of an error the text behind
 * its type. The slot of a run that ended is free then. */
static inline int take(struct fixture *f, uint32_t *slot, int *number, char *text, size_t room)
{
    struct record meta;
    const void *payload;
    int rc = ring_peek(&f->replies, &meta, &payload);
    assert_true(rc >= 0);
    if (rc == 0)
        return -1;
    assert_true(meta.slot < SLOT_COUNT);
    assert_int_equal(meta.generation, f->generations[meta.slot]);
    const uint8_t *bytes = payload;
    size_t count = meta.bytes < room - 1 ? meta.bytes : room - 1;
    memset(text, 0, room);
    memcpy(text, payload, count);
    *number = meta.kind != RECORD_CHUNK ? -1 : bytes[1] == 0xcc ? bytes[2] : bytes[1];
    *slot = meta.slot;
    if (meta.kind == RECORD_CHUNK)
        f->charged[meta.slot] += meta.bytes + CHUNK_CHARGE_BYTES;
    else
        slot_free(slot_of(f, meta.slot), meta.generation);
    ring_release(&f->replies);
    return meta.kind;
}

static inline int call_fail(struct mr_call *call, const char *text)
{
    error_set(call->error, ERROR_CUDA, "%s", text);
    return -ECANCELED;
}

__attribute__((format(printf, 1, 2))) static inline int batch_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = batch_call_vfail(MR_ERROR_CUDA_OOM, format, arguments);
    va_end(arguments);
    return rc;
}

static inline int64_t number_of_call(const struct mr_call *call)
{
    return call->arguments[0]->u.integer;
}

#endif
