/* SPDX-License-Identifier: MIT */
/*
 * test_error.c - the failure at hand: what replaces it, what is cut, where it happened.
 */
#include "worker/engine/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static struct error error;
static char text[ERROR_TRACEBACK_BYTES_MAX + 100];

static void a_traceback_stays_until_the_next_failure(void **state)
{
    (void)state;
    error_clear(&error);
    error_set(&error, ERROR_PIPELINE, "one");
    error_set_traceback(&error, "where", 5);
    assert_string_equal(error.traceback, "where");
    assert_int_equal(error.traceback_bytes, 5);
    error_explain(&error, "pipe", "p", -1);
    assert_string_equal(error.text, "pipe p: one");
    assert_non_null(error.traceback);
    error_set(&error, ERROR_PIPELINE, "two");
    assert_null(error.traceback);
    assert_int_equal(error.traceback_bytes, 0);
    error_set_traceback(&error, "where", 5);
    error_clear(&error);
    assert_null(error.traceback);
}

static void a_long_traceback_loses_its_start(void **state)
{
    (void)state;
    memset(text, 'a', sizeof text);
    error_set_traceback(&error, text, sizeof text);
    assert_int_equal(error.traceback_bytes, ERROR_TRACEBACK_BYTES_MAX);
    assert_ptr_equal(error.traceback + error.traceback_bytes, text + sizeof text);
    error_set_traceback(&error, text, ERROR_TRACEBACK_BYTES_MAX);
    assert_int_equal(error.traceback_bytes, ERROR_TRACEBACK_BYTES_MAX);
}

static void a_long_traceback_does_not_begin_inside_a_character(void **state)
{
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + 98, "\xf0\x9f\x98\x80", 4); /* the limit falls behind its second byte */
    error_set_traceback(&error, text, sizeof text);
    assert_int_equal(error.traceback_bytes, ERROR_TRACEBACK_BYTES_MAX - 2);
    assert_int_equal(error.traceback[0], 'a');
}

static void what_is_put_behind_a_text_ends_where_the_text_may_not_be_longer(void **state)
{
    (void)state;
    error_set(&error, ERROR_PIPELINE, "one");
    error_append(&error, " (two)");
    assert_string_equal(error.text, "one (two)");
    assert_int_equal(error.bytes, 9);
    memset(text, 'a', sizeof text);
    error_set(&error, ERROR_PIPELINE, "%.*s", (int)sizeof error.text - 3, text);
    error_append(&error, "b\xc3\xa9");
    assert_int_equal(error.bytes, sizeof error.text - 2);
    assert_int_equal(error.text[error.bytes - 1], 'b');
    assert_int_equal(error.text[error.bytes], '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceback_stays_until_the_next_failure),
        cmocka_unit_test(what_is_put_behind_a_text_ends_where_the_text_may_not_be_longer),
        cmocka_unit_test(a_long_traceback_loses_its_start),
        cmocka_unit_test(a_long_traceback_does_not_begin_inside_a_character),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
