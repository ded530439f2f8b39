/* SPDX-License-Identifier: MIT */
/* test_device_variables.c - the variables that a worker is given of its device. */
#include "dispatcher/devices/device_variables.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct device_variables variables;
static const struct environment no_templates;

static int variables_gone(void **state)
{
    (void)state;
    device_variables_finish(&variables);
    return 0;
}

/* `expected` ends with a NULL. */
static void expect(const char *const *expected)
{
    uint32_t count = 0;
    for (; expected[count]; count++) {
        assert_true(count < variables.count);
        assert_string_equal(variables.items[count], expected[count]);
    }
    assert_int_equal(variables.count, count);
}

static void each_kind_has_the_mask_that_its_libraries_know(void **state)
{
    static const struct {
        struct device device;
        const char *expected[6];
    } rows[] = {
        {{.kind = DEVICE_CUDA, .index = 3, .uuid = "GPU-a"},
         {"MILLRACE_DEVICE_KIND=cuda", "MILLRACE_DEVICE_INDEX=3", "MILLRACE_DEVICE_UUID=GPU-a",
          "CUDA_VISIBLE_DEVICES=GPU-a"}},
        {{.kind = DEVICE_CUDA, .index = 3},
         {"MILLRACE_DEVICE_KIND=cuda", "MILLRACE_DEVICE_INDEX=3", "CUDA_DEVICE_ORDER=PCI_BUS_ID",
          "CUDA_VISIBLE_DEVICES=3"}},
        {{.kind = DEVICE_HIP, .index = 1, .uuid = "GPU-b"},
         {"MILLRACE_DEVICE_KIND=hip", "MILLRACE_DEVICE_INDEX=1", "MILLRACE_DEVICE_UUID=GPU-b",
          "ROCR_VISIBLE_DEVICES=GPU-b"}},
        {{.kind = DEVICE_HIP, .index = 1},
         {"MILLRACE_DEVICE_KIND=hip", "MILLRACE_DEVICE_INDEX=1", "ROCR_VISIBLE_DEVICES=1"}},
        {{.kind = DEVICE_LEVEL_ZERO, .index = 2},
         {"MILLRACE_DEVICE_KIND=level-zero", "MILLRACE_DEVICE_INDEX=2", "ZE_AFFINITY_MASK=2"}},
        {{.kind = DEVICE_VULKAN, .index = 0, .uuid = "abcd-ef"},
         {"MILLRACE_DEVICE_KIND=vulkan", "MILLRACE_DEVICE_INDEX=0", "MILLRACE_DEVICE_UUID=abcd-ef",
          "GGML_VK_VISIBLE_DEVICES=0"}},
        {{.kind = DEVICE_OPENCL, .index = 4},
         {"MILLRACE_DEVICE_KIND=opencl", "MILLRACE_DEVICE_INDEX=4", "POCL_DEVICES=basic"}},
        {{.kind = DEVICE_CPU, .index = 5}, {"MILLRACE_DEVICE_KIND=cpu", "MILLRACE_DEVICE_INDEX=5"}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(device_variables_fill(&variables, &rows[i].device, &no_templates), 0);
        expect(rows[i].expected);
        device_variables_finish(&variables);
    }
}

static void without_a_device_no_gpu_is_seen(void **state)
{
    static const char *const expected[] = {"CUDA_VISIBLE_DEVICES=-1", "ROCR_VISIBLE_DEVICES=-1",
                                           "GGML_VK_VISIBLE_DEVICES=", NULL};
    (void)state;
    assert_int_equal(device_variables_hide(&variables), 0);
    expect(expected);
}

static void templates_have_what_is_known_of_the_device(void **state)
{
    char first[] = "MY={kind}/{index}/{uuid}", second[] = "AT={pci} {cores} {numa}",
         third[] = "B={{}}";
    char *items[] = {first, second, third};
    const struct environment templates = {.items = items, .count = 3};
    const struct device known = {.kind = DEVICE_CPU,
                                 .index = 1,
                                 .numa_node = 2,
                                 .uuid = "u-1",
                                 .pci = "0000:01:00.0",
                                 .cores = "4-7"};
    const struct device unknown = {.kind = DEVICE_CPU, .numa_node = -1};
    static const char *const of_known[] = {"MILLRACE_DEVICE_KIND=cpu",
                                           "MILLRACE_DEVICE_INDEX=1",
                                           "MILLRACE_DEVICE_UUID=u-1",
                                           "MY=cpu/1/u-1",
                                           "AT=0000:01:00.0 4-7 2",
                                           "B={}",
                                           NULL};
    static const char *const of_unknown[] = {
        "MILLRACE_DEVICE_KIND=cpu", "MILLRACE_DEVICE_INDEX=0", "MY=cpu/0/", "AT=  ", "B={}", NULL};
    (void)state;
    assert_int_equal(device_variables_fill(&variables, &known, &templates), 0);
    expect(of_known);
    device_variables_finish(&variables);
    assert_int_equal(device_variables_fill(&variables, &unknown, &templates), 0);
    expect(of_unknown);
}

static void as_many_templates_as_may_be_said_have_room(void **state)
{
    static char item[] = "A={index}";
    char *items[DEVICE_TEMPLATE_COUNT_MAX];
    const struct device device = {.kind = DEVICE_CUDA};
    (void)state;
    for (uint32_t i = 0; i < DEVICE_TEMPLATE_COUNT_MAX; i++)
        items[i] = item;
    const struct environment templates = {.items = items, .count = DEVICE_TEMPLATE_COUNT_MAX};
    assert_int_equal(device_variables_fill(&variables, &device, &templates), 0);
    assert_int_equal(variables.count, 4 + DEVICE_TEMPLATE_COUNT_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, variables_gone)
    const struct CMUnitTest tests[] = {
        TEST(each_kind_has_the_mask_that_its_libraries_know),
        TEST(without_a_device_no_gpu_is_seen),
        TEST(templates_have_what_is_known_of_the_device),
        TEST(as_many_templates_as_may_be_said_have_room),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
