/* SPDX-License-Identifier: MIT */
/*
 * test_back_off.c - which deaths of a worker cost a pause before the next process, on the stage.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.queue_count_max = 3});
    return 0;
}

static struct worker *worker(void)
{
    return stage.server->fleet.workers[0];
}

static void be_ready(void)
{
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
}

static void finish_a_run(void)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    stage_settle();
    stage_hang_up(run.client);
    stage_settle();
}

static void end(int code, int status)
{
    stage_exit(0, code, status);
    stage_settle();
}

static void die(void)
{
    end(CLD_KILLED, SIGSEGV);
}

/* As soon as the last lines of its runs were sent. */
static void expect_start_at_once(void)
{
    stage_later(0);
    assert_int_equal(worker()->state, WORKER_EMPTY);
    stage_later(1);
    assert_int_equal(worker()->state, WORKER_STARTING);
}

/* The next process starts `ms` from now, and not a millisecond earlier. */
static void expect_start_after(uint64_t ms)
{
    stage_later(ms - 1);
    assert_int_equal(worker()->state, WORKER_EMPTY);
    stage_later(1);
    assert_int_equal(worker()->state, WORKER_STARTING);
}

/* A process that ends the row, however the last one ended. */
static void end_the_row(void)
{
    be_ready();
    finish_a_run();
    stage_later(WORKER_BACKOFF_MS_MIN);
}

/* ---- at once ---- */

static void a_worker_that_had_finished_a_run_is_followed_at_once_however_it_ends(void **state)
{
    (void)state;
    finish_a_run();
    die();
    expect_start_at_once();
    end_the_row();
    end(CLD_KILLED, SIGKILL);
    expect_start_at_once();
    end_the_row();
    end(CLD_EXITED, 3);
    expect_start_at_once();
    end_the_row();
    end(CLD_EXITED, 0);
    expect_start_at_once();
    end_the_row();
    stage_message(0, MESSAGE_KIND_COUNT, NULL, 0);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_DYING);
    end(CLD_KILLED, SIGKILL);
    expect_start_at_once();
}

static void a_run_that_waits_is_served_by_the_process_that_follows_at_once(void **state)
{
    (void)state;
    finish_a_run();
    struct stage_run doomed = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct stage_run waiting = {.client = stage_connect()};
    stage_say(waiting.client, STREAM_PATH, RUN_BODY, 1);
    die();
    client_answer_of(&answer, doomed.client);
    assert_non_null(strstr(answer.lines[0], "SIGSEGV"));
    expect_start_at_once();
    be_ready();
    assert_true(stage_run_take(&waiting));
}

/* What it had committed counts, although nobody had looked before it died. */
static void a_run_whose_end_is_found_after_the_death_was_finished(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    die();
    expect_start_at_once();
}

static void a_run_that_failed_was_finished(void **state)
{
    (void)state;
    static const uint8_t error[] = {0x93, ERROR_PIPELINE, 0xa1, 'x', 0xc0};
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_put(&run, RECORD_ERROR, 0, error, sizeof(error));
    stage_settle();
    die();
    expect_start_at_once();
}

/* ---- after a pause ---- */

static void a_run_that_was_lost_was_not_finished(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_number(&run);
    die();
    expect_start_after(WORKER_BACKOFF_MS_MIN);
}

static void the_pauses_begin_with_the_second_death_in_a_row(void **state)
{
    (void)state;
    finish_a_run();
    die();
    expect_start_at_once();
    for (uint64_t wait_ms = WORKER_BACKOFF_MS_MIN; wait_ms < 1000; wait_ms *= 2) {
        be_ready();
        stage_later(10 * WORKER_BACKOFF_MS_MIN); /* age alone ends no row */
        die();
        expect_start_after(wait_ms);
    }
}

static void a_process_that_cannot_be_made_has_finished_no_run(void **state)
{
    (void)state;
    finish_a_run();
    stage.spawn_error = EAGAIN;
    die();
    uint64_t failures = stage.server->runs.pipelines[0]->pool->restarts[WORKER_END_NOT_STARTED];
    stage_later(1);
    assert_int_equal(stage.server->runs.pipelines[0]->pool->restarts[WORKER_END_NOT_STARTED],
                     failures + 1);
    stage.spawn_error = 0;
    expect_start_after(WORKER_BACKOFF_MS_MIN);
}

