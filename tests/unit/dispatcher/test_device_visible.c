/* SPDX-License-Identifier: MIT */
/* test_device_visible.c - which GPUs the server's own variables leave to it. */
#include "dispatcher/devices/device_visible.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "millrace/check.h"

static const struct device gpu = {.kind = DEVICE_CUDA, .index = 2, .uuid = "GPU-abcd"};
static const struct device nameless = {.kind = DEVICE_CUDA, .index = 2};

static void a_list_has_indexes_and_uuids_or_beginnings_of_them(void **state)
{
    static const char *const lists[] = {"2",        "0,2",    "0, 2", " 2 ,3",      "02",
                                        "GPU-abcd", "GPU-ab", "GPU-", "1,GPU-abcd", "GPU-x,GPU-a"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        assert_true(device_list_has(lists[i], &gpu));
    assert_true(device_list_has(NULL, &gpu));
}

static void what_a_list_does_not_name_it_has_not(void **state)
{
    static const char *const lists[] = {"",     " ",        "0,1",       "22",       ",2",
                                        "0,,2", "GPU-abce", "GPU-abcde", "MIG-abcd", "12"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        assert_false(device_list_has(lists[i], &gpu));
    assert_false(device_list_has("GPU-", &nameless));
}

static void the_first_that_is_neither_ends_the_list(void **state)
{
    static const char *const lists[] = {"-1", "-1,2", "0,-1,2", "none,2", "x,2", "0 1,2", "abc,2"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        assert_false(device_list_has(lists[i], &gpu));
    assert_true(device_list_has("2,-1", &gpu));
}

static void each_kind_has_variables_of_its_own(void **state)
{
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
                                        "HIP_VISIBLE_DEVICES"};
    static const bool hides[ARRAY_COUNT(names)][DEVICE_KIND_COUNT] = {
        {[DEVICE_CUDA] = true}, {[DEVICE_HIP] = true}, {[DEVICE_HIP] = true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        unsetenv(names[i]);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        for (uint32_t kind = 0; kind < DEVICE_KIND_COUNT; kind++) {
            const struct device device = {.kind = kind, .index = 1};
            assert_true(device_is_visible(&device));
            setenv(names[i], "0", 1);
            assert_int_equal(device_is_visible(&device), !hides[i][kind]);
            setenv(names[i], "0,1", 1);
            assert_true(device_is_visible(&device));
            unsetenv(names[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_indexes_and_uuids_or_beginnings_of_them),
        cmocka_unit_test(what_a_list_does_not_name_it_has_not),
        cmocka_unit_test(the_first_that_is_neither_ends_the_list),
        cmocka_unit_test(each_kind_has_variables_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
