/* SPDX-License-Identifier: MIT */
/* test_start_progress.c - what is made of what a process says of its start. */
#include "dispatcher/workers/start_progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static struct start_progress progress_of(uint32_t permille, const char *text)
{
    struct start_progress progress = {.said_ms = 5000, .permille = permille};
    snprintf(progress.text, sizeof progress.text, "%s", text);
    return progress;
}

static void expect_words(uint32_t permille, const char *text, const char *expected)
{
    char words[START_PROGRESS_WORDS_BYTES];
    struct start_progress progress = progress_of(permille, text);
    start_progress_words(&progress, words);
    assert_string_equal(words, expected);
}

static void what_is_not_known_is_not_said(void **state)
{
    (void)state;
    expect_words(629, "loading shard 5 of 8", "62 %, loading shard 5 of 8");
    expect_words(1000, "", "100 %");
    expect_words(MESSAGE_PROGRESS_UNKNOWN, "compiling", "compiling");
    expect_words(MESSAGE_PROGRESS_UNKNOWN, "", "");
}

static void all_words_there_can_be_have_room(void **state)
{
    char text[MESSAGE_PROGRESS_TEXT_BYTES_MAX + 1], reason[START_PROGRESS_REASON_BYTES];
    struct start_progress progress;
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    progress = progress_of(1000, text);
    start_progress_overdue(&progress, 86399999, reason);
    assert_string_equal(reason + strlen(reason) - MESSAGE_PROGRESS_TEXT_BYTES_MAX, text);
}

static void a_start_that_said_nothing_was_just_not_ready_in_time(void **state)
{
    char reason[START_PROGRESS_REASON_BYTES];
    struct start_progress progress = {.permille = MESSAGE_PROGRESS_UNKNOWN};
    (void)state;
    start_progress_overdue(&progress, 10000, reason);
    assert_string_equal(reason, "it was not ready in time");
    progress.said_ms = 1;
    start_progress_overdue(&progress, 10000, reason);
    assert_string_equal(reason, "it was not ready in time: no progress for 10 s");
}

/* Said after 4 s: at a quarter, 16 s in all. */
static void what_is_left_follows_from_the_pace_until_it_was_said(void **state)
{
    struct start_progress progress = progress_of(250, "");
    (void)state;
    assert_int_equal(start_progress_left_ms(&progress, 1000, 5000), 12000);
    assert_int_equal(start_progress_left_ms(&progress, 1000, 7000), 10000);
    assert_int_equal(start_progress_left_ms(&progress, 1000, 17000), 0);
    assert_int_equal(start_progress_left_ms(&progress, 1000, 1000000), 0);
}

static void of_no_pace_nothing_follows(void **state)
{
    struct start_progress progress = progress_of(0, "");
    (void)state;
    assert_int_equal(start_progress_left_ms(&progress, 1000, 5000), -1);
    progress.permille = MESSAGE_PROGRESS_UNKNOWN;
    assert_int_equal(start_progress_left_ms(&progress, 1000, 5000), -1);
    progress = (struct start_progress){.permille = 500};
    assert_int_equal(start_progress_left_ms(&progress, 1000, 5000), -1);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_not_said),
        cmocka_unit_test(all_words_there_can_be_have_room),
        cmocka_unit_test(a_start_that_said_nothing_was_just_not_ready_in_time),
        cmocka_unit_test(what_is_left_follows_from_the_pace_until_it_was_said),
        cmocka_unit_test(of_no_pace_nothing_follows),
    };
    return cmocka_run_group_tests_name("start_progress", tests, descriptors_note,
                                       descriptors_compare);
}
