/* SPDX-License-Identifier: MIT */
/*
 * test_timer.c - the heap of deadlines does what a plain list searched from end to end does.
 */
#include "dispatcher/reactor/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define TIMER_COUNT 97u
#define STEP_COUNT 200000u

static struct timers timers;

static int heap_make(void **state)
{
    (void)state;
    return timers_reserve(&timers, TIMER_COUNT);
}

static int heap_remove(void **state)
{
    (void)state;
    timers_finish(&timers);
    return 0;
}

static void nothing_is_due_when_nothing_is_armed(void **state)
{
    (void)state;
    assert_null(timers_take(&timers, UINT64_MAX));
    assert_true(timers_next_ms(&timers) == UINT64_MAX);
}

static void a_timer_fires_at_its_time_and_not_a_millisecond_earlier(void **state)
{
    (void)state;
    struct timer timer = {0};
    timer_set(&timers, &timer, 1000);
    assert_int_equal(timers_next_ms(&timers), 1000);
    assert_null(timers_take(&timers, 999));
    assert_ptr_equal(timers_take(&timers, 1000), &timer);
}

static void a_fired_timer_is_disarmed_and_may_be_armed_again(void **state)
{
    (void)state;
    struct timer timer = {0};
    timer_set(&timers, &timer, 1);
    assert_ptr_equal(timers_take(&timers, 1), &timer);
    assert_int_equal(timer.position, 0);
    assert_null(timers_take(&timers, UINT64_MAX));
    timer_set(&timers, &timer, 2);
    assert_ptr_equal(timers_take(&timers, 2), &timer);
}

static void setting_an_armed_timer_moves_it_both_ways(void **state)
{
    (void)state;
    struct timer first = {0}, second = {0};
    timer_set(&timers, &first, 10);
    timer_set(&timers, &second, 20);
    timer_set(&timers, &first, 30);
    assert_int_equal(timers_next_ms(&timers), 20);
    timer_set(&timers, &first, 5);
    assert_int_equal(timers_next_ms(&timers), 5);
    assert_ptr_equal(timers_take(&timers, 100), &first);
    assert_ptr_equal(timers_take(&timers, 100), &second);
    assert_null(timers_take(&timers, 100));
}

static void a_cleared_timer_never_fires_and_clearing_twice_is_nothing(void **state)
{
    (void)state;
    struct timer timer = {0};
    timer_set(&timers, &timer, 1);
    timer_clear(&timers, &timer);
    timer_clear(&timers, &timer);
    assert_null(timers_take(&timers, UINT64_MAX));
}

static void every_timer_there_can_be_has_a_place(void **state)
{
    (void)state;
    struct timer all[TIMER_COUNT] = {0};
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        timer_set(&timers, &all[i], TIMER_COUNT - i);
    for (uint32_t i = TIMER_COUNT; i-- > 0;)
        assert_ptr_equal(timers_take(&timers, UINT64_MAX), &all[i]);
}

/* ---- the model: due times in an array, UINT64_MAX where not armed ---- */

struct model {
    struct timer timer[TIMER_COUNT];
    uint64_t due_ms[TIMER_COUNT];
};

static uint64_t model_next(const struct model *model)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        next = model->due_ms[i] < next ? model->due_ms[i] : next;
    return next;
}

static void heap_check(const struct model *model)
{
    uint32_t armed_count = 0;
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        const struct timer *timer = &model->timer[i];
        assert_true((timer->position != 0) == (model->due_ms[i] != UINT64_MAX));
        if (timer->position == 0)
            continue;
        armed_count++;
        assert_int_equal(timer->due_ms, model->due_ms[i]);
        assert_ptr_equal(timers.heap[timer->position], timer);
        if (timer->position > 1)
            assert_true(timers.heap[timer->position / 2]->due_ms <= timer->due_ms);
    }
    assert_int_equal(timers.count, armed_count);
    assert_true(timers_next_ms(&timers) == model_next(model));
}

/* Takes all that is due: in the order of their times, and exactly those. */
static void take_due(struct model *model, uint64_t now_ms)
{
    struct timer *timer;
    while ((timer = timers_take(&timers, now_ms)) != NULL) {
        uint32_t index = timer->kind;
        assert_ptr_equal(timer->owner, model);
        assert_true(model->due_ms[index] <= now_ms);
        assert_true(model->due_ms[index] == model_next(model));
        model->due_ms[index] = UINT64_MAX;
    }
    assert_true(model_next(model) > now_ms);
}

static void any_sequence_of_operations_does_what_the_list_does(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    struct model model;
    uint64_t now_ms = 0;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        model.timer[i] = (struct timer){.kind = i, .owner = &model};
        model.due_ms[i] = UINT64_MAX;
    }
    for (uint32_t step = 0; step < STEP_COUNT; step++) {
        uint32_t index = random_below(&chance, TIMER_COUNT);
        uint32_t what = random_below(&chance, 16);
        if (what < 9) {
            /* Few different times, so that equal ones are common. */
            model.due_ms[index] = now_ms + random_below(&chance, 50);
            timer_set(&timers, &model.timer[index], model.due_ms[index]);
        } else if (what < 13) {
            model.due_ms[index] = UINT64_MAX;
            timer_clear(&timers, &model.timer[index]);
        } else {
            now_ms += random_below(&chance, 8);
            take_due(&model, now_ms);
        }
        if (step % 64 == 0)
            heap_check(&model);
    }
    heap_check(&model);
}

#define TIMER_TEST(name) cmocka_unit_test_setup_teardown(name, heap_make, heap_remove)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TIMER_TEST(nothing_is_due_when_nothing_is_armed),
        TIMER_TEST(a_timer_fires_at_its_time_and_not_a_millisecond_earlier),
        TIMER_TEST(a_fired_timer_is_disarmed_and_may_be_armed_again),
        TIMER_TEST(setting_an_armed_timer_moves_it_both_ways),
        TIMER_TEST(a_cleared_timer_never_fires_and_clearing_twice_is_nothing),
        TIMER_TEST(every_timer_there_can_be_has_a_place),
        TIMER_TEST(any_sequence_of_operations_does_what_the_list_does),
    };
    return cmocka_run_group_tests_name("timer", tests, descriptors_note, descriptors_compare);
}
