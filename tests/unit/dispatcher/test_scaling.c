/* SPDX-License-Identifier: MIT */
/*
 * test_scaling.c - how many workers a pipeline should have: each rule alone, and all of them in a
 * simulation of a queue, its workers and their starts, a millisecond a step.
 */
#include "dispatcher/runs/scaling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define IDLE_MS 10000u
#define NOW 1000000u

static const struct scaling_bounds one_to_eight = {
    .min = 1, .max = 8, .concurrency = 2, .idle_ms = IDLE_MS};
static const struct scaling_bounds none_to_two = {
    .min = 0, .max = 2, .concurrency = 1, .idle_ms = IDLE_MS};

static struct scaling scaling_of(const struct scaling_bounds *bounds, uint32_t wanted)
{
    struct scaling scaling = {.from_ms = 1};
    scaling_set(&scaling, bounds, wanted, NOW);
    return scaling;
}

static uint32_t wanted_of(const struct scaling *scaling, const struct scaling_view *view,
                          uint64_t now_ms)
{
    return scaling_decide(scaling, view, now_ms).wanted;
}

/* ---- more ---- */

static void there_are_more_once_a_run_has_waited_as_long_as_a_start_takes(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&one_to_eight, 1);
    const struct scaling_view view = {
        .run_count = 3, .queue_count = 1, .first_ms = NOW, .start_ms = 400};
    assert_int_equal(wanted_of(&scaling, &view, NOW + 399), 1);
    struct scaling_decision decision = scaling_decide(&scaling, &view, NOW + 400);
    assert_int_equal(decision.wanted, 2);
    assert_int_equal(decision.reason, SCALING_WAITED);
    assert_int_equal(decision.ms, 400);
}

/* Two slots of 100 ms each: in 400 ms, 8 runs are through. */
static void half_as_long_is_enough_where_those_that_wait_need_longer_than_a_start(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&one_to_eight, 1);
    struct scaling_view view = {
        .run_count = 20, .queue_count = 18, .first_ms = NOW, .start_ms = 400, .service_ms = 20};
    assert_int_equal(wanted_of(&scaling, &view, NOW + 200), 1);
    view.service_ms = 200;
    assert_int_equal(wanted_of(&scaling, &view, NOW + 199), 1);
    assert_int_equal(wanted_of(&scaling, &view, NOW + 200), 2);
}

static void a_start_counts_within_bounds_and_one_that_was_not_measured_as_a_second(void **state)
{
    (void)state;
    static const struct {
        uint32_t start_ms, waits_ms;
    } cases[] = {{0, SCALING_START_MS}, {1, SCALING_START_MS_MIN}, {120000, SCALING_START_MS_MAX}};
    struct scaling scaling = scaling_of(&one_to_eight, 1);
    for (unsigned i = 0; i < 3; i++) {
        const struct scaling_view view = {
            .run_count = 3, .queue_count = 1, .first_ms = NOW, .start_ms = cases[i].start_ms};
        assert_int_equal(wanted_of(&scaling, &view, NOW + cases[i].waits_ms - 1), 1);
        assert_int_equal(wanted_of(&scaling, &view, NOW + cases[i].waits_ms), 2);
    }
}

static void a_step_is_what_runs_need_and_at_most_twice_as_many_and_never_above_the_bound(void **s)
{
    (void)s;
    static const struct {
        uint32_t wanted, run_count, next;
    } cases[] = {{1, 1000, 2},
                 {2, 1000, 4},
                 {2, 5, 3},
                 {4, 9, 5},
                 {4, 1000, 8},
                 {5, 1000, 8},
                 /* Slots are free, and no worker has room for what waits. */
                 {3, 2, 4}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scaling scaling = scaling_of(&one_to_eight, cases[i].wanted);
        const struct scaling_view view = {
            .run_count = cases[i].run_count, .queue_count = 1, .first_ms = NOW};
        assert_int_equal(wanted_of(&scaling, &view, NOW + 60000), cases[i].next);
    }
    struct scaling scaling = scaling_of(&one_to_eight, 8);
    const struct scaling_view full = {.run_count = 1000, .queue_count = 900, .first_ms = NOW};
    assert_int_equal(wanted_of(&scaling, &full, NOW + 60000), 8);
    assert_true(scaling_look_ms(&scaling, &full, NOW) == UINT64_MAX);
}