static void a_spawner_that_is_lost_leaves_the_pause_as_it_was(void **state)
{
    (void)state;
    finish_a_run();
    stage.spawner_is_silent = true;
    die();
    stage_later(1);
    assert_int_equal(worker()->state, WORKER_SPAWNING);
    stage_spawner_dies();
    stage_settle();
    assert_int_equal(stage.spawner_count, 2);
    expect_start_after(WORKER_BACKOFF_MS_MIN);
}

/* ---- what ends a row ---- */

static void a_process_that_finishes_a_run_and_grows_old_enough_ends_the_row(void **state)
{
    (void)state;
    finish_a_run();
    die();
    expect_start_at_once();
    be_ready();
    finish_a_run();
    stage_later(WORKER_BACKOFF_MS_MIN - 10);
    die();
    expect_start_after(10);
    be_ready();
    finish_a_run();
    stage_later(WORKER_BACKOFF_MS_MIN);
    die();
    expect_start_at_once();
}

static void a_pipeline_that_crashes_in_every_second_run_is_started_once_in_a_pause(void **state)
{
    (void)state;
    uint32_t first = stage.spawn_count;
    for (uint32_t ms = 0; ms < 20 * WORKER_BACKOFF_MS_MIN; ms++) {
        stage_later(1);
        if (worker()->state != WORKER_STARTING && worker()->state != WORKER_READY)
            continue;
        if (worker()->state == WORKER_STARTING)
            be_ready();
        finish_a_run();
        struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
        die();
        stage_hang_up(run.client);
        stage_settle();
    }
    uint32_t count = stage.spawn_count - first;
    assert_true(count >= 19);
    assert_true(count <= 21); /* one without a pause, and then one in each */
}

static void a_process_that_was_replaced_in_good_order_begins_no_row(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.recycle_run_count = 1;
    finish_a_run();
    assert_int_equal(worker()->state, WORKER_RETIRING);
    end(CLD_EXITED, 0);
    stage_later(0);
    be_ready();
    stage.config.pipelines[0].options.recycle_run_count = 0;
    finish_a_run();
    die(); /* the first death */
    expect_start_at_once();
}

/* ---- quarantine ---- */

static void a_death_without_a_pause_counts_for_the_quarantine(void **state)
{
    (void)state;
    finish_a_run();
    for (uint32_t i = 0; i < WORKER_QUARANTINE_AFTER; i++) {
        assert_int_not_equal(stage.server->runs.pipelines[0]->state, PIPELINE_QUARANTINED);
        die();
        if (i + 1 < WORKER_QUARANTINE_AFTER) {
            stage_later(WORKER_BACKOFF_MS_MAX);
            be_ready();
        }
    }
    assert_int_equal(stage.server->runs.pipelines[0]->state, PIPELINE_QUARANTINED);
    stage_later(WORKER_BACKOFF_MS_MIN << (WORKER_QUARANTINE_AFTER - 1));
    assert_int_equal(worker()->state, WORKER_STARTING);
}

static void a_stopping_server_follows_nobody(void **state)
{
    (void)state;
    uint32_t before = stage.spawn_count;
    finish_a_run();
    server_stop(stage.server);
    stage_settle();
    die();
    stage_later(1);
    assert_int_equal(stage.spawn_count, before);
    assert_int_equal(stage.server->state, SERVER_STOPPED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEST(a_worker_that_had_finished_a_run_is_followed_at_once_however_it_ends),
        TEST(a_run_that_waits_is_served_by_the_process_that_follows_at_once),
        TEST(a_run_whose_end_is_found_after_the_death_was_finished),
        TEST(a_run_that_failed_was_finished),
        TEST(a_run_that_was_lost_was_not_finished),
        TEST(the_pauses_begin_with_the_second_death_in_a_row),
        TEST(a_process_that_cannot_be_made_has_finished_no_run),
        TEST(a_spawner_that_is_lost_leaves_the_pause_as_it_was),
        TEST(a_process_that_finishes_a_run_and_grows_old_enough_ends_the_row),
        TEST(a_pipeline_that_crashes_in_every_second_run_is_started_once_in_a_pause),
        TEST(a_process_that_was_replaced_in_good_order_begins_no_row),
        TEST(a_death_without_a_pause_counts_for_the_quarantine),
        TEST(a_stopping_server_follows_nobody),
    };
    return cmocka_run_group_tests_name("back_off", tests, descriptors_note, descriptors_compare);
}
