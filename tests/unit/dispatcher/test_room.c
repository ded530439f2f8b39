/* SPDX-License-Identifier: MIT */
/*
 * test_room.c - who gets memory of a device and who has to go: cases, and then models that come and
 * go at random.
 */
#include "dispatcher/workers/room.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define NOW 10000u

/* Of 10, nothing is looked at, and 4 are needed. */
static struct room_view view_of(const struct room_tenant *tenants, uint32_t count)
{
    struct room_view view = {.total_bytes = 10,
                             .free_bytes = ROOM_FREE_UNKNOWN,
                             .need_bytes = 4,
                             .need_free_bytes = 4,
                             .tenants = tenants,
                             .count = count};
    for (uint32_t i = 0; i < count; i++)
        view.reserved_bytes += tenants[i].bytes;
    return view;
}

static void is_made_by(const struct room_view *view, uint32_t count, const uint32_t *victims)
{
    struct room_plan plan = room_plan(view, NOW);
    assert_int_equal(plan.state, ROOM_MADE);
    assert_int_equal(plan.victim_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(plan.victims[i], victims[i]);
}

static void is_state(const struct room_view *view, enum room_state state)
{
    assert_int_equal(room_plan(view, NOW).state, state);
}

/* ---- cases ---------------------------------------------------------------------------------- */

static void what_fits_beside_all_that_was_promised_is_there(void **state)
{
    (void)state;
    struct room_view view = view_of(NULL, 0);
    view.reserved_bytes = 6;
    is_state(&view, ROOM_THERE);
    view.reserved_bytes = 7;
    is_state(&view, ROOM_FULL); /* nobody may go */
    view.reserved_bytes = 2;
    view.ahead_bytes = 4;
    is_state(&view, ROOM_THERE);
    view.ahead_bytes = 5; /* who is before in line gets his first */
    is_state(&view, ROOM_FULL);
}

static void what_is_more_than_the_device_has_or_than_others_leave_never_fits(void **state)
{
    (void)state;
    struct room_view view = view_of(NULL, 0);
    view.need_bytes = 11;
    is_state(&view, ROOM_NEVER);
    view.need_bytes = 4;
    view.reserved_bytes = view.lasting_bytes = 7;
    is_state(&view, ROOM_NEVER);
    view.total_bytes = 0; /* nobody knows */
    is_state(&view, ROOM_NEVER);
    view.need_bytes = view.reserved_bytes = view.lasting_bytes = 0; /* all of it */
    is_state(&view, ROOM_NEVER);
}

static void what_others_took_is_not_there_whatever_was_promised(void **state)
{
    (void)state;
    const struct room_tenant idle = {.bytes = 3, .used_ms = 1};
    struct room_view view = view_of(&idle, 1);
    view.free_bytes = 3;
    is_made_by(&view, 1, (const uint32_t[]){0});
    view.count = 0;
    is_state(&view, ROOM_FULL);
    view.free_bytes = 4;
    is_state(&view, ROOM_THERE);
    view.need_free_bytes = 0; /* it is not known how much it takes */
    view.free_bytes = 0;
    is_state(&view, ROOM_THERE);
}

static void what_others_have_taken_is_none_of_those_who_are_here(void **state)
{
    (void)state;
    const struct room_tenant held = {.bytes = 3, .hold_end_ms = NOW + 5};
    struct room_view view = view_of(&held, 1);
    view.free_bytes = 1; /* and 4 when it has gone */
    is_state(&view, ROOM_LATER);
    view.free_bytes = 0;
    is_state(&view, ROOM_TAKEN);
    view.untaken_bytes = 1; /* that is seen when it has loaded */
    is_state(&view, ROOM_COMES);
    view.untaken_bytes = 0;
    view.free_bytes = 1;
    view.lasting_bytes = 3; /* it does not go */
    is_state(&view, ROOM_TAKEN);
}

static void nobody_goes_for_what_is_about_to_be_free_or_is_being_taken(void **state)
{
    (void)state;
    const struct room_tenant idle = {.bytes = 4, .used_ms = 1};
    struct room_view view = view_of(&idle, 1);
    view.reserved_bytes = 8;
    view.leaving_bytes = 2;
    is_state(&view, ROOM_COMES);
    view.leaving_bytes = 1;
    is_made_by(&view, 1, (const uint32_t[]){0});
    view = view_of(&idle, 1);
    view.is_settling = true;
    is_state(&view, ROOM_COMES);
    view.is_settling = false;
    view.free_bytes = 5;
    view.untaken_bytes = 2; /* of 5 that are free 2 are promised to one that loads */
    is_state(&view, ROOM_COMES);
}

static void
the_one_that_was_not_used_for_longest_goes_first_and_only_as_many_as_are_needed(void **state)
{
    (void)state;
    const struct room_tenant tenants[] = {
        {.bytes = 3, .used_ms = 30}, {.bytes = 3, .used_ms = 10}, {.bytes = 3, .used_ms = 20}};
    struct room_view view = view_of(tenants, 3);
    is_made_by(&view, 1, (const uint32_t[]){1});
    view.need_bytes = 6;
    is_made_by(&view, 2, (const uint32_t[]){1, 2});
    view.need_bytes = 10;
    is_made_by(&view, 3, (const uint32_t[]){1, 2, 0});
}

static void one_with_runs_goes_only_where_those_without_are_not_enough(void **state)
{
    (void)state;
    const struct room_tenant tenants[] = {{.bytes = 5, .used_ms = 10, .is_busy = true},
                                          {.bytes = 3, .used_ms = 30},
                                          {.bytes = 2, .used_ms = 20, .is_busy = true}};
    struct room_view view = view_of(tenants, 3);
    view.need_bytes = 3;
    is_made_by(&view, 1, (const uint32_t[]){1});
    view.need_bytes = 4; /* then the one without need not go */
    is_made_by(&view, 1, (const uint32_t[]){0});
    view.need_bytes = 8;
    is_made_by(&view, 2, (const uint32_t[]){1, 0});
}

static void nobody_goes_before_the_hold_is_over(void **state)
{
    (void)state;
    struct room_tenant tenants[] = {{.bytes = 5, .used_ms = 10, .hold_end_ms = NOW + 7},
                                    {.bytes = 5, .used_ms = 20, .hold_end_ms = NOW + 5}};
    struct room_view view = view_of(tenants, 2);
    struct room_plan plan = room_plan(&view, NOW);
    assert_int_equal(plan.state, ROOM_LATER);
    assert_int_equal(plan.look_ms, NOW + 5);
    assert_int_equal(plan.victim_count, 0);
    tenants[1].hold_end_ms = NOW;
    is_made_by(&view, 1, (const uint32_t[]){1});
    view.need_bytes = 6; /* one of them is not enough, and does not go before both may */
    plan = room_plan(&view, NOW);
    assert_int_equal(plan.state, ROOM_LATER);
    assert_int_equal(plan.victim_count, 0);
}

static void a_plan_is_better_by_its_state_and_then_by_who_goes(void **state)
{
    (void)state;
    const struct room_tenant early = {.bytes = 8, .used_ms = 10},
                             late = {.bytes = 8, .used_ms = 20};
    struct room_view one = view_of(&early, 1), other = view_of(&late, 1), none = view_of(NULL, 0);
    struct room_plan a = room_plan(&one, NOW), b = room_plan(&other, NOW),
                     c = room_plan(&none, NOW);
    assert_true(room_plan_is_better(&a, &b));
    assert_false(room_plan_is_better(&b, &a));
    assert_false(room_plan_is_better(&a, &a));
    assert_true(room_plan_is_better(&c, &a));
}

/* ---- a simulation ---------------------------------------------------------------------------- */

#define MODELS 5u
#define TOTAL 100u

enum model_is { MODEL_AWAY = 0, MODEL_LOADING, MODEL_READY, MODEL_LEAVING };

struct model {
    enum model_is is;
    uint32_t bytes, load_ms, queue_count;
    uint64_t loaded_ms, used_ms, run_end_ms; /* run_end_ms 0: it has no run */
    uint64_t wait_from_ms;                   /* 0: it does not wait */
};

struct simulated {
    struct model models[MODELS];
    uint64_t now_ms, chance, run_count, swap_count, longest_wait_ms;
    uint32_t hold_ms, run_ms_max;
};

/* A run that ends is followed by the next one, unless the model is to go. */
static void simulated_work(struct simulated *it)
{
    for (uint32_t i = 0; i < MODELS; i++) {
        struct model *model = &it->models[i];
        if (model->run_end_ms != 0 && it->now_ms >= model->run_end_ms) {
            model->run_end_ms = 0;
            model->used_ms = it->now_ms;
            it->run_count++;
        }
        if (model->is == MODEL_LOADING && it->now_ms >= model->loaded_ms)
            model->is = MODEL_READY;
        if (model->is == MODEL_LEAVING && model->run_end_ms == 0)
            model->is = MODEL_AWAY;
        if (model->is == MODEL_READY && model->run_end_ms == 0 && model->queue_count > 0) {
            model->queue_count--;
            model->run_end_ms = it->now_ms + 1 + random_below(&it->chance, it->run_ms_max);
        }
        if (model->is == MODEL_AWAY && model->queue_count > 0 && model->wait_from_ms == 0)
            model->wait_from_ms = it->now_ms;
    }
}

static struct model *simulated_first(struct simulated *it)
{
    struct model *first = NULL;
    for (uint32_t i = 0; i < MODELS; i++)
        if (it->models[i].wait_from_ms != 0 &&
            (!first || it->models[i].wait_from_ms < first->wait_from_ms))
            first = &it->models[i];
    return first;
}

/* What is there, as the rule sees it; `tenants` are by the number of the model. */
static struct room_view simulated_view(const struct simulated *it, const struct model *first,
                                       struct room_tenant tenants[MODELS])
{
    struct room_view view = {.total_bytes = TOTAL,
                             .free_bytes = ROOM_FREE_UNKNOWN,
                             .need_bytes = first->bytes,
                             .tenants = tenants,
                             .count = MODELS};
    for (uint32_t i = 0; i < MODELS; i++) {
        const struct model *model = &it->models[i];
        tenants[i] =
            (struct room_tenant){.is_busy = model->run_end_ms != 0 || model->queue_count > 0,
                                 .hold_end_ms = model->loaded_ms + it->hold_ms};
        tenants[i].used_ms = tenants[i].is_busy ? model->loaded_ms : model->used_ms;
        tenants[i].bytes = model->is == MODEL_READY ? model->bytes : 0;
        view.reserved_bytes += model->is != MODEL_AWAY ? model->bytes : 0;
        view.leaving_bytes += model->is == MODEL_LEAVING ? model->bytes : 0;
    }
    return view;
}

static void simulated_begin(struct simulated *it, struct model *model)
{
    uint64_t waited_ms = it->now_ms - model->wait_from_ms;
    it->longest_wait_ms = waited_ms > it->longest_wait_ms ? waited_ms : it->longest_wait_ms;
    model->is = MODEL_LOADING;
    model->loaded_ms = model->used_ms = it->now_ms + model->load_ms;
    model->wait_from_ms = 0;
}

static void simulated_decide(struct simulated *it)
{
    struct room_tenant tenants[MODELS];
    struct model *first = simulated_first(it);
    if (!first)
        return;
    struct room_view view = simulated_view(it, first, tenants);
    struct room_plan plan = room_plan(&view, it->now_ms);
    assert_true(plan.state != ROOM_NEVER);
    if (plan.state == ROOM_THERE)
        simulated_begin(it, first);
    for (uint32_t i = 0; plan.state == ROOM_MADE && i < plan.victim_count; i++) {
        struct model *victim = &it->models[plan.victims[i]];
        assert_int_equal(victim->is, MODEL_READY);
        assert_true(it->now_ms >= victim->loaded_ms + it->hold_ms);
        victim->is = MODEL_LEAVING;
        it->swap_count++;
    }
}

static void simulated_check(const struct simulated *it)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < MODELS; i++) {
        const struct model *model = &it->models[i];
        bytes += model->is != MODEL_AWAY ? model->bytes : 0;
        assert_true(model->run_end_ms == 0 || model->is >= MODEL_READY); /* none goes with a run */
    }
    assert_true(bytes <= TOTAL);
}

