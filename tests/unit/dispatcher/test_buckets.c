/* SPDX-License-Identifier: MIT */
/*
 * test_buckets.c - a time is counted below the first bound that is not smaller; the short way for
 * gaps counts as the walk does.
 */
#include "dispatcher/reactor/buckets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/check.h"
#include "shm/calls.h"
#include "tests/unit/shm/ring_memory.h"

#define TRIAL_COUNT 200000u

static const struct bucket_scale *const scales[] = {&bucket_scale_runs, &bucket_scale_passes,
                                                    &bucket_scale_gaps, &bucket_scale_calls};

static void the_text_of_a_bound_is_its_seconds_and_bounds_grow(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_COUNT(scales); k++)
        for (uint32_t i = 0; i < scales[k]->count; i++) {
            double ns = strtod(scales[k]->texts[i], NULL) * 1e9;
            assert_int_equal((uint64_t)(ns + 0.5), scales[k]->bounds_ns[i]);
            assert_true(i == 0 || scales[k]->bounds_ns[i] > scales[k]->bounds_ns[i - 1]);
        }
}

static void a_time_is_counted_below_the_bound_that_it_does_not_pass(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_COUNT(scales); k++) {
        struct buckets buckets = {0};
        uint64_t sum_ns = 0;
        for (uint32_t i = 0; i < scales[k]->count; i++) {
            buckets_add(&buckets, scales[k], scales[k]->bounds_ns[i]);
            buckets_add(&buckets, scales[k], scales[k]->bounds_ns[i] + 1);
            sum_ns += 2 * scales[k]->bounds_ns[i] + 1;
        }
        for (uint32_t i = 0; i <= scales[k]->count; i++)
            assert_int_equal(buckets.counts[i], i == 0 || i == scales[k]->count ? 1 : 2);
        assert_int_equal(buckets.sum, sum_ns);
    }
}

static void expect_same(uint64_t value_ns)
{
    struct buckets walked = {0}, counted = {0};
    buckets_add(&walked, &bucket_scale_gaps, value_ns);
    buckets_add_gap(&counted, value_ns);
    if (memcmp(&walked, &counted, sizeof walked) != 0)
        fail_msg("%llu ns", (unsigned long long)value_ns);
}

static void a_gap_is_counted_as_a_walk_would(void **state)
{
    (void)state;
    expect_same(0);
    for (uint32_t i = 0; i < bucket_scale_gaps.count; i++)
        for (uint64_t off = 0; off < 3; off++)
            expect_same(bucket_scale_gaps.bounds_ns[i] - 1 + off);
    for (uint32_t shift = 0; shift < 63; shift++)
        for (uint64_t off = 0; off < 3; off++)
            expect_same((UINT64_C(1) << shift) - 1 + off);
    unsigned seed = 7;
    for (uint32_t i = 0; i < TRIAL_COUNT; i++) {
        uint64_t value = (uint64_t)rand_r(&seed) << 31 | (uint64_t)rand_r(&seed);
        expect_same(value >> rand_r(&seed) % 62);
    }
}

/* The worker counts by its own bounds (shm/calls.h). */
static void the_scales_of_calls_are_those_by_which_workers_count(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < bucket_scale_calls.count; i++) {
        struct calls_shared shared = {0};
        calls_add(&shared, bucket_scale_calls.bounds_ns[i], 0);
        calls_add(&shared, bucket_scale_calls.bounds_ns[i] + 1, 0);
        assert_int_equal(atomic_load(&shared.time_counts[i]), 1);
        assert_int_equal(atomic_load(&shared.time_counts[i + 1]), 1);
    }
    for (uint32_t i = 0; i < bucket_scale_items.count; i++) {
        struct calls_shared shared = {0};
        uint64_t bound = strtoul(bucket_scale_items.texts[i], NULL, 10);
        calls_add(&shared, 0, bound);
        calls_add(&shared, 0, bound + 1);
        assert_int_equal(atomic_load(&shared.item_counts[i]), 1);
        assert_int_equal(atomic_load(&shared.item_counts[i + 1]), 1);
    }
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_of_a_bound_is_its_seconds_and_bounds_grow),
        cmocka_unit_test(a_time_is_counted_below_the_bound_that_it_does_not_pass),
        cmocka_unit_test(a_gap_is_counted_as_a_walk_would),
        cmocka_unit_test(the_scales_of_calls_are_those_by_which_workers_count),
    };
    return cmocka_run_group_tests_name("buckets", tests, descriptors_note, descriptors_compare);
}
