/* SPDX-License-Identifier: MIT */
/* test_parts.c - which parts there are of files that come in parts, and until when. */
#include "dispatcher/files/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

static struct parts *begin(const char *token)
{
    int rc;
    struct parts *parts = parts_begin(&files, token, "a.txt", 5, &rc);
    assert_non_null(parts);
    return parts;
}

/* As an upload does: it comes, and is whole. */
static int64_t add(struct parts *parts, uint32_t number, uint64_t bytes)
{
    struct part part;
    assert_int_equal(parts_enter(parts, number, &part), 0);
    assert_int_equal(files_reserve(&files, bytes), 0);
    part.bytes = bytes;
    const int64_t serial = parts_add(parts, &part);
    if (serial < 0)
        files_unreserve(&files, bytes);
    parts_leave(parts);
    return serial;
}

static void parts_are_found_by_number_in_whatever_order_they_come(void **state)
{
    const uint32_t numbers[] = {7, 1, 10000, 3, 2, 8, 5, 4, 6, 9};
    (void)state;
    struct parts *parts = begin(NULL);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        assert_int_equal(add(parts, numbers[i], numbers[i] % 100), 0);
    for (uint32_t i = 1; i < parts->count; i++)
        assert_true(parts->parts[i - 1].number < parts->parts[i].number);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        assert_int_equal(parts_find(parts, numbers[i])->bytes, numbers[i] % 100);
    assert_null(parts_find(parts, 11));
    assert_null(parts_find(parts, 9999));
    assert_int_equal(parts->bytes, 45);
    assert_int_equal(files.part_count, 10);
}

static void a_part_that_comes_again_stands_for_the_one_before(void **state)
{
    char tag[PARTS_TAG_BYTES];
    (void)state;
    struct parts *parts = begin(NULL);
    assert_int_equal(add(parts, 1, 100), 0);
    memcpy(tag, parts_find(parts, 1)->tag, sizeof tag);
    const uint32_t serial = parts_find(parts, 1)->serial;
    assert_int_equal(add(parts, 1, 300), serial);
    assert_string_not_equal(parts_find(parts, 1)->tag, tag);
    assert_true(parts->bytes == 300 && files.reserved_bytes == 300 && files.part_count == 1);
    assert_int_equal(add(parts, 2, 600), 0);
    config.file_bytes_max = 950;
    assert_int_equal(add(parts, 3, 51), -E2BIG);
    const uint32_t second = parts_find(parts, 1)->serial;
    assert_int_equal(add(parts, 1, 30), second);
    assert_int_equal(files.reserved_bytes, 630);
}

static void one_goes_when_nothing_comes_of_it_and_not_while_something_does(void **state)
{
    struct part part;
    (void)state;
    struct parts *busy = begin(NULL), *idle = begin(NULL);
    assert_int_equal(parts_enter(busy, 1, &part), 0);
    assert_int_equal(files.parts_timer.due_ms, 5000 + PARTS_IDLE_S * 1000);
    reactor.now_ms += PARTS_IDLE_S * 1000 - 1;
    parts_on_timer(&files);
    assert_ptr_equal(parts_get(&files, idle->id), idle);
    reactor.now_ms++;
    char id[PARTS_ID_BYTES];
    memcpy(id, idle->id, sizeof id);
    parts_on_timer(&files);
    assert_null(parts_get(&files, id));
    assert_ptr_equal(parts_get(&files, busy->id), busy);
    assert_int_equal(files.parts_timer.position, 0);
    parts_leave(busy);
    assert_int_equal(files.parts_timer.due_ms, reactor.now_ms + PARTS_IDLE_S * 1000);
    config.files_ttl_ms = 10;
    parts_on_timer(&files);
    assert_int_equal(files.parts_timer.due_ms, reactor.now_ms + 10);
}

