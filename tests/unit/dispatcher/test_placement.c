/* SPDX-License-Identifier: MIT */
/*
 * test_placement.c - workers of two pipelines are given devices, of which the test says what is
 * known.
 *
 * Nobody looks for devices here: a source that is wanted already is not asked for again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/devices/care.h"
#include "dispatcher/workers/placement.h"
#include "tests/unit/dispatcher/stage_pipelines.h"

#define OTHERS 3u /* the first worker of the second pipeline; of the first one it is 0 */

static char reason[PLACEMENT_REASON_BYTES];

static struct devices_source *source(enum device_source which)
{
    return &stage.server->devices.sources[which];
}

static struct pipeline_config *config_of(uint32_t pipeline)
{
    return &stage.config.pipelines[pipeline];
}

static void choose_devices(uint32_t pipeline, const char *text, uint32_t workers_per_device)
{
    char why[CLI_REASON_BYTES];
    config_of(pipeline)->devices = (struct device_choice){0};
    config_of(pipeline)->options.workers_per_device = workers_per_device;
    assert_int_equal(device_choice_add(&config_of(pipeline)->devices, text, why), 0);
}

static void learn(enum device_source which, enum device_knowledge knowledge, const char *why)
{
    source(which)->knowledge = knowledge;
    snprintf(source(which)->reason, SCAN_REASON_BYTES, "%s", why);
}

/* So many devices, the first one with the UUID GPU-<first>. */
static void found_from(enum device_source which, uint32_t count, uint32_t first)
{
    struct device *devices = calloc(count + 1, sizeof *devices);
    assert_non_null(devices);
    for (uint32_t i = 0; i < count; i++) {
        devices[i] = (struct device){.index = i, .numa_node = -1};
        devices[i].kind = which == DEVICE_SOURCE_CUDA ? DEVICE_CUDA : DEVICE_HIP;
        snprintf(devices[i].uuid, DEVICE_UUID_BYTES, "GPU-%u", first + i);
    }
    free(source(which)->found);
    source(which)->found = devices;
    source(which)->count = count;
    learn(which, DEVICES_FOUND, "");
}

static void found(enum device_source which, uint32_t count)
{
    found_from(which, count, 0);
}

static int choose(uint32_t index)
{
    return placement_choose(fleet(), worker(index), reason);
}

static void is_given(uint32_t index, const char *uuid)
{
    assert_int_equal(choose(index), 0);
    assert_true(worker(index)->has_device);
    assert_string_equal(worker(index)->device.uuid, uuid);
}

static void is_given_none(uint32_t index, const char *why)
{
    assert_int_equal(choose(index), -ENODEV);
    assert_string_equal(reason, why);
}

/* Two pipelines of three workers each, all of them ready, and bound to nothing. */
static int scene_open(void **state)
{
    (void)state;
    pool_open(&(struct stage_options){.pipeline_count = 2, .worker_count = 3});
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        stage.server->devices.sources[i].is_wanted = true;
    return 0;
}

/* ---- which one ------------------------------------------------------------------------------ */

static void nothing_is_chosen_where_nothing_is_said_or_none(void **state)
{
    (void)state;
    found(DEVICE_SOURCE_CUDA, 2);
    assert_int_equal(choose(0), 0);
    assert_false(worker(0)->has_device);
    choose_devices(0, "none", 1);
    assert_int_equal(choose(0), 0);
    assert_false(worker(0)->has_device);
    assert_int_equal(placement_room(fleet(), config_of(0)), 0);
}

static void nothing_is_chosen_before_it_is_known_what_there_is(void **state)
{
    static const char *const texts[] = {"auto", "cuda", "0", "cuda:GPU-0", "hip", "cpu", "vulkan"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        choose_devices(0, texts[i], 1);
        assert_int_equal(choose(0), -EAGAIN);
    }
    choose_devices(0, "vulkan:x2", 1); /* of which nothing is to be known */
    assert_int_equal(choose(0), 0);
    assert_int_equal(worker(0)->device.kind, DEVICE_VULKAN);
    assert_int_equal(worker(0)->device.index, 0);
}

static void each_worker_gets_the_device_that_the_fewest_have(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 2);
    found(DEVICE_SOURCE_CUDA, 2);
    is_given(0, "GPU-0");
    is_given(1, "GPU-1");
    is_given(2, "GPU-0");
}