static void simulated_step(struct simulated *it, uint32_t one_in)
{
    it->now_ms++;
    if (one_in > 0 && random_below(&it->chance, one_in) == 0)
        it->models[random_below(&it->chance, MODELS)].queue_count++;
    simulated_work(it);
    simulated_decide(it);
    simulated_check(it);
}

static uint64_t simulated_left(const struct simulated *it)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < MODELS; i++)
        count += it->models[i].queue_count + (it->models[i].run_end_ms != 0);
    return count;
}

static struct simulated simulated_open(uint64_t chance)
{
    struct simulated it = {.now_ms = NOW, .chance = chance};
    it.hold_ms = (uint32_t)random_below(&it.chance, 300);
    it.run_ms_max = 1 + (uint32_t)random_below(&it.chance, 100);
    for (uint32_t i = 0; i < MODELS; i++) {
        it.models[i].bytes = 1 + (uint32_t)random_below(&it.chance, TOTAL);
        it.models[i].load_ms = 1 + (uint32_t)random_below(&it.chance, 200);
    }
    return it;
}

/* The bound that is documented: each that waits has at most the others before it, and each of them
 * a load, the hold, and the longest run of one that has to go. */
static uint64_t simulated_bound(const struct simulated *it)
{
    return MODELS * (200 + it->hold_ms + it->run_ms_max + 10u);
}

