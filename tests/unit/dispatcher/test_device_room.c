/* SPDX-License-Identifier: MIT */
/*
 * test_device_room.c - three pipelines of one worker each want memory of one GPU, of which the test
 * says what is known.
 */
#include "dispatcher/workers/device_room.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/workers/placement.h"
#include "tests/unit/dispatcher/stage_pipelines.h"

#define GIB (UINT64_C(1) << 30)
#define NOW stage.server->reactor.now_ms

static char reason[PLACEMENT_REASON_BYTES];

static struct devices_source *source(void)
{
    return &stage.server->devices.sources[DEVICE_SOURCE_CUDA];
}

static struct pool_room *room_of(uint32_t index)
{
    return &worker(index)->pool->room;
}

static void wants(uint32_t index, uint64_t bytes)
{
    char why[CLI_REASON_BYTES];
    struct pipeline_config *config = &stage.config.pipelines[index];
    config->devices = (struct device_choice){0};
    assert_int_equal(device_choice_add(&config->devices, "cuda", why), 0);
    config->options.workers_per_device = 1;
    config->options.device_memory_bytes = bytes;
    config->options.device_memory_learned = bytes == 0;
    config->options.device_hold_ms = 1000;
}

/* It is looked now: so much is free. */
static void is_free(uint64_t bytes)
{
    source()->found[0].memory_free_bytes = bytes;
    source()->found_ms = source()->began_ms = source()->kept_ms = NOW;
}

/* A GPU of 10 GiB, of which 9 are free, and three workers that were ready long ago and have
 * nothing. */
static int scene_open(void **state)
{
    (void)state;
    pool_open(&(struct stage_options){.pipeline_count = 3, .worker_count = 1});
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        stage.server->devices.sources[i].is_wanted = true;
    stage.server->reactor.now_ms += 100000;
    source()->found = calloc(1, sizeof(struct device));
    assert_non_null(source()->found);
    source()->found[0] =
        (struct device){.kind = DEVICE_CUDA, .numa_node = -1, .memory_bytes = 10 * GIB};
    snprintf(source()->found[0].uuid, DEVICE_UUID_BYTES, "GPU-0");
    source()->count = 1;
    source()->knowledge = DEVICES_FOUND;
    is_free(9 * GIB);
    for (uint32_t i = 0; i < 3; i++)
        wants(i, 4 * GIB);
    return 0;
}

static int choose(uint32_t index)
{
    return placement_choose(fleet(), worker(index), reason);
}

static void takes(uint32_t index)
{
    assert_int_equal(choose(index), 0);
    device_room_take(worker(index));
}

static enum room_state state_of(uint32_t index)
{
    return device_room_plan(fleet(), worker(index), &source()->found[0], NULL).state;
}

/* It is served while others wait, and nobody needs it. */
static void may_go(uint32_t index)
{
    room_of(index)->may_go = true;
    room_of(index)->is_needed = false;
}

/* ---- who gets it ----------------------------------------------------------------------------- */

static void what_is_kept_for_some_is_not_there_for_others(void **state)
{
    (void)state;
    takes(0);
    takes(1);
    assert_int_equal(device_room_reserved(fleet(), &source()->found[0]), 8 * GIB);
    assert_int_equal(device_room_held(worker(1)->pool, &source()->found[0]), 4 * GIB);
    assert_int_equal(choose(2), -EAGAIN);
    assert_true(worker(2)->has_no_room);
    assert_ptr_equal(device_room_waiting(worker(2)->pool), worker(2));
    assert_true(fleet()->is_crowded);
    worker(0)->reserved_bytes = 0;
    takes(2);
    assert_null(device_room_waiting(worker(2)->pool));
}

