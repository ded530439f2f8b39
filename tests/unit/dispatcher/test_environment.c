/* SPDX-License-Identifier: MIT */
/*
 * test_environment.c - variables of a pipeline: their form, their bounds, their values.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/config/environment.h"
#include "tests/unit/dispatcher/allocs.h"

#include <cmocka.h>

static struct environment environment;
static char reason[CLI_REASON_BYTES];

static int environment_gone(void **state)
{
    (void)state;
    environment_finish(&environment);
    assert_int_equal(environment.count, 0);
    return 0;
}

static void a_name_has_letters_digits_and_underscores(void **state)
{
    (void)state;
    static const char *const good[] = {"A=", "_=1", "a_9Z=x y", "B==", "C=\n", "LC_ALL=\xc3\xa4"};
    static const char *const bad[] = {"",      "=",    "=x",   "A",          "9=1",  "A B=1",
                                      "A-B=1", " A=1", "A =1", "\xc3\xa4=1", "A.B=1"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_int_equal(environment_add(&environment, good[i], reason), 0);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        reason[0] = '\0';
        assert_int_equal(environment_add(&environment, bad[i], reason), -EINVAL);
        assert_string_equal(reason, "it is not NAME=VALUE (a name has letters, digits and _)");
    }
    assert_int_equal(environment_add(&environment, "MILLRACE_WORKER_INDEX=1", reason), -EINVAL);
    assert_string_equal(reason, "names that begin with MILLRACE_ are the server's own");
    assert_int_equal(environment.count, ARRAY_COUNT(good));
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_string_equal(environment.items[i], good[i]);
}

static void a_name_is_given_once(void **state)
{
    (void)state;
    assert_int_equal(environment_add(&environment, "AB=1", reason), 0);
    assert_int_equal(environment_add(&environment, "A=2", reason), 0);
    assert_int_equal(environment_add(&environment, "ABC=3", reason), 0);
    assert_int_equal(environment_add(&environment, "AB=4", reason), -EINVAL);
    assert_string_equal(reason, "the variable AB is given twice");
    assert_int_equal(environment.count, 3);
}

static void a_value_may_take_the_place_of_another(void **state)
{
    (void)state;
    assert_int_equal(environment_add(&environment, "AB=1", reason), 0);
    assert_int_equal(environment_set(&environment, "A=2", reason), 0);
    assert_int_equal(environment_set(&environment, "AB=longer", reason), 0);
    assert_int_equal(environment.count, 2);
    assert_int_equal(environment.bytes, sizeof "AB=longer" + sizeof "A=2");
    assert_string_equal(environment_own_value(&environment, "AB"), "longer");
    assert_string_equal(environment_own_value(&environment, "A"), "2");
    assert_null(environment_own_value(&environment, "B"));
    struct environment other = {0};
    assert_int_equal(environment_add(&other, "C=3", reason), 0);
    assert_int_equal(environment_add(&other, "A=merged", reason), 0);
    assert_int_equal(environment_merge(&environment, &other, reason), 0);
    environment_finish(&other);
    assert_int_equal(environment.count, 3);
    assert_string_equal(environment_own_value(&environment, "A"), "merged");
    assert_int_equal(environment_set(&environment, "A=2", reason), 0);
    assert_int_equal(environment_set(&environment, "A", reason), -EINVAL);
    assert_string_equal(environment_own_value(&environment, "A"), "2");
}

static void there_are_bounds(void **state)
{
    (void)state;
    static char item[ENVIRONMENT_BYTES_MAX + 1];
    memset(item, 'x', sizeof item - 1);
    memcpy(item, "A=", 2);
    assert_int_equal(environment_add(&environment, item, reason), -EINVAL);
    assert_string_equal(reason, "the variables of a pipeline have 65536 bytes at most");
    item[ENVIRONMENT_BYTES_MAX - 1] = '\0';
    assert_int_equal(environment_add(&environment, item, reason), 0);
    assert_int_equal(environment_add(&environment, "B=", reason), -EINVAL);
    environment_finish(&environment);
    for (uint32_t i = 0; i <= ENVIRONMENT_COUNT_MAX; i++) {
        snprintf(item, sizeof item, "V%u=", i);
        int rc = environment_add(&environment, item, reason);
        assert_int_equal(rc, i < ENVIRONMENT_COUNT_MAX ? 0 : -EINVAL);
    }
    assert_string_equal(reason, "128 variables of a pipeline at most");
    assert_int_equal(environment_set(&environment, "V0=other", reason), 0);
}

static void its_own_value_is_before_ours(void **state)
{
    (void)state;
    setenv("MR_TEST_AB", "ours", 1);
    assert_string_equal(environment_value(&environment, "MR_TEST_AB"), "ours");
    assert_int_equal(environment_add(&environment, "MR_TEST_A=other", reason), 0);
    assert_string_equal(environment_value(&environment, "MR_TEST_AB"), "ours");
    assert_int_equal(environment_add(&environment, "MR_TEST_AB=", reason), 0);
    assert_string_equal(environment_value(&environment, "MR_TEST_AB"), "");
    unsetenv("MR_TEST_AB");
    assert_null(environment_value(&environment, "MR_TEST_ABC"));
}

static void without_memory_nothing_is_added(void **state)
{
    (void)state;
    for (unsigned count = 0; count < 2; count++) {
        allocs_left = count;
        int rc = environment_add(&environment, "A=1", reason);
        allocs_left = UINT_MAX;
        assert_int_equal(rc, -ENOMEM);
        assert_string_equal(reason, "no memory");
        assert_int_equal(environment.count, 0);
        assert_int_equal(environment.bytes, 0);
    }
    assert_int_equal(environment_add(&environment, "A=1", reason), 0);
}

#define ENVIRONMENT_TEST(name) cmocka_unit_test_teardown(name, environment_gone)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        ENVIRONMENT_TEST(a_name_has_letters_digits_and_underscores),
        ENVIRONMENT_TEST(a_name_is_given_once),
        ENVIRONMENT_TEST(a_value_may_take_the_place_of_another),
        ENVIRONMENT_TEST(there_are_bounds),
        ENVIRONMENT_TEST(its_own_value_is_before_ours),
        ENVIRONMENT_TEST(without_memory_nothing_is_added),
    };
    return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
