/* SPDX-License-Identifier: MIT */
/*
 * test_worker_due.c - runs of a real millrace-worker whose next line has its time.
 */
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

#define MS UINT64_C(1000000)

static void runs_that_wait_for_a_time_are_interleaved(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so", .slot_count = 8});
    harness_expect_ready(&h);
    kill(h.pid, SIGSTOP); /* until all are there */
    for (uint32_t slot = 0; slot < 8; slot++)
        harness_run_text(&h, slot, "one two three");
    kill(h.pid, SIGCONT);
    uint32_t counts[8] = {0};
    for (int ended = 0; ended < 8;) {
        struct harness_record record = harness_next(&h);
        assert_int_equal(record.meta.sequence, counts[record.meta.slot]++);
        bool is_end = record.meta.kind == RECORD_END;
        /* One after the other they would not have begun. */
        for (uint32_t slot = 0; is_end && ended == 0 && slot < 8; slot++)
            assert_true(counts[slot] > 0);
        ended += is_end;
        free(record.payload);
    }
    for (uint32_t slot = 0; slot < 8; slot++)
        assert_int_equal(counts[slot], 4);
    harness_stop(&h);
}

static void an_absolute_pace_does_not_drift(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .slot_count = 4});
    harness_expect_ready(&h);
    uint64_t start_ns = harness_now_ns();
    for (uint32_t slot = 0; slot < 4; slot++)
        harness_run_numbers(&h, slot, 50, "", 2);
    for (int ended = 0; ended < 4;) {
        struct harness_record record = harness_next(&h);
        ended += record.meta.kind == RECORD_END;
        free(record.payload);
    }
    uint64_t took_ns = harness_now_ns() - start_ns;
    assert_true(took_ns >= 100 * MS);
    assert_true(took_ns < 1000 * MS);
    harness_stop(&h);
}

/* What its stamp says is no more than what the dispatcher believes. */
static void who_has_nothing_for_ten_hours_is_asked_again_within_one(void **state)
{
    (void)state;
    const uint64_t hour_ms = 3600000;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so"});
    harness_expect_ready(&h);
    uint64_t before_ns = harness_now_ns();
    harness_run_numbers(&h, 0, 3, "", (int64_t)(10 * hour_ms));
    uint64_t end_ns = harness_now_ns() + HARNESS_WAIT_MS * MS, stamp_ns = 0;
    while (stamp_ns < before_ns + hour_ms / 2 * MS) {
        assert_true(harness_now_ns() < end_ns);
        poll(NULL, 0, 1);
        stamp_ns = slot_last_progress(&h.segment.slots[0]);
    }
    assert_true(stamp_ns >= before_ns + hour_ms * MS);
    assert_true(stamp_ns <= harness_now_ns() + hour_ms * MS);
    slot_cancel(&h.segment.slots[0], &h.segment.header->cancel_count, 1, CANCEL_REQUESTED);
    doorbell_ring(&h.worker_bell, DOORBELL_WORK);
    free(harness_next(&h).payload);
    harness_stop(&h);
}

/* Takes what there is until so many runs have ended. `chunk_counts` of each slot. */
static void take_until_ended(struct harness *h, uint32_t run_count, uint32_t *chunk_counts)
{
    for (uint32_t ended = 0; ended < run_count;) {
        struct harness_record record = harness_next(h);
        assert_int_equal(record.meta.sequence, chunk_counts[record.meta.slot]);
        chunk_counts[record.meta.slot] += record.meta.kind == RECORD_CHUNK;
        ended += record.meta.kind == RECORD_END;
        free(record.payload);
    }
}

static uint64_t unread_bytes(const struct harness *h)
{
    return atomic_load(&h->segment.reply_ring->tail) - h->reply.head;
}

/* Each has one line, and all are due before the first one is read. */
static void check_few_are_stepped(const char *source)
{
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = source, .slot_count = 64});
    harness_expect_ready(&h);
    kill(h.pid, SIGSTOP); /* until all are there */
    for (uint32_t slot = 0; slot < 64; slot++)
        harness_run_numbers(&h, slot, 1, "0123456789", 300); /* all have begun by then */
    kill(h.pid, SIGCONT);
    uint64_t end_ns = harness_now_ns() + HARNESS_WAIT_MS * MS;
    while ((atomic_load(&h.worker_bell.shared->asleep) & DOORBELL_SPACE) == 0) {
        assert_true(harness_now_ns() < end_ns);
        poll(NULL, 0, 1);
    }
    harness_wait_asleep(&h);
    assert_true(unread_bytes(&h) >= 2048);
    assert_true(unread_bytes(&h) < 2048 + 16 * 160); /* a line, and the end behind it */
    uint32_t chunk_counts[64] = {0};
    take_until_ended(&h, 64, chunk_counts);
    for (uint32_t slot = 0; slot < 64; slot++)
        assert_int_equal(chunk_counts[slot], 1);
    harness_stop(&h);
}

