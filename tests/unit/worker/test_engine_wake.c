/* SPDX-License-Identifier: MIT */
/*
 * test_engine_wake.c - runs that wait to be woken, by threads or by descriptors: no wake is lost.
 */
#include "tests/unit/worker/woken.h"

/* ---- threads ------------------------------------------------------------------------------- */

static void who_waits_is_asked_again_when_it_is_woken_and_not_before(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    offer(&f, 1);
    settle(&f);
    struct stream *stream = &f.streams[1];
    assert_int_equal(stream->next_count, 1);
    for (int i = 0; i < 5; i++)
        turn(&f);
    assert_int_equal(stream->next_count, 1);
    assert_false(is_readable(&f));

    stream->item_count = 2;
    wake_from_a_thread(stream->waker);
    assert_true(is_readable(&f));
    sleep_and_turn(&f, WAIT_MS);
    assert_int_equal(f.chunk_counts[1], 2);
    assert_int_equal(stream->next_count, 4); /* the last one has nothing */
    assert_false(is_readable(&f));
    end_run(&f, 1);
    assert_int_equal(f.end_count, 1);
    finish(&f);
}

static void a_wake_before_the_run_waits_counts(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    f.streams[0].wakes_itself = true;
    offer(&f, 0);
    settle(&f);
    assert_int_equal(f.chunk_counts[0], 1);
    end_run(&f, 0);
    assert_int_equal(f.end_count, 1);
    finish(&f);
}

static void several_wakes_may_come_to_one(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    offer(&f, 0);
    settle(&f);
    struct stream *stream = &f.streams[0];
    stream->item_count = 3;
    for (int i = 0; i < 3; i++)
        wake_from_a_thread(stream->waker);
    sleep_and_turn(&f, WAIT_MS);
    assert_int_equal(f.chunk_counts[0], 3);
    assert_int_equal(stream->next_count, 5);
    end_run(&f, 0);
    finish(&f);
}

struct carrier {
    struct mr_waker *waker;
    int cargo;
    _Atomic bool is_done;
};

static void *carry(void *argument)
{
    struct carrier *carrier = argument;
    carrier->cargo = 42;
    waker_wake(carrier->waker);
    /* relaxed: it is the wake that has to carry. */
    atomic_store_explicit(&carrier->is_done, true, memory_order_relaxed);
    return NULL;
}

/* Also by a wake that finds the run woken. ThreadSanitizer looks at the orders. */
static void what_was_written_before_a_wake_is_seen_after_it(void **state)
{
    (void)state;
    for (int is_second = 0; is_second <= 1; is_second++) {
        struct fixture f;
        struct carrier carrier = {.cargo = 0};
        start(&f);
        f.streams[0].cargo = &carrier.cargo;
        offer(&f, 0);
        settle(&f);
        carrier.waker = f.streams[0].waker;
        if (is_second)
            waker_wake(carrier.waker);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, carry, &carrier), 0);
        while (!atomic_load_explicit(&carrier.is_done, memory_order_relaxed))
            sched_yield();
        settle(&f);
        assert_int_equal(f.streams[0].seen, 42);
        pthread_join(thread, NULL);
        end_run(&f, 0);
        finish(&f);
    }
}

static void *let_go(void *argument)
{
    struct carrier *carrier = argument;
    waker_release(carrier->waker);
    atomic_store_explicit(&carrier->is_done, true, memory_order_relaxed);
    return NULL;
}

/* ThreadSanitizer sees to it that the last one frees nothing that another may still look at. */
static void who_releases_it_last_frees_it(void **state)
{
    (void)state;
    struct fixture f;
    struct carrier carrier = {.cargo = 0};
    start(&f);
    assert_int_equal(waker_create(&carrier.waker, &f.context.woken, &f.context.attachment, 0, 1),
                     0);
    struct mr_waker *ours = waker_hold(carrier.waker);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, let_go, &carrier), 0);
    while (!atomic_load_explicit(&carrier.is_done, memory_order_relaxed))
        sched_yield();
    waker_release(ours);
    pthread_join(thread, NULL);
    finish(&f);
}

