/* SPDX-License-Identifier: MIT */
/*
 * test_failure.c - the failure at hand: what replaces it, what is cut, where it happened.
 */
#include "worker/engine/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static struct failure failure;
static char text[ERROR_TRACEBACK_BYTES_MAX + 100];

static void a_traceback_stays_until_the_next_failure(void **state)
{
    (void)state;
    failure_clear(&failure);
    failure_set(&failure, ERROR_PIPELINE, "one");
    failure_set_traceback(&failure, "where", 5);
    assert_string_equal(failure.traceback, "where");
    assert_int_equal(failure.traceback_bytes, 5);
    failure_explain(&failure, "pipe", "p", -1);
    assert_string_equal(failure.text, "pipe p: one");
    assert_non_null(failure.traceback);
    failure_set(&failure, ERROR_PIPELINE, "two");
    assert_null(failure.traceback);
    assert_int_equal(failure.traceback_bytes, 0);
    failure_set_traceback(&failure, "where", 5);
    failure_clear(&failure);
    assert_null(failure.traceback);
}

static void a_long_traceback_loses_its_start(void **state)
{
    (void)state;
    memset(text, 'a', sizeof text);
    failure_set_traceback(&failure, text, sizeof text);
    assert_int_equal(failure.traceback_bytes, ERROR_TRACEBACK_BYTES_MAX);
    assert_ptr_equal(failure.traceback + failure.traceback_bytes, text + sizeof text);
    failure_set_traceback(&failure, text, ERROR_TRACEBACK_BYTES_MAX);
    assert_int_equal(failure.traceback_bytes, ERROR_TRACEBACK_BYTES_MAX);
}

static void a_long_traceback_does_not_begin_inside_a_character(void **state)
{
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + 98, "\xf0\x9f\x98\x80", 4); /* the limit falls behind its second byte */
    failure_set_traceback(&failure, text, sizeof text);
    assert_int_equal(failure.traceback_bytes, ERROR_TRACEBACK_BYTES_MAX - 2);
    assert_int_equal(failure.traceback[0], 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceback_stays_until_the_next_failure),
        cmocka_unit_test(a_long_traceback_loses_its_start),
        cmocka_unit_test(a_long_traceback_does_not_begin_inside_a_character),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
