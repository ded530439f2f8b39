/* SPDX-License-Identifier: MIT */
/*
 * test_worker_due.c - runs of a real millrace-worker whose next line has its time.
 */
#include "tests/unit/worker/harness.h"

#define MS UINT64_C(1000000)

static void runs_that_wait_for_a_time_are_interleaved(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so", .slot_count = 8});
    harness_expect_ready(&h);
    uint64_t start_ns = harness_now_ns();
    for (uint32_t slot = 0; slot < 8; slot++)
        harness_run_text(&h, slot, "one two three");
    uint32_t counts[8] = {0};
    for (int ended = 0; ended < 8;) {
        struct harness_record record = harness_next(&h);
        assert_int_equal(record.meta.sequence, counts[record.meta.slot]++);
        ended += record.meta.kind == RECORD_END;
        free(record.payload);
    }
    for (uint32_t slot = 0; slot < 8; slot++)
        assert_int_equal(counts[slot], 4);
    /* One after the other they would take 3.2 s. */
    assert_true(harness_now_ns() - start_ns < 1600 * MS);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_wait_for_a_time_are_interleaved),
        cmocka_unit_test(an_absolute_pace_does_not_drift),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