static void the_one_that_may_go_is_named_after_its_hold(void **state)
{
    (void)state;
    struct worker_pool *pools[ROOM_TENANT_COUNT_MAX];
    takes(0);
    takes(1);
    assert_int_equal(choose(2), -EAGAIN);
    assert_int_equal(state_of(2), ROOM_FULL);
    may_go(1);
    worker(1)->ready_ms = NOW - 999;
    assert_int_equal(state_of(2), ROOM_MADE); /* nobody has ever asked for it */
    room_of(1)->used_ms = NOW - 50;
    assert_int_equal(state_of(2), ROOM_LATER);
    worker(1)->ready_ms = NOW - 1000;
    worker(1)->pool->start_ms = 5000; /* so long it took to load */
    assert_int_equal(state_of(2), ROOM_LATER);
    worker(1)->pool->start_ms = 5;
    struct room_plan plan = device_room_plan(fleet(), worker(2), &source()->found[0], pools);
    assert_int_equal(plan.state, ROOM_MADE);
    assert_int_equal(plan.victim_count, 1);
    assert_ptr_equal(pools[plan.victims[0]], worker(1)->pool);
    worker(1)->is_surplus = true; /* it is told so */
    assert_int_equal(state_of(2), ROOM_COMES);
    worker(1)->is_surplus = false;
}

static void what_those_leave_that_stay_may_never_be_enough(void **state)
{
    (void)state;
    takes(0);
    takes(1);
    room_of(0)->least_count = room_of(1)->least_count = 1;
    assert_int_equal(choose(2), -ENODEV);
    assert_string_equal(reason, "no device for the worker: it needs 4.0 GiB, and workers that "
                                "always stay leave it too little of cuda device 0, which has 10.0 "
                                "GiB");
    assert_null(device_room_waiting(worker(2)->pool));
    wants(2, 11 * GIB);
    assert_int_equal(choose(2), -ENODEV);
    assert_string_equal(reason, "no device for the worker: it needs 11.0 GiB, and cuda device 0, "
                                "the largest, has 10.0 GiB");
    source()->found[0].memory_bytes = 0;
    assert_int_equal(choose(2), -ENODEV);
    assert_string_equal(reason,
                        "no device for the worker: how much memory cuda device 0 has is not "
                        "known");
}

static void who_waits_longest_is_the_first_and_nobody_takes_what_he_waits_for(void **state)
{
    (void)state;
    takes(0);
    wants(1, 8 * GIB);
    room_of(1)->is_needed = room_of(2)->is_needed = true;
    assert_int_equal(choose(1), -EAGAIN);
    worker(1)->room_since_ms--;
    assert_true(device_room_is_in_line(worker(1)));
    assert_int_equal(choose(2), -EAGAIN); /* though it would fit now */
    assert_true(device_room_is_before(worker(1), worker(2)));
    assert_ptr_equal(device_room_next(fleet(), NULL), worker(1));
    assert_ptr_equal(device_room_next(fleet(), worker(1)), worker(2));
    assert_null(device_room_next(fleet(), worker(2)));
    worker(1)->pool->places[0]->reserved_bytes = 1; /* as if it had another worker */
    assert_false(device_room_is_in_line(worker(1)));
    worker(1)->reserved_bytes = 0;
    room_of(1)->is_needed = false; /* nobody asks for it any more */
    assert_false(device_room_is_in_line(worker(1)));
    assert_ptr_equal(device_room_next(fleet(), NULL), worker(2));
    takes(2);
}

static void a_successor_starts_only_beside_it(void **state)
{
    (void)state;
    takes(0);
    takes(1);
    assert_false(device_room_has_beside(fleet(), worker(0)));
    wants(0, 1 * GIB);
    assert_true(device_room_has_beside(fleet(), worker(0)));
    wants(0, 4 * GIB);
    worker(2)->predecessor = worker(0);
    worker(0)->state = WORKER_OUTGOING;
    assert_int_equal(choose(2), -ENOSPC);
    worker(0)->state = WORKER_READY;
    worker(2)->predecessor = NULL;
}

/* ---- what is free ---------------------------------------------------------------------------- */

