/* SPDX-License-Identifier: MIT */
/*
 * test_batch_rule.c - when a batch is closed, and what is learned of calls.
 */
#include "worker/engine/batch_rule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/clock.h"

#define MS CLOCK_NS_PER_MS
#define NOW (1000 * MS)

static const struct batch_limits limits = {.count_max = 8, .wait_ns = 2 * MS};

/* Two that wait since just now, and five that could come. */
static const struct batch_moment usual = {
    .now_ns = NOW, .oldest_ns = NOW, .newest_ns = NOW, .waiting_count = 2, .coming_count = 5};

/* A call of `count` that takes `ns`, and ends at `end_ns`. */
static void make_call(struct batch_model *model, uint32_t count, uint64_t ns, uint64_t end_ns)
{
    batch_model_begin(model, end_ns - ns, count);
    batch_model_end(model, end_ns);
}

/* Calls take 10 ms + 0.1 ms an item, the last one of three ended now; `next_ns` after one has
 * waited another comes. */
static struct batch_model learned(uint64_t next_ns)
{
    struct batch_model model = {.weight = 0};
    for (uint32_t i = 1; i <= 10; i++)
        make_call(&model, i % 4 + 1, 10 * MS + (i % 4 + 1) * MS / 10, i * 20 * MS);
    batch_model_asked(&model, 300 * MS, true);
    batch_model_come(&model, 300 * MS + next_ns);
    make_call(&model, 2, 10 * MS + 2 * MS / 10, 300 * MS + next_ns + 10 * MS + 2 * MS / 10);
    make_call(&model, 3, 10 * MS + 3 * MS / 10, NOW);
    return model;
}

static uint64_t due(const struct batch_model *model, struct batch_moment moment)
{
    return batch_rule_due_ns(&limits, model, &moment);
}

static void nothing_that_waits_is_never_due(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.waiting_count = 0;
    assert_true(due(&model, moment) == CLOCK_NEVER);
}

static void while_a_call_is_made_not_even_a_full_batch_is_due(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    batch_model_begin(&model, NOW, 1);
    assert_true(due(&model, moment) == CLOCK_NEVER);
    moment.waiting_count = limits.count_max;
    assert_true(due(&model, moment) == CLOCK_NEVER);
}

static void where_others_are_expected_a_batch_waits(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    assert_true(due(&model, usual) == NOW + limits.wait_ns);
}

static void a_full_batch_is_due(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.waiting_count = limits.count_max - 1;
    assert_true(due(&model, moment) > NOW);
    moment.waiting_count = limits.count_max;
    assert_true(due(&model, moment) == 0);
    moment.waiting_count = limits.count_max + 1;
    assert_true(due(&model, moment) == 0);
}

static void where_nobody_else_can_come_it_is_due(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.coming_count = 0;
    assert_true(due(&model, moment) == 0);
}

static void a_worker_with_other_work_does_not_wait(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.has_other_work = true;
    assert_true(due(&model, moment) == 0);
}

static void without_a_wait_it_is_due(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_limits none = {.count_max = 8};
    assert_true(batch_rule_due_ns(&none, &model, &usual) == 0);
}

static void the_wait_is_over_when_its_time_has_passed(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.now_ns = NOW + limits.wait_ns - 1;
    moment.newest_ns = moment.now_ns;
    assert_true(due(&model, moment) == NOW + limits.wait_ns);
    moment.now_ns = NOW + limits.wait_ns;
    assert_true(due(&model, moment) == 0);
}

/* Two waiting calls and the one to come have 10 ms to spare in all. */
static void in_vain_it_waits_no_longer_than_another_one_would_have_spared(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    const struct batch_limits patient = {.count_max = 8, .wait_ns = 100 * MS};
    uint64_t due_ns = batch_rule_due_ns(&patient, &model, &usual);
    assert_true(due_ns > NOW + 3 * MS && due_ns < NOW + 7 * MS / 2);
    struct batch_moment moment = usual;
    moment.newest_ns = moment.now_ns = NOW + 3 * MS;
    assert_true(batch_rule_due_ns(&patient, &model, &moment) == due_ns + 3 * MS);
    moment.now_ns = due_ns + 3 * MS;
    assert_true(batch_rule_due_ns(&patient, &model, &moment) == 0);
}

/* An hour may be said: to find out who comes is worth what a call costs whatever is in it. */
static void to_find_out_it_waits_no_longer_than_a_call_costs(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    const struct batch_limits patient = {.count_max = 8, .wait_ns = 3600000 * MS};
    make_call(&model, 2, 10 * MS, NOW);
    assert_true(batch_model_forecast(&model).is_due);
    assert_true(batch_rule_due_ns(&patient, &model, &usual) == NOW + 10 * MS);
}

