/* SPDX-License-Identifier: MIT */
/* test_device_choice.c - the words of --devices: what each means, and why others are refused. */
#include "dispatcher/config/device_choice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NO_SUCH_WORD                                                                               \
    "it is none, auto, a kind (cuda, hip, level-zero, vulkan, opencl, cpu), indexes (0 to 255), "  \
    "UUIDs, or a kind with them like cuda:0,2, vulkan:x4 or cpu:core"
#define NOT_FOUND "of this kind it is said how many, like opencl:x4"
#define NO_PART "cores are cpu:numa, those of a NUMA node each, or cpu:core, one each"
#define NO_NUMBER "behind the x is a number from 1 to 256"

static char reason[CLI_REASON_BYTES];

static struct device_choice choice_of(const char *text)
{
    struct device_choice choice = {0};
    assert_int_equal(device_choice_add(&choice, text, reason), 0);
    return choice;
}

static void refused(struct device_choice *choice, const char *text, const char *why)
{
    char expected[CLI_REASON_BYTES];
    snprintf(expected, sizeof expected, "--devices %s: %s", text, why);
    assert_int_equal(device_choice_add(choice, text, reason), -EINVAL);
    assert_string_equal(reason, expected);
}

/* ---- one word ------------------------------------------------------------------------------- */

static void each_word_is_what_it_says(void **state)
{
    static const struct {
        const char *text;
        enum device_choice_kind kind;
        bool is_of_any, is_per_core;
        enum device_kind of;
        uint32_t count;
    } rows[] = {
        {"none", DEVICE_CHOICE_NONE, true, false, DEVICE_CUDA, 0},
        {"auto", DEVICE_CHOICE_ALL, true, false, DEVICE_CUDA, 0},
        {"cuda", DEVICE_CHOICE_ALL, false, false, DEVICE_CUDA, 0},
        {"hip", DEVICE_CHOICE_ALL, false, false, DEVICE_HIP, 0},
        {"vulkan", DEVICE_CHOICE_ALL, false, false, DEVICE_VULKAN, 0},
        {"cpu", DEVICE_CHOICE_ALL, false, false, DEVICE_CPU, 0},
        {"cpu:numa", DEVICE_CHOICE_ALL, false, false, DEVICE_CPU, 0},
        {"cpu:core", DEVICE_CHOICE_ALL, false, true, DEVICE_CPU, 0},
        {"vulkan:x4", DEVICE_CHOICE_COUNT, false, false, DEVICE_VULKAN, 4},
        {"opencl:x1", DEVICE_CHOICE_COUNT, false, false, DEVICE_OPENCL, 1},
        {"level-zero:x256", DEVICE_CHOICE_COUNT, false, false, DEVICE_LEVEL_ZERO, 256},
        {"cuda:x2", DEVICE_CHOICE_COUNT, false, false, DEVICE_CUDA, 2},
        {"0", DEVICE_CHOICE_PICKS, true, false, DEVICE_CUDA, 1},
        {"0,255, 7", DEVICE_CHOICE_PICKS, true, false, DEVICE_CUDA, 3},
        {"GPU-1234", DEVICE_CHOICE_PICKS, true, false, DEVICE_CUDA, 1},
        {"MIG-1/2:3.4_5,0", DEVICE_CHOICE_PICKS, true, false, DEVICE_CUDA, 2},
        {"hip:0,1", DEVICE_CHOICE_PICKS, false, false, DEVICE_HIP, 2},
        {"cpu:1", DEVICE_CHOICE_PICKS, false, false, DEVICE_CPU, 1},
        {"cuda:GPU-a,GPU-b", DEVICE_CHOICE_PICKS, false, false, DEVICE_CUDA, 2},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct device_choice choice = choice_of(rows[i].text);
        assert_int_equal(choice.kind, rows[i].kind);
        assert_int_equal(choice.is_of_any, rows[i].is_of_any);
        assert_int_equal(choice.is_per_core, rows[i].is_per_core);
        assert_int_equal(choice.of, rows[i].of);
        assert_int_equal(device_choice_count(&choice), rows[i].count);
        assert_int_equal(device_choice_binds(&choice), rows[i].kind != DEVICE_CHOICE_NONE);
        assert_int_equal(device_choice_check(rows[i].text, reason), 0);
    }
}

static void each_other_word_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", NO_SUCH_WORD},
        {"all", NO_SUCH_WORD},
        {"Auto", NO_SUCH_WORD},
        {"cudas", NO_SUCH_WORD},
        {"256", NO_SUCH_WORD},
        {"10000", NO_SUCH_WORD},
        {"+1", NO_SUCH_WORD},
        {"1,", NO_SUCH_WORD},
        {",1", NO_SUCH_WORD},
        {"1 ", NO_SUCH_WORD},
        {"x4", NO_SUCH_WORD},
        {"cuda:", NO_SUCH_WORD},
        {"cuda:auto", NO_SUCH_WORD},
        {"cuda:256", NO_SUCH_WORD},
        {"cuda:GPU-a b", NO_SUCH_WORD},
        {"cuda:0,cpu", NO_SUCH_WORD},
        {"level-zero", NOT_FOUND},
        {"opencl", NOT_FOUND},
        {"opencl:0", NOT_FOUND},
        {"level-zero:", NOT_FOUND},
        {"vulkan:x", NO_NUMBER},
        {"vulkan:x0", NO_NUMBER},
        {"vulkan:x257", NO_NUMBER},
        {"vulkan:x10000", NO_NUMBER},
        {"vulkan:x4x", NO_NUMBER},
        {"vulkan:x-4", NO_NUMBER},
        {"cpu:x4", NO_PART},
        {"cpu:cores", NO_PART},
        {"cpu:numa,core", NO_PART},
        {"0,0", "one device is said twice"},
        {"cuda:GPU-a,1,GPU-a", "one device is said twice"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct device_choice choice = {0};
        refused(&choice, rows[i].text, rows[i].why);
        assert_int_equal(choice.kind, DEVICE_CHOICE_UNSAID);
    }
}

