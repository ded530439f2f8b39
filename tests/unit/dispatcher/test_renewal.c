/* SPDX-License-Identifier: MIT */
/*
 * test_renewal.c - all workers are replaced, one after the other, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/allocs.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_renewal.h"

/* Their workers are starting. */
static int early_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.pipeline_count = 2, .no_hello = true});
}

/* ---- one after the other -------------------------------------------------------------------- */

static void each_worker_goes_when_its_successor_is_ready(void **state)
{
    (void)state;
    renew();
    take_first_turn();
    assert_int_equal(worker(1)->state, WORKER_OUTGOING);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    assert_int_equal(worker(0)->number, 1);
    expect_served(RUN_BODY);
    workers_settle();
    expect_over(2);
    expect_workers(2, 0);
    assert_int_equal(stage.spawn_count, 4);
    assert_int_equal(fleet()->renewal.replaced_count, 2);
    assert_int_equal(fleet()->killed_count, 0);
    assert_int_equal(worker_of(0)->restart_count + worker_of(1)->restart_count, 0);
}

static void the_next_ones_turn_is_when_the_last_one_is_gone(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(run.worker, 0);
    renew();
    expect_first_turn();
    stage_hello(2);
    stage_later(WORKER_BACKOFF_MS_MAX);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_RETIRING);
    assert_int_equal(worker(1)->state, WORKER_READY);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    workers_settle();
    expect_over(2);
    expect_workers(2, 0);
}

/* While who went is still read, whoever needs the place has to wait. */
static void the_next_pipelines_turn_is_when_the_place_is_free(void **state)
{
    (void)state;
    stage.pipes_are_held = true;
    renew();
    take_first_turn();
    assert_int_equal(worker(1)->state, WORKER_READY);
    assert_int_equal(places_count(), 3);
    stage.pipes_are_held = false;
    for (uint32_t i = 0; i < 4; i++)
        stage_complete(&stage.workers[0].on_pipe[i], 0);
    stage_settle();
    stage_later(0);
    assert_int_equal(worker(1)->state, WORKER_OUTGOING);
    assert_int_equal(places_count(), 3);
    workers_settle();
    expect_over(2);
    assert_int_equal(places_count(), 2);
}

static void a_pipeline_with_a_spare_place_has_no_other(void **state)
{
    (void)state;
    renew();
    expect_first_turn();
    assert_int_equal(places_count(), 3);
    assert_false(pool()->has_extra);
    workers_settle();
    expect_over(2);
    expect_workers(2, 1);
}

static void one_that_is_being_replaced_anyway_is_waited_for(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run); /* it may run no more */
    stage_settle();
    stage_later(0);
    expect_first_turn();
    renew();
    expect_first_turn();
    assert_int_equal(stage.spawn_count, 3);
    workers_settle();
    /* Its successor was there before, too. */
    expect_over(2);
    assert_int_equal(fleet()->renewal.replaced_count, 2);
    assert_int_equal(stage.spawn_count, 2 + 1 + 2);
    expect_workers(2, 1);
}

static void two_signals_in_a_pass_are_one(void **state)
{
    (void)state;
    assert_int_equal(runs_renew(runs(), NULL), 0);
    renew();
    workers_settle();
    expect_over(2);
    assert_int_equal(stage.spawn_count, 4);
    assert_int_equal(fleet()->renewal.replaced_count, 2);
}

static void a_second_signal_is_also_for_those_of_the_first(void **state)
{
    (void)state;
    renew();
    take_first_turn();
    assert_int_equal(stage.spawn_count, 4); /* worker 0 is there again, for worker 1 */
    renew();
    assert_int_equal(stage.spawn_count, 4);
    assert_true(worker(2)->is_stale && worker(1)->is_stale && worker(0)->is_stale);
    workers_settle();
    expect_over(4);
    assert_int_equal(stage.spawn_count, 4 + 2);
    assert_int_equal(fleet()->renewal.replaced_count, 3); /* since the second signal */
    expect_workers(2, 0);
    renew();
    workers_settle();
    expect_over(6);
}