static void
never_too_much_is_promised_all_are_served_and_nobody_waits_longer_than_the_bound(void **state)
{
    (void)state;
    uint64_t chance = environment_number("SEED", 20261130), runs = 0, swaps = 0;
    print_message("SEED=%llu\n", (unsigned long long)chance);
    for (uint32_t turn = 0; turn < 100; turn++) {
        struct simulated it = simulated_open(chance + turn);
        uint32_t one_in = 2 + turn % 40; /* more than can be served, and less */
        for (uint32_t i = 0; i < 5000; i++)
            simulated_step(&it, one_in);
        uint64_t swap_count = it.swap_count;
        assert_true(swap_count <= MODELS * (5000 / (it.hold_ms + 1) + 1));
        for (uint32_t i = 0; i < 1000000 && simulated_left(&it) > 0; i++)
            simulated_step(&it, 0);
        assert_int_equal(simulated_left(&it), 0);
        assert_true(it.longest_wait_ms <= simulated_bound(&it));
        runs += it.run_count;
        swaps += it.swap_count;
    }
    print_message("%llu runs, %llu swaps\n", (unsigned long long)runs, (unsigned long long)swaps);
}

/* One is asked for without end; the other one gets its turn once the hold is over. */
static void one_that_is_always_busy_starves_nobody(void **state)
{
    (void)state;
    struct simulated it = {.now_ms = NOW, .chance = 1, .hold_ms = 100, .run_ms_max = 10};
    for (uint32_t i = 0; i < MODELS; i++)
        it.models[i] = (struct model){.bytes = TOTAL, .load_ms = 20};
    it.models[0].queue_count = 1000000;
    for (uint32_t i = 0; i < 50; i++)
        simulated_step(&it, 0);
    it.models[1].queue_count = 1;
    for (uint32_t i = 0; i < 20 + 100 + 10 + 5; i++)
        simulated_step(&it, 0);
    assert_int_equal(it.models[1].wait_from_ms, 0);
    assert_true(it.models[1].is >= MODEL_LOADING);
    for (uint32_t i = 0; i < 10000; i++)
        simulated_step(&it, 0);
    assert_int_equal(it.models[0].is, MODEL_READY);
    assert_int_equal(it.swap_count, 2);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_beside_all_that_was_promised_is_there),
        cmocka_unit_test(what_is_more_than_the_device_has_or_than_others_leave_never_fits),
        cmocka_unit_test(what_others_took_is_not_there_whatever_was_promised),
        cmocka_unit_test(what_others_have_taken_is_none_of_those_who_are_here),
        cmocka_unit_test(nobody_goes_for_what_is_about_to_be_free_or_is_being_taken),
        cmocka_unit_test(
            the_one_that_was_not_used_for_longest_goes_first_and_only_as_many_as_are_needed),
        cmocka_unit_test(one_with_runs_goes_only_where_those_without_are_not_enough),
        cmocka_unit_test(nobody_goes_before_the_hold_is_over),
        cmocka_unit_test(a_plan_is_better_by_its_state_and_then_by_who_goes),
        cmocka_unit_test(
            never_too_much_is_promised_all_are_served_and_nobody_waits_longer_than_the_bound),
        cmocka_unit_test(one_that_is_always_busy_starves_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
