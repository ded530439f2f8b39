/* SPDX-License-Identifier: MIT */
/*
 * stepped.h - the loop of a pipeline's engine in this process, for tests of it.
 *
 * Both ends of the segment are here: the test is the pipeline's engine and the dispatcher.
 */
#ifndef TESTS_WORKER_STEPPED_H
#define TESTS_WORKER_STEPPED_H

#include <poll.h>
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
#include "worker/native/host_engine.h"
#include "worker/step/step_loop.h"

#define SLOT_COUNT 8u
#define RING_BYTES (1u << 20)
/* So many chunks of one small number fit. */
#define WINDOW_CHUNK_COUNT 3u
#define WINDOW_BYTES (WINDOW_CHUNK_COUNT * (CHUNK_CHARGE_BYTES + 2))

struct fixture {
    struct context context;
    struct step_loop loop;
    struct mr_builder graph;
    struct host_engine engine;
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

static inline void start(struct fixture *f, const struct mr_engine *engine)
{
    memset(f, 0, sizeof *f);
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
    const int words[] = {MR_STREAM};
    graph_engine(&f->graph, engine, sizeof *engine, words, 1);
    assert_null(graph_check(&f->graph));
    host_engine_init(&f->engine, &f->graph, &f->context.error);
    assert_int_equal(step_loop_init(&f->loop, &f->context, &f->engine.host), 0);
}

static inline void finish(struct fixture *f)
{
    struct attachment *attachment = &f->context.attachment;
    step_loop_finish(&f->loop);
    reply_finish(&f->context.reply);
    close(attachment->bell.fd);
    close(attachment->dispatcher_bell.fd);
    close(attachment->socket);
    if (attachment->wake != -1)
        close(attachment->wake);
    close(attachment->epoll);
    close(f->socket);
    segment_detach(&attachment->segment);
}

/* ---- the dispatcher's part ----------------------------------------------------------------- */

static inline struct slot_shared *slot_of(struct fixture *f, uint32_t slot)
{
    return &f->context.attachment.segment.slots[slot];
}

static inline void offer(struct fixture *f, uint16_t slot)
{
    static const char request[] = "\x92\xa3run\x90";
    void *room;
    uint32_t generation = ++f->generations[slot];
    f->charged[slot] = 0;
    assert_int_equal(ring_claim(&f->requests, sizeof request - 1, &room), 0);
    memcpy(room, request, sizeof request - 1);
    slot_offer(slot_of(f, slot), generation);
    ring_commit(&f->requests, &(struct record){.kind = RECORD_START,
                                               .bytes = sizeof request - 1,
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

/* The next record that was sent; its text, or its number, is in what follows. -1: none. The slot of
 * a run that ended is free then. */
static inline int take(struct fixture *f, uint32_t *slot, char *payload, size_t room)
{
    struct record meta;
    const void *bytes;
    int rc = ring_peek(&f->replies, &meta, &bytes);
    assert_true(rc >= 0);
    if (rc == 0)
        return -1;
    assert_true(meta.slot < SLOT_COUNT);
    assert_int_equal(meta.generation, f->generations[meta.slot]);
    size_t count = meta.bytes < room - 1 ? meta.bytes : room - 1;
    memset(payload, 0, room);
    memcpy(payload, bytes, count);
    *slot = meta.slot;
    if (meta.kind == RECORD_CHUNK)
        f->charged[meta.slot] += meta.bytes + CHUNK_CHARGE_BYTES;
    else
        slot_free(slot_of(f, meta.slot), meta.generation);
    ring_release(&f->replies);
    return meta.kind;
}

/* Rounds until there is nothing to do now. */
static inline void settle(struct fixture *f)
{
    uint64_t due_ns;
    for (int i = 0; i < 100; i++) {
        assert_true(step_loop_round(&f->loop, &due_ns));
        if (due_ns == CLOCK_NEVER)
            return;
    }
    fail_msg("the loop does not come to rest");
}

static inline int run_fail(struct mr_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = step_run_vfail(run, MR_ERROR_CUDA, format, arguments);
    va_end(arguments);
    return rc;
}

static inline int engine_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = step_engine_vfail(MR_ERROR_CUDA_OOM, format, arguments);
    va_end(arguments);
    return rc;
}

#endif