static void what_others_use_is_not_there(void **state)
{
    (void)state;
    is_free(5 * GIB);
    takes(0);
    assert_int_equal(state_of(1), ROOM_THERE); /* it had taken its part when that was looked at */
    worker(0)->ready_ms = 0;                   /* it loads: what is free is its own, too */
    assert_int_equal(state_of(1), ROOM_COMES);
    worker(0)->ready_ms = NOW - 5000;
    is_free(3 * GIB);
    assert_int_equal(state_of(1), ROOM_FULL);
    may_go(0);
    assert_int_equal(state_of(1), ROOM_MADE);
    source()->failure_streak = 1; /* nobody can tell now */
    assert_int_equal(state_of(1), ROOM_THERE);
}

static void who_waits_for_what_others_use_keeps_nobody_from_the_rest(void **state)
{
    (void)state;
    is_free(5 * GIB);
    wants(1, 8 * GIB);
    room_of(1)->is_needed = room_of(2)->is_needed = true;
    assert_int_equal(choose(1), -EAGAIN);
    assert_true(device_room_is_in_line(worker(1)));
    worker(1)->room_since_ms--;
    takes(2);
    worker(2)->ready_ms = NOW - 5000;
    is_free(1 * GIB);
    assert_int_equal(choose(1), -EAGAIN); /* what it took is not what is lacking */
    assert_true(worker(1)->is_room_taken);
    is_free(8 * GIB);
    worker(2)->reserved_bytes = 0;
    takes(1);
    assert_false(worker(1)->is_room_taken);
}

static void what_is_known_is_looked_at_again_before_a_start(void **state)
{
    (void)state;
    source()->kept_ms = NOW - DEVICE_ROOM_FRESH_MS - 1;
    assert_int_equal(choose(0), -EAGAIN);
    assert_false(worker(0)->has_no_room);
    assert_int_equal(source()->again_ms, NOW + 1);
    is_free(9 * GIB);
    takes(0);
}

static void what_one_took_that_is_ready_since_is_looked_at_before_others_go(void **state)
{
    (void)state;
    takes(0);
    worker(0)->ready_ms = NOW;
    source()->again_ms = 0;
    assert_true(device_room_is_fresh(fleet(), &source()->found[0]));
    assert_false(device_room_is_seen(fleet(), &source()->found[0]));
    assert_int_equal(source()->again_ms, NOW + 1);
    stage.server->reactor.now_ms++;
    is_free(5 * GIB);
    assert_true(device_room_is_seen(fleet(), &source()->found[0]));
}

/* ---- what is learned ------------------------------------------------------------------------- */

static void what_a_model_needs_is_the_device_until_it_was_seen(void **state)
{
    (void)state;
    wants(0, 0);
    takes(0);
    assert_int_equal(worker(0)->reserved_bytes, 10 * GIB);
    worker(0)->pid = 4711;
    worker(0)->ready_ms = NOW - 1;
    is_free(7 * GIB);
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_int_equal(worker(0)->reserved_bytes, 10 * GIB); /* it has served no run yet */
    worker(0)->run_count = 1;
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_int_equal(room_of(0)->learned_bytes, 2 * GIB);
    assert_int_equal(worker(0)->reserved_bytes, 2 * GIB + GIB / 4);
    is_free(8 * GIB); /* the most counts */
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_int_equal(room_of(0)->learned_bytes, 2 * GIB);
    takes(1); /* who is beside it uses some, too: */
    worker(1)->pid = 4712;
    is_free(1 * GIB);
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_int_equal(room_of(0)->learned_bytes, 2 * GIB);
    struct device_use use = {.index = 0, .pid = 4711, .bytes = 3 * GIB};
    source()->uses = &use; /* but the driver knows whose it is */
    source()->use_count = 1;
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_int_equal(room_of(0)->learned_bytes, 3 * GIB);
    assert_int_equal(worker(0)->reserved_bytes, 2 * GIB + GIB / 4); /* as it was promised */
    source()->uses = NULL;
    source()->use_count = 0;
}