static void of_those_the_one_that_the_fewest_of_all_pipelines_have(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    choose_devices(1, "auto", 1);
    found(DEVICE_SOURCE_CUDA, 3);
    learn(DEVICE_SOURCE_HIP, DEVICES_ABSENT, "");
    is_given(0, "GPU-0");
    is_given(OTHERS, "GPU-1");
    is_given(OTHERS + 1, "GPU-2");
    is_given(OTHERS + 2, "GPU-0"); /* its own pipeline's count first */
}

static void a_worker_keeps_its_device_also_where_that_has_another_number(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    found(DEVICE_SOURCE_CUDA, 3);
    is_given(0, "GPU-0");
    is_given(1, "GPU-1");
    worker(0)->has_device = false;
    is_given(1, "GPU-1"); /* though nobody has the first one */
    is_given(0, "GPU-0");
    found_from(DEVICE_SOURCE_CUDA, 3, 1); /* the first one is gone, and another one there */
    is_given(1, "GPU-1");
    assert_int_equal(worker(1)->device.index, 0);
    is_given(0, "GPU-2");
}

static void who_takes_over_has_the_device_of_its_predecessor(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    found(DEVICE_SOURCE_CUDA, 1);
    is_given(0, "GPU-0");
    is_given_none(1, "no device for the worker: each of 1 has 1 workers");
    worker(1)->predecessor = worker(0);
    is_given(1, "GPU-0");
    worker(1)->predecessor = NULL;
}

static void picks_are_by_index_and_by_uuid(void **state)
{
    (void)state;
    choose_devices(0, "2,GPU-1", 1);
    found(DEVICE_SOURCE_CUDA, 3);
    is_given(0, "GPU-2");
    is_given(1, "GPU-1");
    is_given_none(2, "no device for the worker: each of 2 has 1 workers");
}

static void one_kind_of_gpu_is_chosen_and_of_two_that_of_nvidia(void **state)
{
    (void)state;
    choose_devices(0, "auto", 1);
    found(DEVICE_SOURCE_HIP, 2);
    assert_int_equal(choose(0), -EAGAIN); /* there may be others yet */
    learn(DEVICE_SOURCE_CUDA, DEVICES_ABSENT, "no such library");
    is_given(0, "GPU-0");
    assert_int_equal(worker(0)->device.kind, DEVICE_HIP);
    found(DEVICE_SOURCE_CUDA, 1);
    is_given(1, "GPU-0");
    assert_int_equal(worker(1)->device.kind, DEVICE_CUDA);
}

static void what_the_servers_own_variables_hide_is_not_among_all(void **state)
{
    (void)state;
    found(DEVICE_SOURCE_CUDA, 3);
    setenv("CUDA_VISIBLE_DEVICES", "1", 1);
    choose_devices(0, "cuda", 1);
    is_given(0, "GPU-1");
    is_given_none(1, "no device for the worker: each of 1 has 1 workers");
    assert_int_equal(placement_room(fleet(), config_of(0)), 1);
    choose_devices(0, "cuda:2", 1);
    is_given(0, "GPU-2"); /* who says one means it */
    unsetenv("CUDA_VISIBLE_DEVICES");
}

/* ---- none ----------------------------------------------------------------------------------- */

static void no_more_workers_of_a_pipeline_than_said_have_one_device(void **state)
{
    (void)state;
    choose_devices(0, "vulkan:x1", 2);
    choose_devices(1, "vulkan:x1", 1);
    assert_int_equal(choose(0), 0);
    assert_int_equal(choose(1), 0);
    is_given_none(2, "no device for the worker: each of 1 has 2 workers");
    assert_int_equal(choose(OTHERS), 0);
    is_given_none(OTHERS + 1, "no device for the worker: each of 1 has 1 workers");
}

static void devices_that_are_said_and_not_there_are_counted_in_the_reason(void **state)
{
    (void)state;
    choose_devices(0, "cuda:0,7", 1);
    found(DEVICE_SOURCE_CUDA, 2);
    is_given(0, "GPU-0");
    is_given_none(1, "no device for the worker: 1 of 2 that are said are there, of 2 cuda devices");
    assert_int_not_equal(source(DEVICE_SOURCE_CUDA)->again_ms, 0); /* it may come */
}

