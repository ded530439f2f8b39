/* SPDX-License-Identifier: MIT */
/*
 * test_text.c - text that grows keeps what it has, and remembers that it could not grow.
 */
#include "dispatcher/text/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static struct text text;

/* Sanitizers end the process at an absurd allocation unless told to refuse it like malloc. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static int text_make(void **state)
{
    (void)state;
    text = (struct text){0};
    return 0;
}

static int text_remove(void **state)
{
    (void)state;
    text_finish(&text);
    return 0;
}

static void expect(const char *bytes)
{
    assert_int_equal(text.count, strlen(bytes));
    assert_memory_equal(text.bytes, bytes, text.count);
}

static void additions_follow_each_other(void **state)
{
    (void)state;
    text_add(&text, "%s=%d", "a", 7);
    text_add_bytes(&text, ";x\0y", 2);
    text_add_bytes(&text, NULL, 0);
    text_add(&text, "%s", "");
    expect("a=7;x");
}

static void a_json_string_is_escaped_and_invalid_text_replaced(void **state)
{
    (void)state;
    text_add_json(&text, "a\"b\n\xff", 5);
    expect("\"a\\\"b\\n\xef\xbf\xbd\"");
}

static void text_of_any_length_is_kept_while_it_grows(void **state)
{
    (void)state;
    char expected[6000];
    size_t count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        text_add(&text, "%05u", i);
        count += (size_t)snprintf(expected + count, sizeof(expected) - count, "%05u", i);
        assert_true(text.count <= text.room);
    }
    assert_int_equal(text.count, count);
    assert_memory_equal(text.bytes, expected, count);
}

static void one_addition_may_be_larger_than_all_room(void **state)
{
    (void)state;
    static char large[100000];
    memset(large, 'q', sizeof(large));
    text_add(&text, "a");
    text_add_bytes(&text, large, sizeof(large));
    assert_int_equal(text.count, sizeof(large) + 1);
    assert_memory_equal(text.bytes + 1, large, sizeof(large));
}

static void reserved_room_counts_once_it_is_said(void **state)
{
    (void)state;
    text_add(&text, "ab");
    char *room = text_reserve(&text, 4);
    assert_ptr_equal(room, text.bytes + 2);
    memcpy(room, "cdef", 4);
    assert_int_equal(text.count, 2);
    text.count += 3;
    expect("abcde");
}

static void room_that_is_given_back_is_not_the_texts(void **state)
{
    (void)state;
    text_trim(&text, 0);
    text_trim(&text, 100);
    assert_int_equal(text.room, 0);
    text_add(&text, "abc");
    text_reserve(&text, 100000);
    text_trim(&text, 200000);
    assert_in_range(text.room, 100003, 200003);
    text_trim(&text, 10);
    assert_int_equal(text.room, 13);
    text_trim(&text, 0);
    assert_int_equal(text.room, 3);
    text_add(&text, "def");
    expect("abcdef");
}

static void without_memory_everything_after_is_nothing_and_the_text_says_so(void **state)
{
    (void)state;
    text_add(&text, "kept");
    /* No machine has so much. */
    assert_null(text_reserve(&text, SIZE_MAX / 4));
    assert_true(text.failed);
    text_add(&text, "x");
    text_add_bytes(&text, "x", 1);
    text_add_json(&text, "x", 1);
    assert_null(text_reserve(&text, 1));
    expect("kept");
}

static void a_finished_text_is_empty_and_can_be_used_again(void **state)
{
    (void)state;
    text_add(&text, "old");
    text_finish(&text);
    assert_null(text.bytes);
    text_add(&text, "new");
    expect("new");
}

#define TEXT_TEST(name) cmocka_unit_test_setup_teardown(name, text_make, text_remove)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEXT_TEST(additions_follow_each_other),
        TEXT_TEST(a_json_string_is_escaped_and_invalid_text_replaced),
        TEXT_TEST(text_of_any_length_is_kept_while_it_grows),
        TEXT_TEST(one_addition_may_be_larger_than_all_room),
        TEXT_TEST(reserved_room_counts_once_it_is_said),
        TEXT_TEST(room_that_is_given_back_is_not_the_texts),
        TEXT_TEST(without_memory_everything_after_is_nothing_and_the_text_says_so),
        TEXT_TEST(a_finished_text_is_empty_and_can_be_used_again),
    };
    return cmocka_run_group_tests_name("text", tests, descriptors_note, descriptors_compare);
}