/* It was seen to take all 9 GiB that are free where nothing else is. */
static void a_model_that_takes_most_of_its_device_is_loaded_again(void **state)
{
    (void)state;
    wants(0, 0);
    room_of(0)->learned_bytes = 9 * GIB;
    takes(0);
    assert_int_equal(worker(0)->reserved_bytes, 10 * GIB);
    worker(0)->reserved_bytes = 0;
    is_free(8 * GIB);
    assert_int_equal(choose(0), -EAGAIN);
    assert_true(worker(0)->is_room_taken);
}

/* One that uses 3 GiB, on a device that others leave. */
static void where_more_is_free_than_before_nothing_is_learned(void **state)
{
    (void)state;
    is_free(4 * GIB);
    wants(0, 0);
    takes(0);
    worker(0)->pid = 4711;
    worker(0)->ready_ms = NOW - 1;
    worker(0)->run_count = 1;
    is_free(6 * GIB);
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_int_equal(room_of(0)->learned_bytes, 0);
    assert_int_equal(worker(0)->reserved_bytes, 10 * GIB);
}

/* That is what files fill, and what other programs leave. */
static void what_is_free_of_a_nodes_memory_teaches_nothing(void **state)
{
    (void)state;
    struct devices_source *nodes = &stage.server->devices.sources[DEVICE_SOURCE_NUMA];
    struct device node = {.kind = DEVICE_CPU, .memory_bytes = 10 * GIB, .memory_free_bytes = GIB};
    wants(0, 0);
    worker(0)->device = node;
    worker(0)->device.memory_free_bytes = 2 * GIB;
    worker(0)->has_device = true;
    worker(0)->reserved_bytes = 10 * GIB;
    worker(0)->pid = 4711;
    worker(0)->ready_ms = NOW - 1;
    worker(0)->run_count = 1;
    nodes->found = &node;
    nodes->count = 1;
    nodes->knowledge = DEVICES_FOUND;
    nodes->found_ms = NOW;
    device_room_learn(fleet(), DEVICE_SOURCE_NUMA);
    assert_int_equal(room_of(0)->learned_bytes, 0);
    nodes->found = NULL;
    nodes->count = 0;
}

/* The other one is asked for, and has no process yet. */
static void more_is_not_kept_than_is_there_beside_one_that_is_about_to_start(void **state)
{
    (void)state;
    wants(0, 0);
    room_of(0)->learned_bytes = 2 * GIB;
    takes(0);
    worker(0)->pid = 4711;
    worker(0)->ready_ms = NOW - 1;
    worker(0)->run_count = 1;
    wants(1, 7 * GIB);
    takes(1);
    worker(1)->pid = 0;
    is_free(3 * GIB);
    device_room_learn(fleet(), DEVICE_SOURCE_CUDA);
    assert_true(device_room_reserved(fleet(), &source()->found[0]) <= 10 * GIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEST(what_is_kept_for_some_is_not_there_for_others),
        TEST(the_one_that_may_go_is_named_after_its_hold),
        TEST(what_those_leave_that_stay_may_never_be_enough),
        TEST(who_waits_longest_is_the_first_and_nobody_takes_what_he_waits_for),
        TEST(a_successor_starts_only_beside_it),
        TEST(what_others_use_is_not_there),
        TEST(who_waits_for_what_others_use_keeps_nobody_from_the_rest),
        TEST(what_is_known_is_looked_at_again_before_a_start),
        TEST(what_one_took_that_is_ready_since_is_looked_at_before_others_go),
        TEST(what_a_model_needs_is_the_device_until_it_was_seen),
        TEST(a_model_that_takes_most_of_its_device_is_loaded_again),
        TEST(where_more_is_free_than_before_nothing_is_learned),
        TEST(what_is_free_of_a_nodes_memory_teaches_nothing),
        TEST(more_is_not_kept_than_is_there_beside_one_that_is_about_to_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