/* What came while a call was made begins to wait when that is over. */
static void the_wait_begins_when_the_pipe_is_free(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.oldest_ns = NOW - 9 * MS;
    moment.newest_ns = NOW - 8 * MS;
    assert_true(due(&model, moment) == NOW + limits.wait_ns);
}

/* (2 + 1) * 3 ms + 2 * 0.1 ms is less than 10 ms, and with 3.5 ms it is not. */
static void one_who_comes_too_late_to_pay_is_not_waited_for(void **state)
{
    (void)state;
    struct batch_model model = learned(3 * MS);
    assert_true(due(&model, usual) > NOW);
    model = learned(7 * MS / 2);
    assert_true(due(&model, usual) == 0);
}

static void the_more_wait_the_less_it_pays(void **state)
{
    (void)state;
    struct batch_model model = learned(2 * MS);
    struct batch_moment moment = usual;
    bool is_over = false;
    for (moment.waiting_count = 1; moment.waiting_count < 8; moment.waiting_count++) {
        bool waits = due(&model, moment) > 0;
        assert_false(waits && is_over);
        is_over = !waits;
    }
    assert_true(is_over);
}

static void a_call_that_is_alone_never_waits(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.waiting_count = 1;
    make_call(&model, 1, 10 * MS, NOW);
    assert_true(due(&model, moment) == 0);
    model = (struct batch_model){.weight = 0};
    assert_true(due(&model, moment) == 0);
}

/* The others are known by those that came while the last call was made, or were in it. */
static void one_that_came_meanwhile_is_company(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    batch_model_begin(&model, NOW, 1);
    batch_model_end(&model, NOW + 10 * MS);
    batch_model_come(&model, NOW + 10 * MS);
    assert_true(batch_model_has_company(&model, NOW + 10 * MS, MS));
    assert_true(batch_model_has_company(&model, NOW + 11 * MS, MS));
    assert_false(batch_model_has_company(&model, NOW + 11 * MS + 1, MS));
}

static void one_that_came_behind_a_call_is_none(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    make_call(&model, 1, 10 * MS, NOW);
    batch_model_asked(&model, NOW, false);
    batch_model_come(&model, NOW + MS);
    assert_false(batch_model_has_company(&model, NOW + MS, 2 * MS));
}

static void long_after_the_last_call_nobody_waits(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    struct batch_moment moment = usual;
    moment.now_ns = moment.oldest_ns = moment.newest_ns = NOW + 3 * MS;
    assert_true(due(&model, moment) == 0);
}

/* Calls that are all alike do not show what is fixed, and without a wait it is not known who comes:
 * the first batch in company waits, and then one of sixteen. */
static void now_and_then_it_is_found_out_again_who_comes(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    uint32_t wait_count = 0;
    uint64_t now_ns = NOW;
    for (uint32_t i = 0; i < 160; i++) {
        make_call(&model, 2, 10 * MS, now_ns);
        struct batch_moment moment = usual;
        moment.now_ns = moment.oldest_ns = moment.newest_ns = now_ns;
        if (due(&model, moment) > 0) {
            batch_model_asked(&model, now_ns, true);
            now_ns += 2 * MS; /* in vain */
            wait_count++;
        }
        now_ns += 10 * MS;
    }
    assert_in_range(wait_count, 9, 11);
}

/* ---- the model ------------------------------------------------------------------------------- */

static void the_fit_finds_what_is_fixed_and_what_each_item_costs(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    for (uint32_t i = 0; i < 100; i++)
        make_call(&model, i * 7 % 32 + 1, 5 * MS + (i * 7 % 32 + 1) * MS / 4, NOW + i * 100 * MS);
    struct batch_forecast forecast = batch_model_forecast(&model);
    assert_true(fabs(forecast.fixed_ns - 5e6) < 1e3);
    assert_true(fabs(forecast.item_ns - 250e3) < 1e3);
}

static void the_fit_follows_a_function_that_changes(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    for (uint32_t i = 0; i < 400; i++) {
        uint64_t fixed_ns = i < 100 ? MS : 50 * MS;
        make_call(&model, i % 5 + 1, fixed_ns, NOW + i * 100 * MS);
    }
    struct batch_forecast forecast = batch_model_forecast(&model);
    assert_true(fabs(forecast.fixed_ns - 50e6) < 1e6);
}

static void one_call_that_took_for_ever_hardly_counts(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    for (uint32_t i = 0; i < 50; i++)
        make_call(&model, i % 5 + 1, 5 * MS, NOW + i * 100 * MS);
    make_call(&model, 3, 3600000 * MS, NOW + 4000000 * MS);
    struct batch_forecast forecast = batch_model_forecast(&model);
    assert_true(forecast.fixed_ns + 3 * forecast.item_ns < 6e6);
}

