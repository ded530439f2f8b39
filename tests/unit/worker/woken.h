/* SPDX-License-Identifier: MIT */
/*
 * woken.h - an engine in this process, for tests of runs that wait to be woken.
 *
 * The host makes runs of one stream each, whose next() is the test's; other threads wake them. The
 * engine sleeps as the worker's does.
 */
#ifndef TESTS_WORKER_WOKEN_H
#define TESTS_WORKER_WOKEN_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "shm/clock.h"
#include "tests/unit/worker/both_ends.h"
#include "worker/engine/engine.h"

#define SLOT_COUNT 8u
#define RING_BYTES (1u << 20)
#define WAIT_MS 20000

struct fixture;

/* Until the stream of slot 1 was asked twice, this one has always an item, or is always due. */
enum restless { RESTLESS_NOT = 0, RESTLESS_ITEMS, RESTLESS_DUE };

/* The stream of the run in one slot. */
struct stream {
    struct fixture *f;
    struct mr_waker *waker;
    _Atomic uint32_t item_count; /* there are so many; more when a thread says so */
    _Atomic bool is_over;
    uint32_t sent_count;
    uint32_t next_count; /* how often next() was called */
    uint32_t close_count;
    int fd; /* waited for; -1: none */
    uint64_t due_ms;
    bool wakes_itself; /* within next(), once */
    bool is_over_when_asked_again;
    const int *cargo; /* looked at when it is asked again; not atomic */
    int seen;
    enum restless restless;
};

struct fixture {
    struct host host; /* first */
    struct context context;
    struct both_ends ends;
    struct engine engine;
    struct stream streams[SLOT_COUNT];
    struct lockstep_output outputs[SLOT_COUNT];
    uint32_t chunk_counts[SLOT_COUNT];
    uint32_t end_count, error_count;
    char error[512];
};

static inline int later(struct mr_value *value, uint64_t due_ns, int fd)
{
    value->is_later = true;
    value->due_ns = due_ns;
    value->later_fd = fd;
    value->later_events = POLLIN;
    return MR_LATER;
}

static inline int stream_next(void *state, struct mr_value *out)
{
    struct stream *stream = state;
    stream->next_count++;
    if (stream->cargo && stream->next_count == 2)
        stream->seen = *stream->cargo;
    if (stream->is_over_when_asked_again && stream->next_count == 2)
        return MR_END;
    if (stream->restless != RESTLESS_NOT && stream->f->streams[1].next_count == 2)
        return MR_END;
    if (stream->restless != RESTLESS_NOT)
        return stream->restless == RESTLESS_DUE ? later(out, clock_now_ns(), -1) : value_none(out);
    if (stream->wakes_itself) {
        stream->wakes_itself = false;
        waker_wake(stream->waker);
        stream->item_count++;
        return later(out, CLOCK_NEVER, -1);
    }
    if (stream->sent_count < stream->item_count)
        return value_natural(out, stream->sent_count++);
    if (stream->is_over)
        return MR_END;
    uint64_t due_ns = CLOCK_NEVER;
    if (stream->due_ms > 0)
        due_ns = clock_now_ns() + stream->due_ms * CLOCK_NS_PER_MS;
    stream->due_ms = 0;
    return later(out, due_ns, stream->fd);
}

static inline void stream_close(void *state)
{
    ((struct stream *)state)->close_count++;
}

static inline int host_start(struct host *host, struct job *job)
{
    struct fixture *f = (struct fixture *)(void *)host;
    uint16_t slot = job->reply.slot;
    struct stream *stream = &f->streams[slot];
    assert_int_equal(waker_create(&job->waker, &f->context.woken, &f->context.attachment, slot,
                                  job->reply.generation),
                     0);
    stream->waker = waker_hold(job->waker);
    f->outputs[slot] = (struct lockstep_output){.iterator = {stream, stream_next, stream_close},
                                                .is_stream = true,
                                                .is_open = true,
                                                .name = "stream"};
    lockstep_start(&job->lockstep, &f->outputs[slot], 1);
    return HOST_STARTED;
}

static inline void start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->host.start = host_start;
    const struct segment_options options = {.slot_count = SLOT_COUNT,
                                            .request_ring_bytes = RING_BYTES,
                                            .reply_ring_bytes = RING_BYTES,
                                            .window_bytes = 1u << 20};
    both_ends_init(&f->ends, &f->context, &options);
    assert_int_equal(engine_init(&f->engine, &f->context, &f->host), 0);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        f->streams[slot] = (struct stream){.f = f, .fd = -1};
}

static inline void finish(struct fixture *f)
{
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        waker_release(f->streams[slot].waker);
    engine_finish(&f->engine);
    both_ends_finish(&f->ends);
}

static inline void offer(struct fixture *f, uint16_t slot)
{
    static const char request[] = "\x92\xa3run\x90";
    both_ends_offer(&f->ends, slot, request, sizeof request - 1);
}

/* Takes what the engine sent, and delivers it. */
static inline void take_replies(struct fixture *f)
{
    uint32_t slot;
    char payload[sizeof f->error];
    int kind;
    while ((kind = both_ends_take(&f->ends, &slot, payload, sizeof payload)) != -1) {
        if (kind == RECORD_CHUNK) {
            f->chunk_counts[slot]++;
            slot_deliver(both_ends_slot(&f->ends, slot), UINT64_MAX / 2);
        } else if (kind == RECORD_END || kind == RECORD_ERROR) {
            f->end_count += kind == RECORD_END;
            f->error_count += kind == RECORD_ERROR;
            memcpy(f->error, payload, sizeof f->error);
        }
    }
}

/* A turn of the engine, and what it sent. Milliseconds until the next one; -1: no time. */
static inline int turn(struct fixture *f)
{
    uint64_t due_ns;
    assert_true(engine_turn(&f->engine, &due_ns));
    take_replies(f);
    if (due_ns == 0)
        return 0;
    uint64_t now_ns = clock_now_ns();
    if (due_ns == CLOCK_NEVER || due_ns > now_ns + 3000 * CLOCK_NS_PER_S)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / CLOCK_NS_PER_MS) + 1;
}

/* Turns until there is nothing to do now. */
static inline void settle(struct fixture *f)
{
    for (int i = 0; i < 100; i++)
        if (turn(f) != 0)
            return;
    fail_msg("the engine does not come to rest");
}

/* Sleeps as the engine would, as it is a turn's end; then the turns that are due. */
static inline void sleep_and_turn(struct fixture *f, int ms)
{
    struct pollfd epoll = {.fd = f->context.attachment.epoll, .events = POLLIN};
    assert_int_not_equal(poll(&epoll, 1, ms), -1);
    settle(f);
}

static inline bool is_readable(const struct fixture *f)
{
    struct pollfd epoll = {.fd = f->context.attachment.epoll, .events = POLLIN};
    return poll(&epoll, 1, 0) == 1;
}

static inline void *wake_elsewhere(void *waker)
{
    waker_wake(waker);
    return NULL;
}

static inline void wake_from_a_thread(struct mr_waker *waker)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_elsewhere, waker), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static inline void end_run(struct fixture *f, uint16_t slot)
{
    f->streams[slot].is_over = true;
    waker_wake(f->streams[slot].waker);
    settle(f);
}

#endif