/* Oldest first; each once. */
static void those_that_were_woken_are_asked_in_that_order(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    for (uint16_t slot = 0; slot < 4; slot++)
        offer(&f, slot);
    settle(&f);
    const uint16_t order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++)
        waker_wake(f.streams[order[i]].waker);
    struct mr_waker *list = waker_queue_take(&f.context.woken);
    assert_true(waker_queue_is_empty(&f.context.woken));
    uint16_t slot;
    uint32_t generation;
    for (int i = 0; i < 4; i++) {
        assert_true(waker_next(&list, &slot, &generation));
        assert_int_equal(slot, order[i]);
        assert_int_equal(generation, 1);
    }
    assert_false(waker_next(&list, &slot, &generation));
    for (uint16_t i = 0; i < 4; i++)
        end_run(&f, i);
    assert_int_equal(f.end_count, 4);
    finish(&f);
}

static void waking_a_run_that_has_ended_wakes_nobody_who_has_its_slot_now(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    offer(&f, 0);
    settle(&f);
    struct mr_waker *old = waker_hold(f.streams[0].waker);
    end_run(&f, 0);
    waker_wake(old); /* the slot is free */
    settle(&f);
    waker_release(f.streams[0].waker);
    f.streams[0] = (struct stream){.f = &f, .fd = -1};
    waker_wake(old); /* and still in the queue when the next run starts */
    offer(&f, 0);
    settle(&f);
    assert_int_equal(f.streams[0].next_count, 1);
    wake_from_a_thread(old);
    sleep_and_turn(&f, WAIT_MS);
    assert_int_equal(f.streams[0].next_count, 1);
    waker_release(old);
    f.streams[0].item_count = 1;
    end_run(&f, 0);
    assert_int_equal(f.chunk_counts[0], 1);
    assert_int_equal(f.end_count, 2);
    finish(&f);
}

static void a_time_goes_on_being_one_for_who_is_not_woken(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    f.streams[0].due_ms = 30;
    uint64_t due_ns = clock_now_ns() + 30 * CLOCK_NS_PER_MS;
    offer(&f, 0);
    while (f.streams[0].next_count < 2) {
        int ms = turn(&f);
        if (ms > 0)
            poll(NULL, 0, ms);
    }
    assert_true(clock_now_ns() >= due_ns);
    end_run(&f, 0);
    finish(&f);
}

/* A stamp that lies ahead would say that an hour of silence is meant. */
static void who_waits_to_be_woken_is_stamped_with_now(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    f.streams[1].due_ms = 1000000;
    offer(&f, 0);
    offer(&f, 1);
    settle(&f);
    struct slot_shared *slots = f.context.attachment.segment.slots;
    assert_true(slot_last_progress(&slots[0]) <= clock_now_ns());
    assert_true(slot_last_progress(&slots[1]) > clock_now_ns() + 900000 * CLOCK_NS_PER_MS);
    end_run(&f, 0);
    end_run(&f, 1);
    finish(&f);
}

static void who_is_cancelled_while_it_waits_is_closed_and_woken_in_vain(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    f.streams[1].fd = pipes[0];
    offer(&f, 0);
    offer(&f, 1);
    settle(&f);
    assert_int_equal(f.engine.watched_count, 1);
    for (uint16_t slot = 0; slot < 2; slot++)
        both_ends_cancel(&f.ends, slot, CANCEL_REQUESTED);
    settle(&f);
    assert_int_equal(f.error_count, 2);
    assert_int_equal(f.engine.watched_count, 0);
    for (uint16_t slot = 0; slot < 2; slot++) {
        assert_int_equal(f.streams[slot].close_count, 1);
        assert_int_equal(f.streams[slot].next_count, 1);
        wake_from_a_thread(f.streams[slot].waker);
    }
    assert_int_equal(write(pipes[1], "", 1), 1);
    settle(&f);
    assert_int_equal(f.streams[0].next_count + f.streams[1].next_count, 2);
    close(pipes[0]);
    close(pipes[1]);
    finish(&f);
}

/* ---- descriptors --------------------------------------------------------------------------- */

