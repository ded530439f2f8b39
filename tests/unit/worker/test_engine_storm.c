/* SPDX-License-Identifier: MIT */
/*
 * test_engine_storm.c - of many wakes from many threads none is lost. ThreadSanitizer looks on.
 */
#include "tests/unit/worker/woken.h"

/* A run takes so many items, and as many runs follow one another in its slot. */
#define ITEM_COUNT 200u
#define RUN_COUNT 30u

struct storm {
    struct fixture *f;
    _Atomic bool is_over;
    /* The waker that the slot's run has, held for the thread; taken by exchange. */
    struct mr_waker *_Atomic offered[SLOT_COUNT];
    _Atomic uint32_t run_counts[SLOT_COUNT]; /* that were started */
};

struct storm_thread {
    struct storm *storm;
    uint32_t slot;
    pthread_t thread;
};

/* Gives each run of its slot its items one at a time, each with a wake; some of the wakes come
 * twice, and some after the run has ended. */
static void *storm_feed(void *argument)
{
    struct storm_thread *self = argument;
    struct storm *storm = self->storm;
    struct stream *stream = &storm->f->streams[self->slot];
    while (!storm->is_over) {
        struct mr_waker *waker = atomic_exchange(&storm->offered[self->slot], NULL);
        if (!waker) {
            sched_yield();
            continue;
        }
        for (uint32_t i = 0; i < ITEM_COUNT; i++) {
            stream->item_count++;
            waker_wake(waker);
            if (i % 3 == 0)
                waker_wake(waker);
        }
        stream->is_over = true;
        waker_wake(waker);
        waker_wake(waker); /* the run may have ended by now */
        waker_release(waker);
    }
    return NULL;
}

static void storm_start_run(struct storm *storm, uint16_t slot)
{
    struct fixture *f = storm->f;
    struct stream *stream = &f->streams[slot];
    waker_release(stream->waker);
    *stream = (struct stream){.f = f, .fd = -1};
    offer(f, slot);
    storm->run_counts[slot]++;
    turn(f); /* which makes the waker */
    assert_non_null(stream->waker);
    atomic_store(&storm->offered[slot], waker_hold(stream->waker));
}

/* A lost wake leaves a run waiting for an hour: then the sleep ends in vain. */
static void of_many_wakes_from_many_threads_none_is_lost(void **state)
{
    (void)state;
    struct fixture f;
    struct storm storm = {.f = &f};
    struct storm_thread threads[SLOT_COUNT];
    start(&f);
    for (uint16_t slot = 0; slot < SLOT_COUNT; slot++) {
        threads[slot] = (struct storm_thread){.storm = &storm, .slot = slot};
        assert_int_equal(pthread_create(&threads[slot].thread, NULL, storm_feed, &threads[slot]),
                         0);
        storm_start_run(&storm, slot);
    }
    uint32_t finished[SLOT_COUNT] = {0};
    while (f.end_count < SLOT_COUNT * RUN_COUNT) {
        int ms = turn(&f);
        for (uint16_t slot = 0; slot < SLOT_COUNT; slot++) {
            struct stream *stream = &f.streams[slot];
            if (stream->close_count == 0 || finished[slot] == storm.run_counts[slot])
                continue;
            assert_int_equal(stream->sent_count, ITEM_COUNT);
            finished[slot]++;
            if (finished[slot] < RUN_COUNT) {
                storm_start_run(&storm, slot);
                ms = 0;
            }
        }
        struct pollfd epoll = {.fd = f.context.attachment.epoll, .events = POLLIN};
        if (ms != 0 && f.end_count < SLOT_COUNT * RUN_COUNT && poll(&epoll, 1, WAIT_MS) != 1)
            fail_msg("nobody is woken any more, %u runs have ended", f.end_count);
    }
    storm.is_over = true;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        pthread_join(threads[slot].thread, NULL);
        assert_int_equal(f.chunk_counts[slot], RUN_COUNT * ITEM_COUNT);
    }
    assert_int_equal(f.error_count, 0);
    settle(&f);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_many_wakes_from_many_threads_none_is_lost),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