static void what_comes_for_one_that_is_over_is_refused(void **state)
{
    struct part part;
    (void)state;
    struct parts *parts = begin(NULL);
    assert_int_equal(parts_enter(parts, 1, &part), 0);
    parts_join(parts, NULL, NULL);
    assert_null(parts_get(&files, parts->id));
    assert_int_equal(parts_add(parts, &part), -ESTALE);
    parts_leave(parts);
    assert_int_equal(files.join_count, 1);
    assert_true(disk_finish(&files.disk, 10000)); /* it has become an empty file */
    assert_int_equal(faccessat(files.folder_fd, parts->file->about.id, R_OK, 0), 0);
    assert_int_equal(disk_folder_empty(files.folder_fd), 0);
}

static void what_a_thread_is_done_with_is_there_until_the_loop_has_heard_of_it(void **state)
{
    struct part part;
    struct pollfd done = {.fd = files.disk.done_fds[0], .events = POLLIN};
    (void)state;
    struct parts *parts = begin(NULL);
    assert_int_equal(parts_enter(parts, 1, &part), 0);
    parts_join(parts, NULL, NULL);
    assert_int_equal(poll(&done, 1, 10000), 1);
    parts_leave(parts); /* while what the thread says waits */
    assert_int_equal(files.parts_count, 1);
    disk_on_done(&files.disk, NULL, &(struct uring_event){.result = POLLIN, .more = true});
    assert_int_equal(files.parts_count, 0);
    assert_int_equal(files.file_count, 1);
    assert_int_equal(disk_folder_empty(files.folder_fd), 0);
}

static void there_are_so_many_and_no_more(void **state)
{
    struct part part;
    int rc;
    (void)state;
    for (uint32_t i = 0; i < PARTS_COUNT_MAX; i++)
        begin("alice");
    assert_null(parts_begin(&files, "alice", "", 0, &rc));
    assert_int_equal(rc, -ENOBUFS);
    files.part_count = PARTS_PART_COUNT_MAX;
    assert_int_equal(parts_enter(files.parts_newest, 1, &part), -EMFILE);
    files.part_count = 0;
}

static void one_is_of_the_token_that_began_it(void **state)
{
    struct token_entry entries[] = {{.name = (char[]){"alice"}}, {.name = (char[]){"bob"}}};
    (void)state;
    struct parts *parts = begin("alice");
    assert_true(parts_are_of(parts, NULL)); /* as long as there are none */
    config.tokens = (struct tokens){entries, 2};
    assert_true(parts_are_of(parts, "alice"));
    assert_false(parts_are_of(parts, "bob"));
    assert_false(parts_are_of(parts, NULL));
    config.tokens_share = true;
    assert_true(parts_are_of(parts, "bob"));
    config.tokens = (struct tokens){NULL, 0};
}

static void an_id_is_the_word_and_32_digits(void **state)
{
    (void)state;
    assert_true(parts_id_is_valid("upload_0123456789abcdef0123456789abcdef"));
    assert_false(parts_id_is_valid("upload_0123456789abcdef0123456789abcde"));
    assert_false(parts_id_is_valid("upload_0123456789abcdef0123456789abcdef0"));
    assert_false(parts_id_is_valid("upload_0123456789abcdef0123456789abcdeF"));
    assert_false(parts_id_is_valid("file_0123456789abcdef0123456789abcdef01"));
    assert_false(parts_id_is_valid(""));
}

#define PARTS_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        PARTS_TEST(parts_are_found_by_number_in_whatever_order_they_come),
        PARTS_TEST(a_part_that_comes_again_stands_for_the_one_before),
        PARTS_TEST(one_goes_when_nothing_comes_of_it_and_not_while_something_does),
        PARTS_TEST(what_comes_for_one_that_is_over_is_refused),
        PARTS_TEST(what_a_thread_is_done_with_is_there_until_the_loop_has_heard_of_it),
        PARTS_TEST(there_are_so_many_and_no_more),
        PARTS_TEST(one_is_of_the_token_that_began_it),
        cmocka_unit_test(an_id_is_the_word_and_32_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
