/* SPDX-License-Identifier: MIT */
/*
 * test_renewal_changes.c - pipelines come, grow, shrink and go while all workers are replaced, or
 * the server stops, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_renewal.h"

#define FIRST "{\"pipeline\":\"me/numbers:v1\",\"inputs\":[]}"
#define SECOND "{\"pipeline\":\"me/more-numbers:v1\",\"inputs\":[]}"

static struct worker_pool *second(void)
{
    return runs()->pipelines[1]->pool;
}

static void a_pipeline_that_is_removed_in_its_turn_keeps_nobody_waiting(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, FIRST, 1);
    assert_int_equal(run.worker, 0);
    renew();
    expect_first_turn();
    struct worker_pool *other = second();
    pipeline_remove(runs()->pipelines[0]);
    workers_settle();
    assert_non_null(runs()->leaving); /* its run goes on */
    assert_false(fleet()->renewal.is_on);
    assert_false(fleet()->renewal.has_failed);
    assert_int_equal(other->restarts[WORKER_END_RENEWED], 1);
    expect_served(SECOND);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    workers_settle();
    assert_null(runs()->leaving);
    assert_int_equal(timers_of_others(), others);
}

static void one_that_is_removed_after_its_successor_failed_is_no_failure(void **state)
{
    (void)state;
    struct worker_pool *other = second();
    renew();
    expect_first_turn();
    stage_exit(2, CLD_KILLED, SIGSEGV);
    snprintf(fleet()->renewal.failure, sizeof fleet()->renewal.failure, "heard in this pass");
    pipeline_remove(runs()->pipelines[0]);
    workers_settle();
    assert_false(fleet()->renewal.is_on);
    assert_false(fleet()->renewal.has_failed);
    assert_int_equal(other->restarts[WORKER_END_RENEWED], 1);
}

static void one_that_comes_meanwhile_is_new(void **state)
{
    (void)state;
    pipeline_remove(runs()->pipelines[1]);
    workers_settle();
    renew();
    assert_int_equal(worker(0)->state, WORKER_OUTGOING);
    pipeline_add(1);
    workers_settle();
    expect_over(1);
    assert_int_equal(stage.spawn_count, 2 + 1 + 1);
}

static void a_pipeline_may_shrink_and_grow_meanwhile(void **state)
{
    for (uint32_t i = 0; i < 4; i++) {
        renew();
        if (i > 1)
            take_first_turn(); /* it is the second one's turn, which goes */
        if (i == 0)
            expect_first_turn();
        resize(1);
        if (i == 3)
            resize(3);
        workers_settle();
        assert_false(fleet()->renewal.has_failed);
        assert_false(fleet()->renewal.is_on);
        nobody_is_blamed();
        expect_workers(i == 3 ? 3 : 1, 0);
        scene_close(state);
        two_open(state);
    }
}

/* Who is not wanted any more ends before it is ready: that is no failure, also when it is wanted
 * again meanwhile. */
static void a_successor_that_is_let_go_is_no_failure(void **state)
{
    for (uint32_t i = 0; i < 2; i++) {
        stage_exit(0, CLD_KILLED, SIGSEGV);
        stage_settle();
        struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
        assert_int_equal(run.worker, 1);
        stage_later(WORKER_BACKOFF_MS_MIN);
        assert_int_equal(worker(0)->state, WORKER_STARTING); /* it is waited for */
        renew();
        assert_int_equal(worker(1)->state, WORKER_OUTGOING);
        assert_int_equal(worker(2)->state, WORKER_STARTING);
        resize(1);
        if (i == 1)
            resize(2);
        assert_int_equal(worker(1)->state, WORKER_RETIRING);
        workers_settle();
        assert_true(fleet()->renewal.is_on);
        stage_run_end(&run);
        workers_settle();
        expect_over(i + 1);
        assert_false(fleet()->renewal.has_failed);
        nobody_is_blamed();
        expect_workers(i + 1, 0);
        scene_close(state);
        two_open(state);
    }
}

/* Also for those of one that comes in another one's turn. */
static void there_is_a_run_for_each_that_can_run_meanwhile(void **state)
{
    (void)state;
    const uint32_t queue = stage.config.options.queue_count_max;
    struct pipeline_options *options = &stage.config.pipelines[1].options;
    assert_int_equal(runs()->count_max, 2 * (1 + 1 + queue));
    renew();
    assert_int_equal(runs()->count_max, 2 * (1 + 1 + queue) + 1);
    workers_settle();
    pipeline_remove(runs()->pipelines[1]);
    workers_settle();
    renew();
    options->concurrency = 8;
    pipeline_add(1);
    assert_int_equal(runs()->count_max, (2 + 1 + queue) + (8 + 1 + queue) + 1);
    workers_settle();
    renew();
    assert_int_equal(runs()->count_max, (1 + 1 + queue) + (8 + 1 + queue) + 8);
}

static void a_stopping_server_ends_all(void **state)
{
    (void)state;
    renew();
    expect_first_turn();
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_STOPPING);
    assert_int_equal(worker(2)->state, WORKER_DYING);
    for (uint32_t i = 0; i < 10 && stage.server->state != SERVER_STOPPED; i++) {
        workers_obey();
        stage_settle();
    }
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.spawn_count, 3);
    assert_false(fleet()->renewal.is_on);
}

/* It serves until it has run what it has, and so does whom a successor was called for. */
static void a_server_that_stops_later_finishes_one_turn(void **state)
{
    (void)state;
    stage.config.drain_delay_ms = 1000;
    renew();
    expect_first_turn();
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_ANNOUNCING);
    workers_settle();
    assert_int_equal(pool_ready_count(pool()), 2);
    assert_int_equal(stage.spawn_count, 3);
    stage_later(1000);
    for (uint32_t i = 0; i < 10 && stage.server->state != SERVER_STOPPED; i++) {
        workers_obey();
        stage_settle();
    }
    assert_int_equal(stage.server->state, SERVER_STOPPED);
}

#define ON(scene, name) cmocka_unit_test_setup_teardown(name, scene##_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        ON(both, a_pipeline_that_is_removed_in_its_turn_keeps_nobody_waiting),
        ON(both, one_that_is_removed_after_its_successor_failed_is_no_failure),
        ON(both, one_that_comes_meanwhile_is_new),
        ON(two, a_pipeline_may_shrink_and_grow_meanwhile),
        ON(two, a_successor_that_is_let_go_is_no_failure),
        ON(both, there_is_a_run_for_each_that_can_run_meanwhile),
        ON(two, a_stopping_server_ends_all),
        ON(two, a_server_that_stops_later_finishes_one_turn),
    };
    return cmocka_run_group_tests_name("renewal_changes", tests, NULL, NULL);
}