static void no_fit_is_negative(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    for (uint32_t i = 0; i < 50; i++)
        make_call(&model, i % 2 + 1, i % 2 == 0 ? 9 * MS : MS, NOW + i * 100 * MS);
    struct batch_forecast forecast = batch_model_forecast(&model);
    assert_true(forecast.item_ns == 0 && forecast.fixed_ns > 0);
    model = (struct batch_model){.weight = 0};
    for (uint32_t i = 0; i < 50; i++)
        make_call(&model, i % 2 + 1, i % 2 == 0 ? MS : 9 * MS, NOW + i * 100 * MS);
    forecast = batch_model_forecast(&model);
    assert_true(forecast.item_ns > 0 && forecast.fixed_ns >= 0);
}

static void who_never_comes_is_never_expected(void **state)
{
    (void)state;
    struct batch_model model = {.weight = 0};
    make_call(&model, 2, MS, NOW);
    batch_model_asked(&model, NOW, true);
    make_call(&model, 2, MS, NOW + 3 * MS);
    assert_true(isinf(batch_model_forecast(&model).next_ns));
}

/* What is waited for in vain makes the next one later. */
static void who_stays_away_is_expected_later(void **state)
{
    (void)state;
    struct batch_model model = learned(MS / 10);
    double before_ns = batch_model_forecast(&model).next_ns;
    for (uint32_t i = 0; i < 5; i++) {
        batch_model_asked(&model, NOW + i * 20 * MS, true);
        make_call(&model, 2, 10 * MS, NOW + i * 20 * MS + 12 * MS);
    }
    assert_true(batch_model_forecast(&model).next_ns > 10 * before_ns);
}

/* Whatever is asked, the answer is now, never, or a time within the wait. */
static void no_batch_waits_longer_than_it_may(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    for (uint32_t i = 0; i < 200000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        struct batch_model model = learned(seed % (4 * MS));
        struct batch_moment moment = {.oldest_ns = NOW - 5 * MS + seed % (10 * MS),
                                      .waiting_count = (uint32_t)(seed >> 20) % 9,
                                      .coming_count = (uint32_t)(seed >> 24) % 3};
        moment.newest_ns = moment.oldest_ns + (seed >> 28) % MS;
        moment.now_ns = moment.newest_ns + (seed >> 32) % MS;
        if (moment.now_ns < NOW)
            moment.now_ns = NOW;
        uint64_t due_ns = due(&model, moment);
        uint64_t from_ns = moment.oldest_ns > NOW ? moment.oldest_ns : NOW;
        if (moment.waiting_count == 0)
            assert_true(due_ns == CLOCK_NEVER);
        else
            assert_true(due_ns == 0 ||
                        (due_ns > moment.now_ns && due_ns <= from_ns + limits.wait_ns));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_waits_is_never_due),
        cmocka_unit_test(while_a_call_is_made_not_even_a_full_batch_is_due),
        cmocka_unit_test(where_others_are_expected_a_batch_waits),
        cmocka_unit_test(a_full_batch_is_due),
        cmocka_unit_test(where_nobody_else_can_come_it_is_due),
        cmocka_unit_test(a_worker_with_other_work_does_not_wait),
        cmocka_unit_test(without_a_wait_it_is_due),
        cmocka_unit_test(the_wait_is_over_when_its_time_has_passed),
        cmocka_unit_test(in_vain_it_waits_no_longer_than_another_one_would_have_spared),
        cmocka_unit_test(to_find_out_it_waits_no_longer_than_a_call_costs),
        cmocka_unit_test(the_wait_begins_when_the_pipe_is_free),
        cmocka_unit_test(one_who_comes_too_late_to_pay_is_not_waited_for),
        cmocka_unit_test(the_more_wait_the_less_it_pays),
        cmocka_unit_test(a_call_that_is_alone_never_waits),
        cmocka_unit_test(one_that_came_meanwhile_is_company),
        cmocka_unit_test(one_that_came_behind_a_call_is_none),
        cmocka_unit_test(long_after_the_last_call_nobody_waits),
        cmocka_unit_test(now_and_then_it_is_found_out_again_who_comes),
        cmocka_unit_test(the_fit_finds_what_is_fixed_and_what_each_item_costs),
        cmocka_unit_test(the_fit_follows_a_function_that_changes),
        cmocka_unit_test(one_call_that_took_for_ever_hardly_counts),
        cmocka_unit_test(no_fit_is_negative),
        cmocka_unit_test(who_never_comes_is_never_expected),
        cmocka_unit_test(who_stays_away_is_expected_later),
        cmocka_unit_test(no_batch_waits_longer_than_it_may),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
