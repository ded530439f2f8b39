/* SPDX-License-Identifier: MIT */
/*
 * test_repeats.c - what is said again is counted, and told ever more seldom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/workers/repeats.h"

static uint64_t note(struct repeats *repeats, const char *text)
{
    return repeats_note(repeats, text, strlen(text), NULL, 0);
}

static void the_same_is_counted_until_something_else_is_said(void **state)
{
    (void)state;
    struct repeats repeats = {0};
    assert_false(repeats_has(&repeats, "one"));
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(note(&repeats, "one"), i);
    assert_true(repeats_has(&repeats, "one"));
    assert_false(repeats_has(&repeats, "two"));
    assert_int_equal(note(&repeats, "two"), 0);
    assert_int_equal(note(&repeats, "two"), 1);
    assert_int_equal(note(&repeats, "one"), 0);
}

static void nothing_is_said_for_the_first_time_too(void **state)
{
    (void)state;
    struct repeats repeats = {0};
    assert_int_equal(note(&repeats, ""), 0);
    assert_int_equal(note(&repeats, ""), 1);
}

static void both_parts_of_a_text_count(void **state)
{
    (void)state;
    struct repeats repeats = {0};
    assert_int_equal(repeats_note(&repeats, "one", 3, "here", 4), 0);
    assert_int_equal(repeats_note(&repeats, "one", 3, "here", 4), 1);
    assert_int_equal(repeats_note(&repeats, "one", 3, "there", 5), 0);
    assert_int_equal(repeats_note(&repeats, "two", 3, "there", 5), 0);
    assert_int_equal(repeats_note(&repeats, "two", 3, NULL, 5), 0);
}

static void what_goes_on_is_told_ever_more_seldom(void **state)
{
    (void)state;
    unsigned said = 0;
    for (uint64_t count = 0; count < 1000; count++)
        said += repeats_is_said(count);
    assert_int_equal(said, 11);
    assert_true(repeats_is_said(0) && repeats_is_said(1) && repeats_is_said(2));
    assert_false(repeats_is_said(3));
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_counted_until_something_else_is_said),
        cmocka_unit_test(nothing_is_said_for_the_first_time_too),
        cmocka_unit_test(both_parts_of_a_text_count),
        cmocka_unit_test(what_goes_on_is_told_ever_more_seldom),
    };
    return cmocka_run_group_tests_name("repeats", tests, NULL, NULL);
}