static void those_that_start_are_waited_for(void **state)
{
    (void)state;
    renew();
    stage_later(WORKER_BACKOFF_MS_MIN);
    assert_int_equal(stage.spawn_count, 2);
    workers_settle();
    expect_over(2);
    assert_int_equal(stage.spawn_count, 4);
}

static void nobody_to_replace_is_no_trouble(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++)
        stage_exit(i, CLD_EXITED, 1);
    stage_settle();
    renew();
    assert_false(fleet()->renewal.is_on);
    workers_settle();
    expect_over(0);
    pipeline_remove(runs()->pipelines[1]);
    pipeline_remove(runs()->pipelines[0]);
    workers_settle();
    renew();
    assert_false(fleet()->renewal.is_on);
}

/* Maybe what was wrong with it is mended. */
static void one_that_waits_to_be_started_again_is_started_at_once(void **state)
{
    (void)state;
    worker(1)->failure_streak = 8;
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MIN);
    assert_int_equal(worker(1)->state, WORKER_EMPTY);
    renew();
    assert_int_equal(worker(1)->state, WORKER_STARTING);
    assert_false(worker(1)->is_stale);
    stage_exit(1, CLD_KILLED, SIGSEGV); /* it replaces nobody: no reason to leave off */
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_OUTGOING);
    workers_settle();
    expect_over(1);
    assert_false(fleet()->renewal.has_failed);
}

/* Its last run was no reason to retire before its successor is ready. */
static void one_that_is_worn_out_waits_for_its_successor_all_the_same(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.recycle_run_count = 1;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(run.worker, 0);
    renew();
    stage_run_end(&run);
    stage_settle();
    expect_first_turn();
    workers_settle();
    expect_over(2);
}

/* ---- who does not start --------------------------------------------------------------------- */

static void expect_left_off(void)
{
    stage_settle();
    expect_over(0);
    assert_int_equal(worker(0)->state, WORKER_READY);
    assert_int_equal(worker(1)->state, WORKER_READY);
    assert_true(fleet()->renewal.has_failed);
    uint32_t spawn_count = stage.spawn_count;
    stage_later(WORKER_BACKOFF_MS_MAX);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(stage.spawn_count, spawn_count);
    assert_int_equal(fleet()->renewal.replaced_count, 0);
    nobody_is_blamed();
    expect_workers(2, pool()->config->options.recycle_overlap);
    /* The next signal tries again. */
    renew();
    workers_settle();
    expect_over(2);
    assert_false(fleet()->renewal.has_failed);
    runs()->pipelines[0]->failure[0] = '\0';
    expect_workers(2, pool()->config->options.recycle_overlap);
}

static void one_whose_successor_ends_stays(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.recycle_run_count = 0;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    renew();
    expect_first_turn();
    stage_exit(2, CLD_EXITED, WORKER_EXIT_LOAD);
    stage_settle();
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_false(pool()->cannot_load); /* it did */
    expect_left_off();
}

static void one_whose_successor_is_never_ready_stays(void **state)
{
    (void)state;
    renew();
    expect_first_turn();
    stage_later(stage.config.options.start_timeout_ms);
    assert_int_equal(worker(2)->state, WORKER_DYING);
    assert_int_equal(worker(0)->state, WORKER_OUTGOING);
    workers_obey();
    expect_left_off();
}

static void one_whose_successor_cannot_be_made_stays(void **state)
{
    (void)state;
    stage.spawn_error = EMFILE;
    renew();
    stage_settle();
    assert_int_equal(stage.spawn_count, 2);
    stage.spawn_error = 0;
    expect_left_off();
}

static void without_memory_for_one_more_nothing_happens(void **state)
{
    (void)state;
    for (unsigned count = 0;; count++) {
        mr_assert(count < 100);
        allocs_left = count;
        assert_int_equal(runs_renew(runs(), NULL), 0);
        stage_loop_pass();
        bool is_enough = worker(0)->state == WORKER_OUTGOING;
        allocs_left = UINT_MAX;
        if (is_enough)
            break;
        assert_int_equal(worker(0)->state, WORKER_READY);
        expect_over(0);
        expect_workers(2, 0);
    }
    workers_settle();
    expect_over(2);
    expect_workers(2, 0);
}