static void a_descriptor_wakes_the_run_that_waits_for_it(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    int pipes[2][2];
    for (uint16_t slot = 0; slot < 2; slot++) {
        assert_int_equal(pipe2(pipes[slot], O_NONBLOCK | O_CLOEXEC), 0);
        f.streams[slot].fd = pipes[slot][0];
        offer(&f, slot);
    }
    settle(&f);
    assert_int_equal(f.engine.watched_count, 2);
    assert_int_equal(write(pipes[1][1], "", 1), 1);
    f.streams[0].item_count = f.streams[1].item_count = 1;
    f.streams[1].fd = -1;
    sleep_and_turn(&f, WAIT_MS);
    assert_int_equal(f.chunk_counts[0], 0);
    assert_int_equal(f.chunk_counts[1], 1);
    assert_int_equal(f.engine.watched_count, 1);
    /* A hang-up does, too. */
    close(pipes[0][1]);
    f.streams[0].is_over = true;
    sleep_and_turn(&f, WAIT_MS);
    assert_int_equal(f.chunk_counts[0], 1);
    end_run(&f, 1);
    assert_int_equal(f.end_count, 2);
    assert_int_equal(f.engine.watched_count, 0);
    close(pipes[0][0]);
    close(pipes[1][0]);
    close(pipes[1][1]);
    finish(&f);
}

/* The engine never sleeps until one run has noticed that the other one was asked again. */
static void busy(enum restless restless)
{
    struct fixture f;
    start(&f);
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    f.streams[0].restless = restless;
    f.streams[1].fd = pipes[0];
    f.streams[1].is_over_when_asked_again = true;
    offer(&f, 0);
    offer(&f, 1);
    both_ends_stop(&f.ends);
    assert_int_equal(write(pipes[1], "", 1), 1);
    engine_run(&f.engine);
    take_replies(&f);
    assert_int_equal(f.end_count, 2);
    assert_int_equal(f.streams[1].next_count, 2);
    close(pipes[0]);
    close(pipes[1]);
    finish(&f);
}

static void a_worker_that_is_busy_notices_a_descriptor(void **state)
{
    (void)state;
    busy(RESTLESS_ITEMS);
    busy(RESTLESS_DUE);
}

static void what_cannot_be_waited_for_fails_the_run_and_no_other(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    int file = open("Makefile", O_RDONLY | O_CLOEXEC);
    const struct {
        int fd;
        const char *words;
    } cases[] = {
        {file, "cannot be waited for: Operation not permitted"},
        {INT32_MAX, "cannot be waited for: Bad file descriptor"},
        {pipes[0], "cannot be waited for: another run waits for it"},
    };
    f.streams[7].fd = pipes[0];
    offer(&f, 7);
    settle(&f);
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        f.streams[0].fd = cases[i].fd;
        offer(&f, 0);
        settle(&f);
        waker_release(f.streams[0].waker);
        f.streams[0].waker = NULL;
        assert_int_equal(f.error_count, i + 1);
        if (!strstr(f.error + 4, cases[i].words) || !strstr(f.error + 4, "pipe stream: "))
            fail_msg("expected %s, got %s", cases[i].words, f.error + 4);
    }
    assert_int_equal(f.streams[0].close_count, 3);
    assert_int_equal(f.engine.watched_count, 1);
    end_run(&f, 7);
    assert_int_equal(f.end_count, 1);
    close(file);
    close(pipes[0]);
    close(pipes[1]);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_is_asked_again_when_it_is_woken_and_not_before),
        cmocka_unit_test(a_wake_before_the_run_waits_counts),
        cmocka_unit_test(several_wakes_may_come_to_one),
        cmocka_unit_test(what_was_written_before_a_wake_is_seen_after_it),
        cmocka_unit_test(who_releases_it_last_frees_it),
        cmocka_unit_test(those_that_were_woken_are_asked_in_that_order),
        cmocka_unit_test(waking_a_run_that_has_ended_wakes_nobody_who_has_its_slot_now),
        cmocka_unit_test(a_time_goes_on_being_one_for_who_is_not_woken),
        cmocka_unit_test(who_waits_to_be_woken_is_stamped_with_now),
        cmocka_unit_test(who_is_cancelled_while_it_waits_is_closed_and_woken_in_vain),
        cmocka_unit_test(a_descriptor_wakes_the_run_that_waits_for_it),
        cmocka_unit_test(a_worker_that_is_busy_notices_a_descriptor),
        cmocka_unit_test(what_cannot_be_waited_for_fails_the_run_and_no_other),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
