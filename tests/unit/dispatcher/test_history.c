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
    return history_init(&history, 4);
}

static int history_remove(void **state)
{
    (void)state;
    history_finish(&history);
    return 0;
}

/* A run that completed; its id lives until the next but one. */
static struct history_end run_numbered(unsigned number)
{
    static char ids[2][RUN_ID_BYTES];
    static unsigned calls;
    char *id = ids[calls++ % 2];
    snprintf(id, RUN_ID_BYTES, "run_%032u", number);
    return (struct history_end){.id = id,
                                .pipeline_id = "pipeline_00000000000000000000000000000003",
                                .created_at = 100.5,
                                .updated_at = 1,
                                .line_count = number,
                                .state = "completed",
                                .message = ""};
}

/* Entry number `age` from the newest of owner 0, or NULL. */
static const struct history_entry *at(unsigned age)
{
    const struct history_entry *entry = history_newest(&history, 0);
    while (entry && age-- > 0)
        entry = history_older(&history, entry);
    return entry;
}

static void add_of(uint32_t owner, unsigned number)
{
    struct history_end run = run_numbered(number);
    run.owner = owner;
    history_add(&history, &run);
}

static void keep_of(uint32_t owner, size_t bytes)
{
    struct text outputs = {.bytes = calloc(1, bytes + 1), .count = bytes};
    assert_non_null(outputs.bytes);
    history_keep(&history, owner, &outputs);
    assert_null(outputs.bytes);
}

static bool has(uint32_t owner, unsigned number)
{
    return history_find(&history, owner, run_numbered(number).id) != NULL;
}

static size_t outputs_of(uint32_t owner, unsigned number)
{
    return history_find(&history, owner, run_numbered(number).id)->outputs.count;
}

static void an_empty_history_finds_nothing(void **state)
{
    (void)state;
    assert_null(at(0));
    assert_null(history_find(&history, 0, "run_00000000000000000000000000000000"));
    assert_null(history_find(&history, 0, ""));
}

static void a_completed_run_is_kept_as_it_ended(void **state)
{
    (void)state;
    struct history_end run = run_numbered(7);
    run.updated_at = 200.25;
    history_add(&history, &run);
    const struct history_entry *entry = history_find(&history, 0, run.id);
    assert_ptr_equal(entry, at(0));
    assert_string_equal(entry->id, run.id);
    assert_string_equal(entry->pipeline_id, "pipeline_00000000000000000000000000000003");
    assert_true(entry->created_at == 100.5 && entry->updated_at == 200.25);
    assert_int_equal(entry->line_count, 7);
    assert_false(entry->failed);
    assert_string_equal(entry->state, "completed");
    assert_null(entry->words);
}

static void a_failed_run_keeps_its_type_state_and_message(void **state)
{
    (void)state;
    struct history_end run = run_numbered(1);
    run.failed = true;
    run.type = ERROR_OOM;
    run.state = "failed";
    run.message = "no memory";
    run.message_bytes = 9;
    history_add(&history, &run);
    assert_true(at(0)->failed);
    assert_int_equal(at(0)->type, ERROR_OOM);
    assert_string_equal(at(0)->state, "failed");
    assert_int_equal(at(0)->message_bytes, 9);
    assert_memory_equal(at(0)->words, "no memory", 9);
    assert_int_equal(at(0)->traceback_bytes, 0);
    run.state = "no_resources_available";
    history_add(&history, &run);
    assert_string_equal(at(0)->state, "no_resources_available");
}

static void a_failed_run_keeps_its_whole_message_and_traceback(void **state)
{
    (void)state;
    char message[HISTORY_MESSAGE_BYTES_MAX + 2], traceback[HISTORY_TRACEBACK_BYTES_MAX + 2];
    struct history_end run = run_numbered(1);
    run.failed = true;
    run.message = message;
    run.traceback = traceback;
    memset(message, 'm', sizeof message);
    for (size_t i = 0; i < sizeof traceback; i++)
        traceback[i] = (char)('a' + i % 26);
    for (size_t over = 0; over < 4; over++) {
        run.message_bytes = HISTORY_MESSAGE_BYTES_MAX - 2 + over;
        run.traceback_bytes = HISTORY_TRACEBACK_BYTES_MAX - 2 + over;
        history_add(&history, &run);
        const struct history_entry *entry = at(0);
        size_t cut = over > 2 ? over - 2 : 0;
        assert_int_equal(entry->message_bytes, run.message_bytes - cut);
        assert_int_equal(entry->traceback_bytes, run.traceback_bytes - cut);
        assert_memory_equal(entry->words, message, entry->message_bytes);
        assert_memory_equal(entry->words + entry->message_bytes, traceback + cut,
                            entry->traceback_bytes);
    }
}