static void a_pick_is_an_index_or_a_uuid(void **state)
{
    (void)state;
    struct device_choice choice = choice_of("cuda:3, GPU-a");
    assert_null(choice.picks[0].uuid);
    assert_int_equal(choice.picks[0].index, 3);
    assert_int_equal(choice.picks[1].uuid_bytes, 5);
    assert_memory_equal(choice.picks[1].uuid, "GPU-a", 5);
}

static void a_uuid_has_95_characters_at_most(void **state)
{
    char text[97] = "GPU-";
    struct device_choice choice = {0};
    (void)state;
    memset(text + 4, 'a', 91);
    assert_int_equal(device_choice_add(&choice, text, reason), 0);
    text[95] = 'a';
    choice = (struct device_choice){0};
    refused(&choice, text, NO_SUCH_WORD);
}

/* ---- several -------------------------------------------------------------------------------- */

static void picks_add_up_where_they_are_of_one_kind(void **state)
{
    (void)state;
    struct device_choice choice = choice_of("cuda:0");
    assert_int_equal(device_choice_add(&choice, "1,GPU-a", reason), 0);
    assert_int_equal(device_choice_add(&choice, "cuda:2", reason), 0);
    assert_int_equal(choice.pick_count, 4);
    assert_false(choice.is_of_any);
    assert_int_equal(choice.of, DEVICE_CUDA);
}

static void what_does_not_go_together_is_refused_and_all_stays_as_it_was(void **state)
{
    static const struct {
        const char *before, *text, *why;
    } rows[] = {
        {"0", "0", "one device is said twice"},
        {"cuda:0", "0", "one device is said twice"},
        {"0", "cuda:1", "the devices of a pipeline are of one kind"},
        {"cuda:0", "hip:1", "the devices of a pipeline are of one kind"},
        {"auto", "0", "only indexes and UUIDs can be several"},
        {"0", "none", "only indexes and UUIDs can be several"},
        {"cuda", "cuda", "only indexes and UUIDs can be several"},
        {"vulkan:x2", "vulkan:x2", "only indexes and UUIDs can be several"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct device_choice before = choice_of(rows[i].before), choice = before;
        refused(&choice, rows[i].text, rows[i].why);
        assert_true(device_choice_is_same(&choice, &before));
    }
}

static void a_pipeline_has_64_picks_at_most(void **state)
{
    char text[1024] = "0";
    size_t used = 1;
    (void)state;
    for (unsigned i = 1; i < DEVICE_PICK_COUNT_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, ",%u", i);
    struct device_choice choice = choice_of(text);
    assert_int_equal(choice.pick_count, DEVICE_PICK_COUNT_MAX);
    refused(&choice, "64", "64 devices at most");
    snprintf(text + used, sizeof text - used, ",64");
    choice = (struct device_choice){0};
    assert_int_equal(device_choice_add(&choice, text, reason), -EINVAL);
    assert_non_null(strstr(reason, ": 64 devices at most"));
}

static void a_choice_is_the_same_whatever_the_order_of_its_picks(void **state)
{
    static const char *const texts[] = {
        "none", "auto", "cuda",  "hip",    "cpu",       "cpu:core",  "cuda:0",   "0",
        "1",    "0,1",  "GPU-a", "GPU-ab", "vulkan:x4", "vulkan:x5", "opencl:x4"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        for (size_t k = 0; k < ARRAY_COUNT(texts); k++) {
            struct device_choice choice = choice_of(texts[i]), other = choice_of(texts[k]);
            assert_int_equal(device_choice_is_same(&choice, &other), i == k);
        }
    struct device_choice choice = choice_of("0,GPU-a,2"), other = choice_of("2,0,GPU-a");
    assert_true(device_choice_is_same(&choice, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_is_what_it_says),
        cmocka_unit_test(each_other_word_is_refused_with_its_reason),
        cmocka_unit_test(a_pick_is_an_index_or_a_uuid),
        cmocka_unit_test(a_uuid_has_95_characters_at_most),
        cmocka_unit_test(picks_add_up_where_they_are_of_one_kind),
        cmocka_unit_test(what_does_not_go_together_is_refused_and_all_stays_as_it_was),
        cmocka_unit_test(a_pipeline_has_64_picks_at_most),
        cmocka_unit_test(a_choice_is_the_same_whatever_the_order_of_its_picks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
