/* SPDX-License-Identifier: MIT */
/* test_files_index.c - which stored files there are, for whom, and which go first. */
#include "dispatcher/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/files_scene.h"

static struct file *add(uint32_t number, uint64_t bytes, const char *token)
{
    struct file *file = calloc(1, sizeof *file);
    assert_non_null(file);
    snprintf(file->about.id, sizeof file->about.id, "file_%032x", number);
    file->about.bytes = bytes;
    file->about.used_at = reactor.wall_s;
    file->owner = files_owner_take(&files, token);
    assert_non_null(file->owner);
    assert_int_equal(files_reserve(&files, bytes), 0);
    files_unreserve(&files, bytes);
    files_add(&files, file);
    files_check(&files);
    return file;
}

static bool is_there(uint32_t number)
{
    char id[FILE_ID_BYTES];
    snprintf(id, sizeof id, "file_%032x", number);
    return files_find(&files, NULL, id) != NULL;
}

static void the_one_that_was_not_used_for_longest_makes_room(void **state)
{
    (void)state;
    struct file *first = add(1, 400, NULL);
    add(2, 400, NULL);
    file_use(first);
    file_release(first);
    add(3, 400, NULL);
    assert_true(is_there(1) && !is_there(2) && is_there(3));
    assert_int_equal(files.bytes, 800);
    assert_int_equal(files_reserve(&files, 1001), -ENOSPC);
    assert_true(is_there(1) && is_there(3)); /* nothing goes for what can never be */
}

static void a_file_in_use_does_not_go_and_a_removed_one_stays_for_its_users(void **state)
{
    (void)state;
    struct file *first = add(1, 600, NULL), *second = add(2, 300, NULL);
    file_use(first);
    assert_int_equal(files_reserve(&files, 500), -ENOSPC);
    assert_true(is_there(1) && !is_there(2));
    (void)second;
    file_remove(first);
    assert_false(is_there(1));
    assert_string_equal(first->about.id + 36, "1");
    files_check(&files);
    assert_int_equal(files_reserve(&files, 1000), 0);
    assert_int_equal(files_reserve(&files, 1), -ENOSPC);
    files_unreserve(&files, 1000);
    file_release(first);
}

static void a_file_goes_when_it_was_not_used_for_its_time(void **state)
{
    (void)state;
    config.files_ttl_ms = 10000;
    struct file *first = add(1, 1, NULL);
    assert_int_equal(files.timer.due_ms, 5000 + 10001);
    reactor.wall_s += 6, reactor.now_ms += 6000;
    add(2, 1, NULL);
    file_use(first);
    reactor.wall_s += 11, reactor.now_ms += 11000;
    files_on_timer(&files);
    assert_true(is_there(1) && !is_there(2)); /* somebody still reads the first */
    file_release(first);
    assert_false(is_there(1));
    assert_int_equal(files.timer.position, 0);
    assert_int_equal(files.removed_count, 2);
}

static void a_clock_that_was_set_back_keeps_no_file_for_ever(void **state)
{
    (void)state;
    config.files_ttl_ms = 10000;
    add(1, 1, NULL);
    reactor.wall_s -= 500;
    files_on_timer(&files);
    assert_true(is_there(1));
    assert_in_range(files.timer.due_ms, 5000, 5000 + 10001);
}

static void many_that_are_too_old_go_a_part_at_a_time(void **state)
{
    (void)state;
    config.files_ttl_ms = 10000;
    for (uint32_t i = 0; i < 600; i++)
        add(i, 1, NULL);
    reactor.wall_s += 60, reactor.now_ms += 60000;
    files_on_timer(&files);
    assert_int_equal(files.file_count, 600 - 256);
    assert_int_equal(files.timer.due_ms, reactor.now_ms + 1);
    files_on_timer(&files);
    files_on_timer(&files);
    assert_int_equal(files.file_count, 0);
    assert_int_equal(files.removal_count, 64); /* the rest waits for these */
}

static void a_token_finds_its_own_and_the_newest_first(void **state)
{
    struct token_entry entries[] = {{.name = (char[]){"alice"}}, {.name = (char[]){"bob"}}};
    (void)state;
    config.tokens = (struct tokens){entries, 2};
    struct file *first = add(1, 1, "alice"), *second = add(2, 1, "bob"),
                *third = add(3, 1, "alice");
    assert_ptr_equal(files_find(&files, "alice", first->about.id), first);
    assert_null(files_find(&files, "bob", first->about.id));
    assert_null(files_find(&files, NULL, first->about.id));
    assert_null(files_find(&files, "alice", "file_x"));
    assert_ptr_equal(files_newest(&files, "alice"), third);
    assert_ptr_equal(files_before(&files, third), first);
    assert_null(files_before(&files, first));
    assert_ptr_equal(files_newest(&files, "bob"), second);
    assert_null(files_newest(&files, "carol"));
    file_remove(second);
    assert_null(files_newest(&files, "bob"));
    config.tokens_share = true;
    assert_ptr_equal(files_find(&files, "bob", first->about.id), first);
    assert_ptr_equal(files_newest(&files, "carol"), third);
    config.tokens = (struct tokens){NULL, 0};
}

#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        FILES_TEST(the_one_that_was_not_used_for_longest_makes_room),
        FILES_TEST(a_file_in_use_does_not_go_and_a_removed_one_stays_for_its_users),
        FILES_TEST(a_file_goes_when_it_was_not_used_for_its_time),
        FILES_TEST(a_clock_that_was_set_back_keeps_no_file_for_ever),
        FILES_TEST(many_that_are_too_old_go_a_part_at_a_time),
        FILES_TEST(a_token_finds_its_own_and_the_newest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
