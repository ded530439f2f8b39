/* SPDX-License-Identifier: MIT */
/*
 * test_calls.c - what is counted of calls, and what is made of it, whatever a worker writes there.
 */
#include "shm/calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define US UINT64_C(1000)

static struct calls_shared shared;
static struct calls seen, total;

static int begin_anew(void **state)
{
    (void)state;
    memset((void *)&shared, 0, sizeof shared);
    seen = total = (struct calls){0};
    return 0;
}

/* Which one of the counts was moved by the one call that was added. */
static uint32_t moved_of(const uint64_t *counts, uint32_t count)
{
    uint32_t moved = count;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(counts[i] <= 1);
        assert_true(counts[i] == 0 || moved == count);
        moved = counts[i] == 1 ? i : moved;
    }
    assert_true(moved < count);
    return moved;
}

static void expect_place(uint64_t time_ns, uint64_t item_count, uint32_t time, uint32_t item)
{
    begin_anew(NULL);
    calls_add(&shared, time_ns, item_count);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(moved_of(total.time_counts, CALLS_TIME_COUNT), time);
    assert_int_equal(moved_of(total.item_counts, CALLS_ITEM_COUNT), item);
    assert_int_equal(calls_count(&total), 1);
}

static void a_call_is_counted_at_the_first_bound_that_it_does_not_pass(void **state)
{
    (void)state;
    expect_place(0, 0, 0, 0);
    expect_place(1, 1, 0, 1);
    expect_place(100 * US, 2, 0, 2);
    expect_place(100 * US + 1, 3, 1, 3);
    expect_place(200 * US, 4, 1, 3);
    expect_place(200 * US + 1, 5, 2, 4);
    expect_place((100 * US) << 16, 8192, 16, 14);
    expect_place(((100 * US) << 16) + 1, 8193, 17, 15);
    expect_place(CALLS_WORD_MAX, CALLS_WORD_MAX, 17, 15);
    expect_place(UINT64_MAX, UINT64_MAX, 17, 15);
}

static void what_came_since_is_added_once(void **state)
{
    (void)state;
    calls_add(&shared, 3 * US, 2);
    calls_add(&shared, 4 * US, 0);
    calls_collect(&shared, &seen, &total);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(total.time_ns, 7 * US);
    assert_int_equal(total.item_count, 2);
    assert_int_equal(calls_count(&total), 2);
    calls_add(&shared, 1 * US, 1);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(total.time_ns, 8 * US);
    assert_int_equal(total.item_count, 3);
    assert_int_equal(calls_count(&total), 3);
}

static void another_worker_goes_on_from_what_was_added_up(void **state)
{
    (void)state;
    calls_add(&shared, 5 * US, 1);
    calls_collect(&shared, &seen, &total);
    memset((void *)&shared, 0, sizeof shared);
    seen = (struct calls){0};
    calls_add(&shared, 2 * US, 1);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(total.time_ns, 7 * US);
    assert_int_equal(calls_count(&total), 2);
}

static void words_that_shrink_add_nothing(void **state)
{
    (void)state;
    calls_add(&shared, 9 * US, 9);
    calls_collect(&shared, &seen, &total);
    memset((void *)&shared, 0, sizeof shared);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(total.time_ns, 9 * US);
    calls_add(&shared, 9 * US, 9);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(total.time_ns, 9 * US);
    assert_int_equal(total.item_count, 9);
    assert_int_equal(calls_count(&total), 1);
}

/* However many workers do it, and however often. */
static void whatever_is_written_totals_stay_bounded_and_never_shrink(void **state)
{
    (void)state;
    uint64_t count = 0;
    for (int i = 0; i < 300; i++) {
        seen = (struct calls){0};
        memset((void *)&shared, i % 3 == 0 ? 0xff : 0x5a ^ i, sizeof shared);
        calls_collect(&shared, &seen, &total);
        assert_true(calls_count(&total) >= count);
        count = calls_count(&total);
    }
    assert_int_equal(total.time_ns, CALLS_WORD_MAX);
    assert_int_equal(count, CALLS_TIME_COUNT * CALLS_WORD_MAX);
    calls_add(&shared, UINT64_MAX, UINT64_MAX);
    calls_collect(&shared, &seen, &total);
    assert_int_equal(total.time_ns, CALLS_WORD_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_is_counted_at_the_first_bound_that_it_does_not_pass,
                               begin_anew),
        cmocka_unit_test_setup(what_came_since_is_added_once, begin_anew),
        cmocka_unit_test_setup(another_worker_goes_on_from_what_was_added_up, begin_anew),
        cmocka_unit_test_setup(words_that_shrink_add_nothing, begin_anew),
        cmocka_unit_test_setup(whatever_is_written_totals_stay_bounded_and_never_shrink,
                               begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