static void without_a_device_the_reason_is_what_is_known(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    learn(DEVICE_SOURCE_CUDA, DEVICES_ABSENT, "no such library");
    is_given_none(0, "no device for the worker: cuda: no such library");
    learn(DEVICE_SOURCE_CUDA, DEVICES_FAILED, "the driver did not answer in 10 s");
    is_given_none(0, "no device for the worker: cuda: the driver did not answer in 10 s");
    found(DEVICE_SOURCE_CUDA, 0);
    is_given_none(0, "no device for the worker: there is no cuda device");
}

static void where_there_is_no_gpu_auto_runs_without(void **state)
{
    (void)state;
    choose_devices(0, "auto", 1);
    learn(DEVICE_SOURCE_CUDA, DEVICES_ABSENT, "no such library");
    assert_int_equal(choose(0), -EAGAIN);
    learn(DEVICE_SOURCE_HIP, DEVICES_ABSENT, "no amdkfd");
    assert_int_equal(choose(0), 0);
    assert_false(worker(0)->has_device);
    assert_int_equal(placement_room(fleet(), config_of(0)), 0);
}

static void where_it_cannot_be_told_whether_there_is_one_auto_waits(void **state)
{
    (void)state;
    choose_devices(0, "auto", 1);
    learn(DEVICE_SOURCE_CUDA, DEVICES_ABSENT, "no such library");
    learn(DEVICE_SOURCE_HIP, DEVICES_FAILED, "it hangs");
    is_given_none(0, "no device for the worker: hip: it hangs");
    learn(DEVICE_SOURCE_CUDA, DEVICES_FAILED, "no permission");
    learn(DEVICE_SOURCE_HIP, DEVICES_ABSENT, "no amdkfd");
    is_given_none(0, "no device for the worker: cuda: no permission");
}

/* ---- how many ------------------------------------------------------------------------------- */

static void devices_have_room_for_so_many_workers_each(void **state)
{
    static const struct {
        const char *text;
        uint32_t each, room;
    } rows[] = {{"cuda", 1, 3},      {"cuda", 4, 12}, {"cuda", 256, 256}, {"cuda:0,1", 3, 6},
                {"vulkan:x4", 2, 8}, {"hip", 1, 0},   {"auto", 2, 6},     {"none", 1, 0}};
    (void)state;
    found(DEVICE_SOURCE_CUDA, 3);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        choose_devices(0, rows[i].text, rows[i].each);
        assert_int_equal(placement_room(fleet(), config_of(0)), rows[i].room);
    }
}

