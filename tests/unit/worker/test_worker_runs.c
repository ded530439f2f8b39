/* SPDX-License-Identifier: MIT */
/*
 * test_worker_runs.c - runs on a real millrace-worker, seen through the rings.
 */
#include "tests/unit/worker/harness.h"

static void words_come_one_by_one_and_then_the_end(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so", .name = "my_pipeline"});
    harness_expect_ready(&h);
    uint64_t start_ns = harness_now_ns();
    harness_run_text(&h, 0, "hello there world");
    harness_expect_chunk(&h, 0, 0, "[\"hello \"]");
    assert_true(harness_now_ns() - start_ns >= 100 * UINT64_C(1000000));
    harness_expect_chunk(&h, 0, 1, "[\"there \"]");
    harness_expect_chunk(&h, 0, 2, "[\"world \"]");
    assert_true(harness_now_ns() - start_ns >= 300 * UINT64_C(1000000));
    harness_expect_end(&h, 0, 3);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_one_by_one_and_then_the_end),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
