/* SPDX-License-Identifier: MIT */
/*
 * test_history.c - the newest finished runs are kept, newest first, and the older ones forgotten.
 */
#include "dispatcher/runs/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static struct history history;

static int history_make(void **state)
{
    (void)state;
    return history_init(&history);
}

static int history_remove(void **state)
{
    (void)state;
    history_finish(&history);
    return 0;
}

static struct run run_numbered(unsigned number)
{
    struct run run = {.pipeline_index = 3, .created_at = 100.5, .line_count = number};
    snprintf(run.id, sizeof(run.id), "run_%032u", number);
    return run;
}

static void an_empty_history_finds_nothing(void **state)
{
    (void)state;
    assert_null(history_at(&history, 0));
    assert_null(history_find(&history, 0, "run_00000000000000000000000000000000"));
    assert_null(history_find(&history, 0, ""));
}

static void a_completed_run_is_kept_as_it_ended(void **state)
{
    (void)state;
    struct run run = run_numbered(7);
    history_add(&history, &run, 200.25, NULL);
    const struct history_entry *entry = history_find(&history, 0, run.id);
    assert_ptr_equal(entry, history_at(&history, 0));
    assert_string_equal(entry->id, run.id);
    assert_int_equal(entry->pipeline_index, 3);
    assert_true(entry->created_at == 100.5 && entry->updated_at == 200.25);
    assert_int_equal(entry->line_count, 7);
    assert_false(entry->failed);
    assert_string_equal(entry->state, "completed");
    assert_string_equal(entry->message, "");
}

static void a_failed_run_keeps_its_type_state_and_message(void **state)
{
    (void)state;
    struct run run = run_numbered(1);
    struct run_failure failure = {.type = ERROR_OOM, .message = "no memory", .message_count = 9};
    history_add(&history, &run, 1, &failure);
    assert_true(history_at(&history, 0)->failed);
    assert_int_equal(history_at(&history, 0)->type, ERROR_OOM);
    assert_string_equal(history_at(&history, 0)->state, "failed");
    assert_string_equal(history_at(&history, 0)->message, "no memory");
    failure.state = "no_resources_available";
    history_add(&history, &run, 1, &failure);
    assert_string_equal(history_at(&history, 0)->state, "no_resources_available");
}

static void a_long_message_is_cut(void **state)
{
    (void)state;
    char message[HISTORY_MESSAGE_BYTES * 2];
    struct run run = run_numbered(1);
    memset(message, 'm', sizeof(message));
    struct run_failure failure = {.message = message};
    for (size_t count = HISTORY_MESSAGE_BYTES - 2; count <= sizeof(message); count++) {
        failure.message_count = count;
        history_add(&history, &run, 1, &failure);
        size_t kept = strlen(history_at(&history, 0)->message);
        assert_int_equal(kept,
                         count < HISTORY_MESSAGE_BYTES - 1 ? count : HISTORY_MESSAGE_BYTES - 1);
    }
}

static void the_newest_runs_are_kept_and_the_oldest_forgotten(void **state)
{
    (void)state;
    const unsigned total = HISTORY_COUNT * 2 + 10;
    for (unsigned i = 0; i < total; i++) {
        struct run run = run_numbered(i);
        history_add(&history, &run, i, NULL);
    }
    for (unsigned age = 0; age < HISTORY_COUNT; age++)
        assert_int_equal(history_at(&history, age)->line_count, total - 1 - age);
    assert_null(history_at(&history, HISTORY_COUNT));
    struct run oldest = run_numbered(total - HISTORY_COUNT);
    struct run forgotten = run_numbered(total - HISTORY_COUNT - 1);
    assert_non_null(history_find(&history, 0, oldest.id));
    assert_null(history_find(&history, 0, forgotten.id));
}

static void a_run_is_found_for_its_owner_alone(void **state)
{
    (void)state;
    struct run run = run_numbered(1);
    run.owner = 2;
    history_add(&history, &run, 1, NULL);
    assert_null(history_find(&history, 0, run.id));
    assert_null(history_find(&history, 3, run.id));
    assert_ptr_equal(history_find(&history, 2, run.id), history_at(&history, 0));
}

#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, history_make, history_remove)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(an_empty_history_finds_nothing),
        HISTORY_TEST(a_completed_run_is_kept_as_it_ended),
        HISTORY_TEST(a_failed_run_keeps_its_type_state_and_message),
        HISTORY_TEST(a_long_message_is_cut),
        HISTORY_TEST(the_newest_runs_are_kept_and_the_oldest_forgotten),
        HISTORY_TEST(a_run_is_found_for_its_owner_alone),
    };
    return cmocka_run_group_tests_name("history", tests, descriptors_note, descriptors_compare);
}