static void without_a_user_for_one_more_nothing_happens(void **state)
{
    (void)state;
    stage.config.pipelines[0].confinement.owner = OWNER_EACH;
    stage.config.own_users = (struct own_users){.first = 70000, .count = 2};
    renew();
    assert_non_null(worker(1));
    assert_int_equal(places_count(), 2);
    stage.config.own_users.count = 3;
    expect_left_off();
}

static void without_a_control_group_for_one_more_nothing_happens(void **state)
{
    (void)state;
    stage.config.pipelines[0].confinement.memory_bytes_max = 1 << 20;
    snprintf(fleet()->group_folder, sizeof fleet()->group_folder, "/nowhere");
    renew();
    assert_int_equal(places_count(), 2);
    stage.config.pipelines[0].confinement.memory_bytes_max = 0;
    expect_left_off();
}

/* That is the spawner's end, not the new code's. */
static void a_spawner_that_dies_meanwhile_is_no_reason_to_leave_off(void **state)
{
    (void)state;
    stage.spawner_is_silent = true;
    renew();
    stage_settle();
    assert_int_equal(worker(2)->state, WORKER_SPAWNING);
    stage_spawner_dies();
    stage_settle();
    stage_later(2 * WORKER_BACKOFF_MS_MIN);
    workers_settle();
    expect_over(2);
    expect_workers(2, 0);
}

static void a_worker_that_dies_meanwhile_is_followed_by_its_successor(void **state)
{
    (void)state;
    renew();
    expect_first_turn();
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    nobody_is_blamed();
    workers_settle();
    expect_over(1);
    expect_workers(2, 0);
    assert_int_equal(pool()->restarts[WORKER_END_CRASHED], 1);
    assert_int_equal(stage.spawn_count, 4);
}

/* Its code may be as bad as that of one that was never ready. */
static void a_successor_that_dies_and_does_not_start_again_ends_it(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    renew();
    stage_hello(2);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_RETIRING);
    for (uint32_t i = 0; i < 2; i++) {
        stage_exit(2, CLD_KILLED, SIGSEGV);
        stage_settle();
        assert_int_equal(fleet()->renewal.has_failed, i == 1);
        stage_later(WORKER_BACKOFF_MS_MAX);
        assert_int_equal(worker(2)->state, WORKER_STARTING);
    }
    stage_run_end(&run);
    stage_settle();
    workers_settle();
    expect_over(1);
    nobody_is_blamed();
    expect_workers(2, 0);
}

#define ON(scene, name) cmocka_unit_test_setup_teardown(name, scene##_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        ON(two, each_worker_goes_when_its_successor_is_ready),
        ON(two, the_next_ones_turn_is_when_the_last_one_is_gone),
        ON(both, the_next_pipelines_turn_is_when_the_place_is_free),
        ON(overlap, a_pipeline_with_a_spare_place_has_no_other),
        ON(overlap, one_that_is_being_replaced_anyway_is_waited_for),
        ON(two, two_signals_in_a_pass_are_one),
        ON(two, a_second_signal_is_also_for_those_of_the_first),
        ON(early, those_that_start_are_waited_for),
        ON(early, nobody_to_replace_is_no_trouble),
        ON(two, one_that_waits_to_be_started_again_is_started_at_once),
        ON(two, one_that_is_worn_out_waits_for_its_successor_all_the_same),
        ON(two, one_whose_successor_ends_stays),
        ON(overlap, one_whose_successor_ends_stays),
        ON(two, one_whose_successor_is_never_ready_stays),
        ON(two, one_whose_successor_cannot_be_made_stays),
        ON(two, without_memory_for_one_more_nothing_happens),
        ON(two, without_a_user_for_one_more_nothing_happens),
        ON(two, without_a_control_group_for_one_more_nothing_happens),
        ON(two, a_spawner_that_dies_meanwhile_is_no_reason_to_leave_off),
        ON(two, a_worker_that_dies_meanwhile_is_followed_by_its_successor),
        ON(two, a_successor_that_dies_and_does_not_start_again_ends_it),
    };
    return cmocka_run_group_tests_name("renewal", tests, NULL, NULL);
}