static void
there_is_no_other_step_until_who_was_wanted_is_there_and_then_waits_begin_again(void **s)
{
    (void)s;
    struct scaling scaling = scaling_of(&one_to_eight, 2);
    struct scaling_view view = {
        .absent_count = 1, .run_count = 100, .queue_count = 96, .first_ms = NOW, .start_ms = 1000};
    assert_int_equal(wanted_of(&scaling, &view, NOW + 60000), 2);
    assert_true(scaling_look_ms(&scaling, &view, NOW + 60000) > NOW + 60000);
    view.absent_count = 0;
    scaling_note_ready(&scaling, false, NOW + 60000);
    assert_int_equal(wanted_of(&scaling, &view, NOW + 60999), 2);
    assert_int_equal(wanted_of(&scaling, &view, NOW + 61000), 4);
    scaling_note_failure(&scaling, NOW + 61000);
    assert_int_equal(wanted_of(&scaling, &view, NOW + 62999), 2);
    assert_int_equal(wanted_of(&scaling, &view, NOW + 63000), 4);
}

static void the_first_is_wanted_at_once_and_is_one_however_many_come(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&none_to_two, 0);
    struct scaling_view view = {0};
    assert_int_equal(wanted_of(&scaling, &view, NOW), 0);
    assert_true(scaling_look_ms(&scaling, &view, NOW) == UINT64_MAX);
    view = (struct scaling_view){.run_count = 1000, .queue_count = 1000, .first_ms = NOW};
    assert_int_equal(scaling_look_ms(&scaling, &view, NOW), NOW);
    assert_int_equal(wanted_of(&scaling, &view, NOW), 1);
    assert_int_equal(scaling_decide(&scaling, &view, NOW).reason, SCALING_ASKED);
    view = (struct scaling_view){.is_asked = true}; /* who came could not wait */
    assert_int_equal(wanted_of(&scaling, &view, NOW), 1);
    scaling_note_failure(&scaling, NOW);
    assert_int_equal(wanted_of(&scaling, &view, NOW), 0);
    assert_int_equal(scaling_look_ms(&scaling, &view, NOW), NOW + SCALING_AGAIN_MS);
    assert_int_equal(wanted_of(&scaling, &view, NOW + SCALING_AGAIN_MS), 1);
}

/* ---- fewer ---- */

static void each_worker_goes_when_it_was_not_needed_for_the_idle_time(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&one_to_eight, 5);
    const struct scaling_view none = {0}, three = {.run_count = 3};
    assert_false(scaling_note_less(&scaling, 12, NOW + 1)); /* they all have enough to do */
    assert_false(scaling_note_less(&scaling, 9, NOW + 2));  /* the fifth has a run still */
    assert_int_equal(wanted_of(&scaling, &(struct scaling_view){.run_count = 9}, 2 * NOW), 5);
    assert_true(scaling_note_less(&scaling, 8, NOW + 10));
    for (uint32_t left = 7; left > 0; left--)
        assert_false(scaling_note_less(&scaling, left, NOW + 100 - 10 * left));
    assert_false(scaling_note_less(&scaling, 0, NOW + 100));
    assert_int_equal(scaling_look_ms(&scaling, &none, NOW + 100), NOW + 10 + IDLE_MS);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 9 + IDLE_MS), 5);
    struct scaling_decision decision = scaling_decide(&scaling, &none, NOW + 10 + IDLE_MS);
    assert_int_equal(decision.wanted, 4);
    assert_int_equal(decision.reason, SCALING_UNNEEDED);
    assert_int_equal(decision.ms, IDLE_MS);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 40 + IDLE_MS), 3);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 100 + IDLE_MS), 1);
    assert_int_equal(wanted_of(&scaling, &three, NOW + 100 + IDLE_MS), 2);
    scaling_set(&scaling, &one_to_eight, 2, NOW + 100 + IDLE_MS);
    assert_true(scaling_look_ms(&scaling, &three, NOW + 100 + IDLE_MS) == UINT64_MAX);
}