static void of_many_that_are_due_few_are_stepped_before_their_lines_are_read(void **state)
{
    (void)state;
    check_few_are_stepped("numbers.so");
}

/* One whose line took long is asked for the next one in its next turn, and is no other run then. */
static void of_many_that_are_due_and_slow_few_are_stepped_before_their_lines_are_read(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    check_few_are_stepped(compile("cc", FIXTURES "slow.c", none, "slow.so"));
}

/* A ring that is never empty holds back nobody who is due, as long as others fill it. */
static void a_flood_holds_back_nobody_who_is_due(void **state)
{
    (void)state;
    const uint64_t kept_bytes = 64u * 1024;
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = "numbers.so", .slot_count = 2, .window_bytes = 1u << 30});
    harness_expect_ready(&h);
    harness_run_numbers(&h, 0, 1000000000, "0123456789", 0);
    harness_run_numbers(&h, 1, 20, "0123456789", 1);
    uint64_t end_ns = harness_now_ns() + HARNESS_WAIT_MS * MS;
    for (bool is_over = false; !is_over;) {
        assert_true(harness_now_ns() < end_ns);
        if (unread_bytes(&h) < kept_bytes)
            continue;
        struct harness_record record = harness_next(&h);
        is_over = record.meta.slot == 1 && record.meta.kind == RECORD_END;
        free(record.payload);
    }
    harness_finish(&h);
}

/* One pass as the dispatcher makes it: half of what the windows hold, released, delivered and rung
 * for together. True when the run in slot 0 has come to its end. */
static bool drain_half(struct harness *h, uint32_t run_count, uint32_t window_bytes)
{
    uint64_t charge = 0;
    bool is_over = false;
    while (charge <= run_count * (window_bytes / 2)) {
        struct record meta;
        const void *payload;
        int rc = ring_peek(&h->reply, &meta, &payload);
        assert_true(rc >= 0);
        if (rc == 0)
            break;
        is_over |= meta.slot == 0 && meta.kind == RECORD_END;
        h->charged[meta.slot] += meta.bytes + CHUNK_CHARGE_BYTES;
        charge += meta.bytes + CHUNK_CHARGE_BYTES;
    }
    ring_release(&h->reply);
    for (uint32_t slot = 0; slot < run_count; slot++)
        slot_deliver(&h->segment.slots[slot], h->charged[slot]);
    doorbell_ring(&h->worker_bell, DOORBELL_SPACE | DOORBELL_WINDOW);
    return is_over;
}

/* What floods left in the ring when they used up their windows is no reason to hold anybody. */
static void floods_that_wait_for_their_windows_hold_back_nobody_who_is_due(void **state)
{
    (void)state;
    const uint32_t run_count = 6, window_bytes = 8u * 1024;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so",
                                                .slot_count = run_count,
                                                .window_bytes = window_bytes});
    harness_expect_ready(&h);
    for (uint32_t slot = 1; slot < run_count; slot++)
        harness_run_numbers(&h, slot, 1000000000, "0123456789", 0);
    harness_run_numbers(&h, 0, 100, "0123456789", 1);
    uint64_t end_ns = harness_now_ns() + HARNESS_WAIT_MS * MS;
    uint32_t pass_count = 0, held_count = 0;
    do {
        uint32_t asleep;
        while ((asleep = atomic_load(&h.worker_bell.shared->asleep)) == 0)
            assert_true(harness_now_ns() < end_ns);
        pass_count++;
        held_count += (asleep & DOORBELL_SPACE) != 0; /* the ring is never full */
    } while (!drain_half(&h, run_count, window_bytes));
    /* Now and then is right: when the paced run has to catch up on much. */
    assert_true(held_count <= pass_count / 4);
    harness_finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_wait_for_a_time_are_interleaved),
        cmocka_unit_test(an_absolute_pace_does_not_drift),
        cmocka_unit_test(who_has_nothing_for_ten_hours_is_asked_again_within_one),
        cmocka_unit_test(of_many_that_are_due_few_are_stepped_before_their_lines_are_read),
        cmocka_unit_test(of_many_that_are_due_and_slow_few_are_stepped_before_their_lines_are_read),
        cmocka_unit_test(a_flood_holds_back_nobody_who_is_due),
        cmocka_unit_test(floods_that_wait_for_their_windows_hold_back_nobody_who_is_due),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