static void a_traceback_may_come_later_and_replaces_none(void **state)
{
    (void)state;
    struct history_end completed = run_numbered(1);
    history_add(&history, &completed);
    history_explain(&history, 0, completed.id, "late", 4);
    assert_int_equal(at(0)->traceback_bytes, 0);
    struct history_end run = run_numbered(2);
    run.failed = true;
    run.message = "why";
    run.message_bytes = 3;
    history_add(&history, &run);
    history_explain(&history, 1, run.id, "late", 4);
    history_explain(&history, 0, "run_x", "late", 4);
    assert_int_equal(at(0)->traceback_bytes, 0);
    for (int i = 0; i < 2; i++) {
        history_explain(&history, 0, run.id, i == 0 ? "late" : "later", 4);
        assert_int_equal(at(0)->message_bytes, 3);
        assert_int_equal(at(0)->traceback_bytes, 4);
        assert_memory_equal(at(0)->words, "whylate", 7);
    }
}

static void a_traceback_is_cut_before_a_character(void **state)
{
    (void)state;
    static const char euro[] = "\xe2\x82\xac";
    char traceback[HISTORY_TRACEBACK_BYTES_MAX + 3];
    struct history_end run = run_numbered(1);
    run.failed = true;
    run.traceback = traceback;
    for (size_t i = 0; i < sizeof traceback; i++)
        traceback[i] = euro[i % 3];
    for (size_t bytes = sizeof traceback - 2; bytes <= sizeof traceback; bytes++) {
        run.traceback_bytes = bytes;
        history_add(&history, &run);
        assert_int_equal(at(0)->traceback_bytes % 3, bytes % 3);
        assert_memory_equal(at(0)->words, euro, 3);
    }
}

static void the_newest_runs_are_kept_and_the_oldest_forgotten(void **state)
{
    (void)state;
    const unsigned total = HISTORY_COUNT * 2 + 10;
    for (unsigned i = 0; i < total; i++) {
        struct history_end run = run_numbered(i);
        run.updated_at = i;
        history_add(&history, &run);
    }
    const struct history_entry *entry = at(0);
    for (unsigned age = 0; age < HISTORY_COUNT; age++, entry = history_older(&history, entry))
        assert_int_equal(entry->line_count, total - 1 - age);
    assert_null(entry);
    struct history_end oldest = run_numbered(total - HISTORY_COUNT);
    struct history_end forgotten = run_numbered(total - HISTORY_COUNT - 1);
    assert_non_null(history_find(&history, 0, oldest.id));
    assert_null(history_find(&history, 0, forgotten.id));
}

static void a_run_is_found_for_its_owner_alone(void **state)
{
    (void)state;
    struct history_end run = run_numbered(1);
    run.owner = 2;
    history_add(&history, &run);
    assert_null(history_find(&history, 0, run.id));
    assert_null(history_find(&history, 3, run.id));
    assert_ptr_equal(history_find(&history, 2, run.id), history_newest(&history, 2));
}