static void who_is_needed_once_more_stays_for_the_idle_time_once_more(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&one_to_eight, 2);
    const struct scaling_view none = {0};
    assert_true(scaling_note_less(&scaling, 2, NOW + 5));
    assert_int_equal(wanted_of(&scaling, &none, NOW + 4 + IDLE_MS), 2);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 5 + IDLE_MS), 1);
    scaling_set(&scaling, &one_to_eight, 1, NOW + 5 + IDLE_MS);
    scaling_set(&scaling, &one_to_eight, 2, NOW + 5 * IDLE_MS);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 6 * IDLE_MS - 1), 2);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 6 * IDLE_MS), 1);
}

static void the_idle_time_begins_when_the_first_one_is_ready(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&none_to_two, 1);
    const struct scaling_view none = {0};
    scaling_note_ready(&scaling, true, NOW + 3 * IDLE_MS);
    assert_int_equal(wanted_of(&scaling, &none, NOW + 4 * IDLE_MS - 1), 1);
    scaling_note_ready(&scaling, false, NOW + 4 * IDLE_MS - 1); /* another one in its place */
    assert_int_equal(wanted_of(&scaling, &none, NOW + 4 * IDLE_MS), 0);
}

static void there_are_never_fewer_than_the_bound_nor_without_an_idle_time(void **state)
{
    (void)state;
    struct scaling scaling = scaling_of(&one_to_eight, 1);
    const struct scaling_view one = {0};
    assert_int_equal(wanted_of(&scaling, &one, NOW + 1000 * IDLE_MS), 1);
    assert_true(scaling_look_ms(&scaling, &one, NOW) == UINT64_MAX);
    scaling = scaling_of(&none_to_two, 1);
    assert_int_equal(wanted_of(&scaling, &one, NOW + IDLE_MS - 1), 1);
    assert_int_equal(wanted_of(&scaling, &one, NOW + IDLE_MS), 0);
    struct scaling_bounds for_ever = none_to_two;
    for_ever.idle_ms = 0;
    scaling = scaling_of(&for_ever, 1);
    assert_int_equal(wanted_of(&scaling, &one, NOW + 1000 * IDLE_MS), 1);
    assert_true(scaling_look_ms(&scaling, &one, NOW) == UINT64_MAX);
}

static void a_fixed_number_is_never_looked_at(void **state)
{
    (void)state;
    const struct scaling_bounds fixed = {3, 3, 1, IDLE_MS};
    struct scaling scaling = scaling_of(&fixed, 3);
    const struct scaling_view busy = {.run_count = 100, .queue_count = 97, .first_ms = NOW};
    assert_false(scaling_note_less(&scaling, 0, NOW));
    assert_int_equal(wanted_of(&scaling, &busy, NOW + 1000000), 3);
    assert_true(scaling_look_ms(&scaling, &busy, NOW) == UINT64_MAX);
    assert_int_equal(scaling_clamp(&fixed, 0), 3);
    assert_int_equal(scaling_clamp(&fixed, 9), 3);
    assert_int_equal(scaling_clamp(&one_to_eight, 4), 4);
}

/* ---- a simulation ---- */

#define WORKERS_MAX 8u
#define QUEUE_MAX 4096u

struct simulated {
    struct scaling scaling;
    uint32_t concurrency, service_ms, start_ms;
    uint64_t now_ms, ready_ms[WORKERS_MAX]; /* 0: there is none */
    uint64_t ends_ms[WORKERS_MAX][4];       /* of the runs on it; 0: the slot is free */
    uint64_t queue[QUEUE_MAX];              /* when who waits came */
    uint32_t first, queue_count, active_count;
    uint32_t wanted, most, ups, downs;
    uint64_t longest_wait_ms, run_count;
    uint64_t last_up_ms;
};

static uint32_t simulated_absent(const struct simulated *it)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < it->wanted; i++)
        count += it->ready_ms[i] > it->now_ms;
    return count;
}

static struct scaling_view simulated_view(const struct simulated *it)
{
    return (struct scaling_view){.absent_count = simulated_absent(it),
                                 .run_count = it->active_count + it->queue_count,
                                 .queue_count = it->queue_count,
                                 .first_ms = it->queue[it->first % QUEUE_MAX],
                                 .service_ms = it->service_ms,
                                 .start_ms = it->start_ms};
}

