/* SPDX-License-Identifier: MIT */
/* test_binding.c - lists of processing units and of nodes are understood wholly, or not at all. */
#include "worker/confine/binding.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct binding_list list;

static bool has(unsigned number)
{
    return (list.bits[number / BINDING_WORD_BITS] >> number % BINDING_WORD_BITS & 1) != 0;
}

/* Those from `first` to `last` are in it, and so many are in all. */
static void expect(unsigned first, unsigned last, unsigned count)
{
    unsigned found = 0;
    for (unsigned i = 0; i < BINDING_NUMBER_COUNT; i++)
        found += has(i);
    assert_int_equal(found, count);
    for (unsigned i = first; i <= last; i++)
        assert_true(has(i));
}

static void a_list_has_its_numbers_and_those_of_its_ranges(void **state)
{
    (void)state;
    assert_int_equal(binding_parse(&list, "5"), 0);
    expect(5, 5, 1);
    assert_int_equal(binding_parse(&list, "0-3,8"), 0);
    expect(0, 3, 5);
    assert_true(has(8));
    assert_string_equal(list.text, "0-3,8");
    assert_int_equal(binding_parse(&list, "62-65"), 0); /* over the end of a word */
    expect(62, 65, 4);
    assert_int_equal(binding_parse(&list, "7,1-2,7,2-2"), 0); /* in any order, and twice */
    expect(1, 2, 3);
    assert_int_equal(binding_parse(&list, "007"), 0);
    expect(7, 7, 1);
}

static void the_last_number_is_that_of_the_largest_machine(void **state)
{
    (void)state;
    assert_int_equal(binding_parse(&list, "8191"), 0);
    expect(8191, 8191, 1);
    assert_int_equal(binding_parse(&list, "0-8191"), 0);
    expect(0, 8191, 8192);
    assert_int_equal(binding_parse(&list, "8192"), -EINVAL);
    assert_int_equal(binding_parse(&list, "0-8192"), -EINVAL);
    assert_int_equal(binding_parse(&list, "4294967296"), -EINVAL);
    assert_int_equal(binding_parse(&list, "99999999999999999999999"), -EINVAL);
}

static void what_is_no_list_is_refused_and_changes_nothing(void **state)
{
    static const char *const texts[] = {
        "",   ",",  "-",    "1,",  ",1", "1,,2", "1-",  "-1",  "3-2", "1-2-3",
        " 1", "1 ", "1, 2", "0x1", "+1", "1;2",  "all", "1-a", "1\n", "1.5",
    };
    (void)state;
    assert_int_equal(binding_parse(&list, "4"), 0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_int_equal(binding_parse(&list, texts[i]), -EINVAL);
        assert_string_equal(list.text, "4");
        expect(4, 4, 1);
    }
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_its_numbers_and_those_of_its_ranges),
        cmocka_unit_test(the_last_number_is_that_of_the_largest_machine),
        cmocka_unit_test(what_is_no_list_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("binding", tests, NULL, NULL);
}