static void who_has_most_makes_room_with_his_oldest(void **state)
{
    (void)state;
    const unsigned total = 3 * HISTORY_COUNT;
    for (unsigned i = 0; i < 10; i++)
        add_of(1, i);
    for (unsigned i = 10; i < total; i++)
        add_of(2, i);
    for (unsigned i = 0; i < 10; i++)
        assert_true(has(1, i));
    assert_true(has(2, total - HISTORY_COUNT + 10));
    assert_false(has(2, total - HISTORY_COUNT + 9));
    /* The others come up to their part, and no further. */
    for (unsigned i = total; i < 2 * total; i++)
        add_of(3, i);
    assert_int_equal(history.owners[1].count, 10);
    assert_int_equal(history.owners[2].count, (HISTORY_COUNT - 10) / 2);
    assert_int_equal(history.owners[3].count, (HISTORY_COUNT - 10) / 2);
    assert_true(has(3, 2 * total - 1));
    unsigned count = 0;
    for (uint32_t owner = 0; owner < 4; owner++)
        for (const struct history_entry *entry = history_newest(&history, owner); entry;
             entry = history_older(&history, entry), count++)
            assert_int_equal(entry->owner, owner);
    assert_int_equal(count, HISTORY_COUNT);
}

/* ---- outputs ---- */

#define PART (HISTORY_OUTPUT_BYTES_MAX / 8)

static void outputs_are_kept_until_newer_ones_come(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        add_of(0, i);
        if (i % 2 == 0)
            keep_of(0, PART);
    }
    assert_int_equal(history.output_bytes, HISTORY_OUTPUT_BYTES_MAX);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(outputs_of(0, i), i % 2 == 0 && i >= 4 ? PART : 0);
    add_of(0, 20);
    keep_of(0, HISTORY_OUTPUT_BYTES_MAX + 1); /* as large as --body-limit lets it be */
    assert_int_equal(history.output_bytes, HISTORY_OUTPUT_BYTES_MAX + 1);
    assert_int_equal(outputs_of(0, 18), 0);
    add_of(0, 21);
    keep_of(0, 0);
    add_of(0, 22);
    keep_of(0, 1);
    assert_int_equal(history.output_bytes, 1);
}

static void whose_outputs_are_largest_makes_room_for_others(void **state)
{
    (void)state;
    add_of(1, 0);
    keep_of(1, PART);
    for (unsigned i = 1; i < 100; i++) {
        add_of(2, i);
        keep_of(2, PART);
    }
    assert_int_equal(outputs_of(1, 0), PART);
    assert_int_equal(history.owners[2].output_bytes, 7 * PART);
    for (unsigned i = 100; i < 200; i++) {
        add_of(3, i);
        keep_of(3, PART);
    }
    assert_int_equal(outputs_of(1, 0), PART);
    assert_int_equal(history.owners[2].output_bytes, 4 * PART);
    assert_int_equal(history.owners[3].output_bytes, 3 * PART);
    assert_int_equal(outputs_of(3, 199), PART);
}

static void outputs_go_with_their_entries(void **state)
{
    (void)state;
    add_of(0, 0);
    add_of(0, 1);
    keep_of(0, 100);
    add_of(0, 2);
    keep_of(0, 10);
    for (unsigned i = 3; i <= HISTORY_COUNT; i++)
        add_of(0, i);
    assert_int_equal(history.output_bytes, 110);
    add_of(0, HISTORY_COUNT + 1);
    assert_int_equal(history.output_bytes, 10);
    add_of(0, HISTORY_COUNT + 2);
    assert_int_equal(history.output_bytes, 0);
    assert_int_equal(history.owners[0].kept, ID_NONE);
}

#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, history_make, history_remove)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(an_empty_history_finds_nothing),
        HISTORY_TEST(a_completed_run_is_kept_as_it_ended),
        HISTORY_TEST(a_failed_run_keeps_its_type_state_and_message),
        HISTORY_TEST(a_failed_run_keeps_its_whole_message_and_traceback),
        HISTORY_TEST(a_traceback_may_come_later_and_replaces_none),
        HISTORY_TEST(a_traceback_is_cut_before_a_character),
        HISTORY_TEST(the_newest_runs_are_kept_and_the_oldest_forgotten),
        HISTORY_TEST(a_run_is_found_for_its_owner_alone),
        HISTORY_TEST(who_has_most_makes_room_with_his_oldest),
        HISTORY_TEST(outputs_are_kept_until_newer_ones_come),
        HISTORY_TEST(whose_outputs_are_largest_makes_room_for_others),
        HISTORY_TEST(outputs_go_with_their_entries),
    };
    return cmocka_run_group_tests_name("history", tests, descriptors_note, descriptors_compare);
}