static void a_choice_hears_of_the_sources_it_is_of(void **state)
{
    static const struct {
        const char *text;
        bool is_of[DEVICE_SOURCE_COUNT];
    } rows[] = {
        {"none", {false}},
        {"auto", {[DEVICE_SOURCE_CUDA] = true, [DEVICE_SOURCE_HIP] = true}},
        {"1", {[DEVICE_SOURCE_CUDA] = true, [DEVICE_SOURCE_HIP] = true}},
        {"hip:1", {[DEVICE_SOURCE_HIP] = true}},
        {"vulkan", {[DEVICE_SOURCE_VULKAN] = true}},
        {"vulkan:x2", {false}},
        {"cpu", {[DEVICE_SOURCE_NUMA] = true}},
        {"cpu:core", {[DEVICE_SOURCE_CORES] = true}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (uint32_t which = 0; which < DEVICE_SOURCE_COUNT; which++) {
            choose_devices(0, rows[i].text, 1);
            assert_int_equal(placement_is_of(&config_of(0)->devices, (enum device_source)which),
                             rows[i].is_of[which]);
        }
}

/* ---- workers that wait ---------------------------------------------------------------------- */

static void workers_wait_without_a_process_until_a_device_is_there(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    stage_exit(0, CLD_EXITED, 1);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MAX);
    stage_settle();
    uint32_t spawn_count = stage.spawn_count;
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
    assert_int_equal(worker(0)->timer.position, 0);
    found(DEVICE_SOURCE_CUDA, 3);
    supervisor_devices_ops.changed(fleet(), DEVICE_SOURCE_HIP); /* no matter of theirs */
    stage_settle();
    assert_int_equal(stage.spawn_count, spawn_count);
    supervisor_devices_ops.changed(fleet(), DEVICE_SOURCE_CUDA);
    workers_settle();
    assert_int_equal(stage.spawn_count, spawn_count + 1);
    assert_int_equal(worker(0)->state, WORKER_READY);
    assert_string_equal(worker(0)->device.uuid, "GPU-0");
}

static void there_are_as_many_workers_as_devices_where_nobody_says_how_many(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    config_of(0)->options.devices_count_workers = true;
    found(DEVICE_SOURCE_CUDA, 2);
    supervisor_devices_ops.changed(fleet(), DEVICE_SOURCE_CUDA);
    workers_settle();
    assert_int_equal(pool()->worker_count, 2);
    found(DEVICE_SOURCE_CUDA, 3);
    supervisor_devices_ops.changed(fleet(), DEVICE_SOURCE_CUDA);
    workers_settle();
    assert_int_equal(pool()->worker_count, 3);
    assert_int_equal(pool_ready_count(pool()), 3);
    char why[RUNS_REASON_BYTES];
    assert_int_equal(resize_to(4, why), -EINVAL);
    assert_string_equal(why, "its devices have room for 3 workers");
}

static void one_that_cannot_even_die_on_a_lost_device_lacks_one(void **state)
{
    (void)state;
    choose_devices(0, "cuda", 1);
    found(DEVICE_SOURCE_CUDA, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const char *const uuids[] = {"GPU-0", "GPU-1", "GPU-2"};
        is_given(i, uuids[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        const struct device device = worker(i)->device;
        care_event(&stage.server->devices, &device, DEVICE_EV_DEVICE_FAULT, "Xid 79");
        assert_int_equal(worker(i)->state, WORKER_DYING);
    }
    /* Nobody tries them here. */
    timer_clear(&stage.server->reactor.timers, &stage.server->devices.timer);
    const struct worker_pool *pool = worker(0)->pool;
    uint32_t client = stage_connect();
    stage_say(client, "/v4/runs", "{\"pipeline\":\"me/numbers:v1\",\"inputs\":[]}", 1);
    stage_settle();
    assert_false(pool_lacks_devices(pool)); /* most die soon, and another device may be free */
    assert_int_equal(stage.server->runs.pipelines[0]->queue_count, 1);
    stage_later(1000);
    assert_true(pool_lacks_devices(pool));
    assert_int_equal(stage.server->runs.pipelines[0]->queue_count, 0);
    stage_later(1000);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(stage.workers[i].kill_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
        TEST(nothing_is_chosen_where_nothing_is_said_or_none),
        TEST(nothing_is_chosen_before_it_is_known_what_there_is),
        TEST(each_worker_gets_the_device_that_the_fewest_have),
        TEST(one_that_cannot_even_die_on_a_lost_device_lacks_one),
        TEST(of_those_the_one_that_the_fewest_of_all_pipelines_have),
        TEST(a_worker_keeps_its_device_also_where_that_has_another_number),
        TEST(who_takes_over_has_the_device_of_its_predecessor),
        TEST(picks_are_by_index_and_by_uuid),
        TEST(one_kind_of_gpu_is_chosen_and_of_two_that_of_nvidia),
        TEST(what_the_servers_own_variables_hide_is_not_among_all),
        TEST(no_more_workers_of_a_pipeline_than_said_have_one_device),
        TEST(devices_that_are_said_and_not_there_are_counted_in_the_reason),
        TEST(without_a_device_the_reason_is_what_is_known),
        TEST(where_there_is_no_gpu_auto_runs_without),
        TEST(where_it_cannot_be_told_whether_there_is_one_auto_waits),
        TEST(devices_have_room_for_so_many_workers_each),
        TEST(a_choice_hears_of_the_sources_it_is_of),
        TEST(workers_wait_without_a_process_until_a_device_is_there),
        TEST(there_are_as_many_workers_as_devices_where_nobody_says_how_many),
#undef TEST
    };
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("ROCR_VISIBLE_DEVICES");
    unsetenv("HIP_VISIBLE_DEVICES");
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