static void simulated_decide(struct simulated *it)
{
    struct scaling_view view = simulated_view(it);
    struct scaling_decision decision = scaling_decide(&it->scaling, &view, it->now_ms);
    assert_true(decision.wanted >= it->scaling.bounds.min);
    assert_true(decision.wanted <= it->scaling.bounds.max);
    if (decision.wanted == it->wanted)
        return;
    if (decision.wanted > it->wanted) {
        assert_int_equal(view.absent_count, 0); /* one step at a time */
        assert_true(decision.wanted <= 2 * it->wanted || decision.wanted == 1);
        it->last_up_ms = it->now_ms;
        it->ups++;
    } else {
        assert_int_equal(it->queue_count, 0);
        it->downs++;
    }
    for (uint32_t i = it->wanted; i < decision.wanted; i++)
        it->ready_ms[i] = it->now_ms + it->start_ms;
    it->wanted = decision.wanted;
    it->most = it->wanted > it->most ? it->wanted : it->most;
    scaling_set(&it->scaling, &it->scaling.bounds, it->wanted, it->now_ms);
}

/* Surplus workers finish what they have. */
static void simulated_work(struct simulated *it)
{
    for (uint32_t i = 0; i < WORKERS_MAX; i++)
        for (uint32_t k = 0; k < it->concurrency; k++) {
            uint64_t *end_ms = &it->ends_ms[i][k];
            if (*end_ms > 0 && *end_ms <= it->now_ms) {
                *end_ms = 0;
                it->active_count--;
                it->run_count++;
                scaling_note_less(&it->scaling, it->active_count + it->queue_count, it->now_ms);
            }
            if (*end_ms > 0 || i >= it->wanted || it->ready_ms[i] > it->now_ms ||
                it->queue_count == 0)
                continue;
            uint64_t waited_ms = it->now_ms - it->queue[it->first++ % QUEUE_MAX];
            it->longest_wait_ms = waited_ms > it->longest_wait_ms ? waited_ms : it->longest_wait_ms;
            it->queue_count--;
            it->active_count++;
            *end_ms = it->now_ms + it->service_ms;
        }
}

static void simulated_come(struct simulated *it)
{
    mr_assert(it->queue_count < QUEUE_MAX);
    it->queue[(it->first + it->queue_count++) % QUEUE_MAX] = it->now_ms;
}

static void simulated_step(struct simulated *it, uint32_t coming)
{
    it->now_ms++;
    for (uint32_t i = 0; i < it->wanted; i++)
        if (it->ready_ms[i] == it->now_ms)
            scaling_note_ready(&it->scaling, false, it->now_ms);
    while (coming-- > 0)
        simulated_come(it);
    simulated_work(it);
    simulated_decide(it);
}

static struct simulated simulated_open(const struct scaling_bounds *bounds, uint32_t service_ms,
                                       uint32_t start_ms)
{
    struct simulated it = {.concurrency = bounds->concurrency,
                           .service_ms = service_ms,
                           .start_ms = start_ms,
                           .now_ms = NOW,
                           .wanted = bounds->min > 0 ? bounds->min : 1};
    for (uint32_t i = 0; i < it.wanted; i++)
        it.ready_ms[i] = NOW;
    scaling_set(&it.scaling, bounds, it.wanted, NOW);
    return it;
}

static void a_burst_scales_to_the_most_in_three_steps_and_back(void **state)
{
    (void)state;
    struct simulated it = simulated_open(&one_to_eight, 50, 100);
    simulated_step(&it, 4000);
    while (it.active_count + it.queue_count > 0)
        simulated_step(&it, 0);
    assert_int_equal(it.run_count, 4000);
    assert_int_equal(it.most, 8);
    assert_int_equal(it.ups, 3); /* 2, 4, 8 */
    for (uint32_t i = 0; i < IDLE_MS + 1; i++)
        simulated_step(&it, 0);
    assert_int_equal(it.wanted, 1);
    assert_true(it.downs <= 3); /* as they ran out of work */
}

