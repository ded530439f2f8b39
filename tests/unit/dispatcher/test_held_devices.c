/* SPDX-License-Identifier: MIT */
/* test_held_devices.c - each device once, found or held; and who holds it has a process. */
#include "dispatcher/workers/held_devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/check.h"

static struct device found[] = {
    {.kind = DEVICE_CUDA, .index = 0, .uuid = "GPU-a"},
    {.kind = DEVICE_CUDA, .index = 1, .uuid = "GPU-b"},
};

static struct worker workers[4];
static struct worker *places[ARRAY_COUNT(workers) + 1]; /* the last one has no worker */
static struct devices registry;
static struct fleet fleet;

static int scene_open(void **state)
{
    (void)state;
    registry = (struct devices){0};
    registry.sources[DEVICE_SOURCE_CUDA] =
        (struct devices_source){.is_wanted = true, .found = found, .count = ARRAY_COUNT(found)};
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++) {
        workers[i] = (struct worker){.number = (uint32_t)i};
        places[i] = &workers[i];
    }
    fleet = (struct fleet){
        .devices = &registry, .workers = places, .worker_count = ARRAY_COUNT(places)};
    return 0;
}

static void bind_to(uint32_t number, struct device device, pid_t pid)
{
    workers[number].has_device = true;
    workers[number].device = device;
    workers[number].pid = pid;
}

static void expect_devices(const char *const *uuids, const uint32_t *indexes, uint32_t count)
{
    struct held_devices devices;
    assert_int_equal(held_devices_collect(&devices, &fleet), 0);
    assert_int_equal(devices.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(devices.list[i]->uuid, uuids[i]);
        assert_int_equal(devices.list[i]->index, indexes[i]);
    }
    held_devices_finish(&devices);
}

static void what_was_found_is_there_whether_it_is_held_or_not(void **state)
{
    (void)state;
    expect_devices((const char *[]){"GPU-a", "GPU-b"}, (uint32_t[]){0, 1}, 2);
    bind_to(0, found[1], 4711);
    bind_to(1, found[1], 4712);
    expect_devices((const char *[]){"GPU-a", "GPU-b"}, (uint32_t[]){0, 1}, 2);
}

static void a_device_that_has_another_number_by_now_is_the_one_that_was_found(void **state)
{
    (void)state;
    struct device then = found[1];
    then.index = 7;
    bind_to(0, then, 4711);
    expect_devices((const char *[]){"GPU-a", "GPU-b"}, (uint32_t[]){0, 1}, 2);
    assert_true(held_device_is(&workers[0], &found[1]));
    assert_int_equal(held_device(&workers[0])->index, 7);
}

static void what_is_held_and_was_not_found_is_there_once(void **state)
{
    (void)state;
    bind_to(0, (struct device){.kind = DEVICE_VULKAN, .index = 3}, 4711);
    bind_to(1, (struct device){.kind = DEVICE_VULKAN, .index = 3}, 4712);
    bind_to(2, (struct device){.kind = DEVICE_CUDA, .index = 0, .uuid = "GPU-gone"}, 4713);
    expect_devices((const char *[]){"GPU-a", "GPU-b", "", "GPU-gone"}, (uint32_t[]){0, 1, 3, 0}, 4);
}

static void who_has_no_process_holds_nothing(void **state)
{
    (void)state;
    bind_to(0, (struct device){.kind = DEVICE_VULKAN, .index = 3}, 0);
    workers[1].pid = 4711;
    assert_null(held_device(&workers[0]));
    assert_null(held_device(&workers[1]));
    assert_false(held_device_is(&workers[0], &workers[0].device));
    expect_devices((const char *[]){"GPU-a", "GPU-b"}, (uint32_t[]){0, 1}, 2);
}

static void where_there_is_nothing_there_is_nothing(void **state)
{
    (void)state;
    registry.sources[DEVICE_SOURCE_CUDA] = (struct devices_source){0};
    fleet.worker_count = 0;
    expect_devices(NULL, NULL, 0);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_found_is_there_whether_it_is_held_or_not, scene_open),
        cmocka_unit_test_setup(a_device_that_has_another_number_by_now_is_the_one_that_was_found,
                               scene_open),
        cmocka_unit_test_setup(what_is_held_and_was_not_found_is_there_once, scene_open),
        cmocka_unit_test_setup(who_has_no_process_holds_nothing, scene_open),
        cmocka_unit_test_setup(where_there_is_nothing_there_is_nothing, scene_open),
    };
    return cmocka_run_group_tests_name("held_devices", tests, NULL, NULL);
}
