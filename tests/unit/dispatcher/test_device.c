/* SPDX-License-Identifier: MIT */
/* test_device.c - what a device may say of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/devices/device.h"

static const struct device usual = {
    .kind = DEVICE_CUDA,
    .index = 3,
    .numa_node = 1,
    .core_count = 16,
    .memory_bytes = UINT64_C(1) << 34,
    .uuid = "MIG-GPU-5a1f/7/0",
    .name = "NVIDIA A100\xe2\x84\xa2",
    .pci = "0000:65:00.0",
    .parent = "GPU-5a1f",
    .cores = "0-7,16-23",
    .memory_nodes = "1",
    .nodes = "/dev/nvidiactl:/dev/nvidia3:/dev/nvidia-caps/nvidia-cap66",
};

static void a_device_of_which_all_or_nothing_is_known_is_sound(void **state)
{
    (void)state;
    struct device unknown = {.numa_node = -1};
    assert_true(device_is_sound(&usual));
    assert_true(device_is_sound(&unknown));
}

static void numbers_that_cannot_be_are_not_sound(void **state)
{
    (void)state;
    struct device device = usual;
    device.kind = DEVICE_KIND_COUNT;
    assert_false(device_is_sound(&device));
    device = usual;
    device.index = DEVICE_COUNT_MAX;
    assert_false(device_is_sound(&device));
    device.index--;
    assert_true(device_is_sound(&device));
    device.numa_node = -2;
    assert_false(device_is_sound(&device));
    device = usual;
    device.memory_bytes = device.memory_free_bytes = DEVICE_BYTES_MAX;
    assert_true(device_is_sound(&device));
    device.memory_bytes++;
    assert_false(device_is_sound(&device));
    device = usual;
    device.memory_free_bytes = UINT64_MAX;
    assert_false(device_is_sound(&device));
}

#define TEXT(member)                                                                               \
    {                                                                                              \
        offsetof(struct device, member), sizeof(((struct device *)0)->member)                      \
    }
static const struct {
    size_t offset, bytes;
} texts[] = {TEXT(uuid),  TEXT(name),         TEXT(pci),  TEXT(parent),
             TEXT(cores), TEXT(memory_nodes), TEXT(nodes)};

static void a_text_without_an_end_is_not_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct device device = usual;
        memset((char *)&device + texts[i].offset, '0', texts[i].bytes);
        assert_false(device_is_sound(&device));
    }
}

static void a_text_that_fills_its_place_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < ARRAY_COUNT(texts); i++) {
        struct device device = usual;
        memset((char *)&device + texts[i].offset, '0', texts[i].bytes - 1);
        *((char *)&device + texts[i].offset + texts[i].bytes - 1) = '\0';
        assert_true(device_is_sound(&device));
    }
}

static void each_text_has_its_characters_alone(void **state)
{
    static const char not_of_any[] = "\n\033\x7f\xff";
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        for (const char *odd = not_of_any; *odd != '\0'; odd++) {
            struct device device = usual;
            *((char *)&device + texts[i].offset) = *odd;
            assert_false(device_is_sound(&device));
        }
    struct device device = usual;
    device.uuid[3] = ','; /* two of them, in a variable */
    assert_false(device_is_sound(&device));
    device = usual;
    device.pci[5] = 'F';
    assert_false(device_is_sound(&device));
    device = usual;
    device.cores[1] = ' ';
    assert_false(device_is_sound(&device));
}

static bool nodes_are_sound(const char *nodes)
{
    struct device device = usual;
    memset(device.nodes, 0, sizeof(device.nodes));
    memcpy(device.nodes, nodes, strlen(nodes));
    return device_is_sound(&device);
}

static void nodes_lie_below_dev(void **state)
{
    static const char *const wrong[] = {
        "/etc/passwd", "dev/kfd", "/dev/kfd:", ":/dev/kfd", "/dev/kfd:/etc", "/dev/../etc",
        "/dev/dri/.",  "/dev//x", "/dev",      "/dev/a b",  "/dev/a;b",
    };
    (void)state;
    assert_true(nodes_are_sound("/dev/kfd:/dev/dri/renderD128"));
    assert_true(nodes_are_sound("/dev/dri"));
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_false(nodes_are_sound(wrong[i]));
}

static void the_numbers_of_a_list_are_counted(void **state)
{
    static const char *const none[] = {"",   "-1", "1-",    "3-1",    "1,,2",
                                       "1,", "x",  "1-2-3", "0-99999"};
    (void)state;
    assert_int_equal(device_list_count("0"), 1);
    assert_int_equal(device_list_count("0-3,8-9"), 6);
    assert_int_equal(device_list_count("7,9,11"), 3);
    for (size_t i = 0; i < ARRAY_COUNT(none); i++)
        assert_int_equal(device_list_count(none[i]), 0);
}

static void numbers_are_taken_off_a_list_until_it_is_none(void **state)
{
    const char *list = "0-3,8,x";
    struct device_range range;
    (void)state;
    assert_true(device_list_take(&list, &range));
    assert_int_equal(range.first, 0);
    assert_int_equal(range.last, 3);
    assert_true(device_list_take(&list, &range));
    assert_int_equal(range.first, 8);
    assert_int_equal(range.last, 8);
    assert_false(device_list_take(&list, &range));
    assert_string_equal(list, "x");
}

static void a_text_is_copied_as_far_as_it_can_be_shown_and_fits(void **state)
{
    char out[8];
    (void)state;
    device_text_copy(out, sizeof(out), "a\033b\xff", 4);
    assert_string_equal(out, "a?b?");
    device_text_copy(out, sizeof(out), "123456\xc3\xa4", 8);
    assert_string_equal(out, "123456"); /* no half of a character */
    device_text_copy(out, sizeof(out), "abc", 2);
    assert_string_equal(out, "ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_of_which_all_or_nothing_is_known_is_sound),
        cmocka_unit_test(numbers_that_cannot_be_are_not_sound),
        cmocka_unit_test(a_text_without_an_end_is_not_sound),
        cmocka_unit_test(a_text_that_fills_its_place_is_sound),
        cmocka_unit_test(each_text_has_its_characters_alone),
        cmocka_unit_test(nodes_lie_below_dev),
        cmocka_unit_test(the_numbers_of_a_list_are_counted),
        cmocka_unit_test(numbers_are_taken_off_a_list_until_it_is_none),
        cmocka_unit_test(a_text_is_copied_as_far_as_it_can_be_shown_and_fits),
    };
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