/* A queue that is through before a worker could be ready needs none. */
static void bursts_that_the_workers_get_through_in_less_than_a_start_change_nothing(void **state)
{
    (void)state;
    struct simulated it = simulated_open(&one_to_eight, 10, 1000);
    for (uint32_t i = 0; i < 120000; i++)
        simulated_step(&it, i % 2000 == 0 ? 100 : 0); /* half a second of work each */
    assert_int_equal(it.run_count, 6000);
    assert_int_equal(it.ups + it.downs, 0);
}

/* At random, so that two and a half workers are busy on average. */
static void a_steady_load_finds_its_number_and_stays_there(void **state)
{
    (void)state;
    uint64_t chance = environment_number("SEED", 20261129);
    struct simulated it = simulated_open(&one_to_eight, 200, 300);
    print_message("SEED=%llu\n", (unsigned long long)chance);
    for (uint32_t i = 0; i < 60000; i++)
        simulated_step(&it, random_below(&chance, 40) == 0);
    uint32_t found = it.wanted, ups = it.ups, downs = it.downs;
    assert_true(found >= 3 && found <= 6);
    for (uint32_t i = 0; i < 600000; i++)
        simulated_step(&it, random_below(&chance, 40) == 0);
    print_message("%u workers, then %u and %u steps in ten minutes\n", found, it.ups - ups,
                  it.downs - downs);
    assert_true(it.ups - ups <= 20 && it.downs - downs <= 20); /* 60 idle times */
    assert_true(it.wanted >= 3 && it.wanted <= 6);
}

/* Nothing is there for longer than the idle time, and then two come at once, again and again. */
static void a_pipeline_that_sleeps_wakes_for_each_and_sleeps_again(void **state)
{
    (void)state;
    struct simulated it = simulated_open(&none_to_two, 20, 700);
    for (uint32_t i = 0; i < 40 * 15000; i++)
        simulated_step(&it, i % 15000 == 0 ? 2 : 0);
    assert_int_equal(it.run_count, 80);
    assert_int_equal(it.ups, 39); /* the first two find one worker */
    assert_int_equal(it.downs, 40);
    assert_int_equal(it.most, 1);
    assert_true(it.longest_wait_ms <= 700 + 20 + 2);
}

/* ---- */

static void everything_has_a_text(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SCALING_REASON_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(scaling_reason_text(i), scaling_reason_text(k));
    assert_string_equal(scaling_reason_text(SCALING_REASON_COUNT), "?");
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_more_once_a_run_has_waited_as_long_as_a_start_takes),
        cmocka_unit_test(half_as_long_is_enough_where_those_that_wait_need_longer_than_a_start),
        cmocka_unit_test(a_start_counts_within_bounds_and_one_that_was_not_measured_as_a_second),
        cmocka_unit_test(
            a_step_is_what_runs_need_and_at_most_twice_as_many_and_never_above_the_bound),
        cmocka_unit_test(
            there_is_no_other_step_until_who_was_wanted_is_there_and_then_waits_begin_again),
        cmocka_unit_test(the_first_is_wanted_at_once_and_is_one_however_many_come),
        cmocka_unit_test(each_worker_goes_when_it_was_not_needed_for_the_idle_time),
        cmocka_unit_test(who_is_needed_once_more_stays_for_the_idle_time_once_more),
        cmocka_unit_test(the_idle_time_begins_when_the_first_one_is_ready),
        cmocka_unit_test(there_are_never_fewer_than_the_bound_nor_without_an_idle_time),
        cmocka_unit_test(a_fixed_number_is_never_looked_at),
        cmocka_unit_test(a_burst_scales_to_the_most_in_three_steps_and_back),
        cmocka_unit_test(bursts_that_the_workers_get_through_in_less_than_a_start_change_nothing),
        cmocka_unit_test(a_steady_load_finds_its_number_and_stays_there),
        cmocka_unit_test(a_pipeline_that_sleeps_wakes_for_each_and_sleeps_again),
        cmocka_unit_test(everything_has_a_text),
    };
    return cmocka_run_group_tests_name("scaling", tests, descriptors_note, descriptors_compare);
}
