/* SPDX-License-Identifier: MIT */
/*
 * test_hand_over.c - a worker is replaced by one that starts beside it, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/workers/recycle.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

/* Two workers, in the places 0 and 1; 2 is the spare one. */
static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.worker_count = 2, .recycle_overlap = true});
    stage.config.pipelines[0].options.recycle_run_count = 2;
    return 0;
}

static struct worker *worker(uint32_t index)
{
    return stage.server->fleet.workers[index];
}

static void run_one_on(uint32_t index)
{
    /* The least loaded one is asked: the other one has a run meanwhile. */
    struct stage_run first = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct stage_run run = first;
    if (first.worker != index)
        run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(run.worker, index);
    stage_run_end(&run);
    stage_settle();
    client_answer_of(&answer, run.client);
    assert_true(answer.complete);
    answer_finish(&answer);
    if (first.worker == index)
        return;
    worker(first.worker)->run_count--; /* for the test, it had none */
    stage_run_end(&first);
    stage_settle();
}

/* Worker 0 has had its runs, and its successor is being started. */
static void wear_out(void)
{
    run_one_on(0);
    assert_int_equal(worker(0)->state, WORKER_READY);
    run_one_on(0);
    stage_later(0);
    assert_int_equal(worker(0)->state, WORKER_OUTGOING);
    assert_int_equal(worker(2)->state, WORKER_STARTING);
}

static void the_spare_place_waits(void **state)
{
    (void)state;
    assert_int_equal(stage.server->fleet.worker_count, 3);
    assert_int_equal(worker(2)->state, WORKER_SPARE);
    assert_int_equal(pool_ready_count(stage.server->runs.pipelines[0]->pool), 2);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(worker(2)->state, WORKER_SPARE);
    assert_int_equal(stage.spawn_count, 2);
}

static void a_worn_out_worker_serves_until_its_successor_is_ready(void **state)
{
    (void)state;
    struct record record;
    wear_out();
    assert_int_equal(worker(2)->number, 0); /* the device of the one it follows */
    run_one_on(0);
    assert_int_equal(worker(0)->state, WORKER_OUTGOING);
    assert_false(stage_request(0, &record));
    stage_hello(2);
    stage_settle();
    assert_int_equal(worker(2)->state, WORKER_READY);
    assert_int_equal(worker(0)->state, WORKER_RETIRING);
    assert_true(stage_request(0, &record));
    assert_int_equal(record.kind, RECORD_STOP);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_not_equal(run.worker, 0);
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_SPARE);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(stage.spawn_count, 3);
    assert_int_equal(stage.server->runs.pipelines[0]->pool->restarts[WORKER_END_RECYCLED_RUNS], 1);
    assert_int_equal(worker(2)->restart_count, 0);
}

static void the_spare_place_goes_round(void **state)
{
    (void)state;
    wear_out();
    stage_hello(2);
    stage_settle();
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    worker(2)->run_count = 1;
    run_one_on(2);
    stage_later(0);
    assert_int_equal(worker(2)->state, WORKER_OUTGOING);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    assert_int_equal(worker(0)->number, 0);
    assert_ptr_equal(worker(0)->predecessor, worker(2));
}

static void one_is_replaced_at_a_time(void **state)
{
    (void)state;
    wear_out();
    worker(1)->run_count = 5;
    run_one_on(1);
    assert_int_equal(worker(1)->state, WORKER_READY);
    stage_hello(2);
    stage_settle();
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    run_one_on(1);
    stage_later(0);
    assert_int_equal(worker(1)->state, WORKER_OUTGOING);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    assert_int_equal(worker(0)->number, 1);
}

static void a_successor_that_does_not_start_is_tried_again_and_the_old_one_serves(void **state)
{
    (void)state;
    wear_out();
    for (uint64_t wait_ms = WORKER_BACKOFF_MS_MIN; wait_ms < 1000; wait_ms *= 2) {
        stage_exit(2, CLD_KILLED, SIGSEGV);
        stage_settle();
        assert_int_equal(worker(2)->state, WORKER_EMPTY);
        run_one_on(0);
        stage_later(wait_ms);
        assert_int_equal(worker(2)->state, WORKER_STARTING);
    }
    stage_hello(2);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_RETIRING);
}

static void an_old_one_that_dies_leaves_its_number_to_its_successor(void **state)
{
    (void)state;
    wear_out();
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_SPARE);
    assert_null(worker(2)->predecessor);
    assert_int_equal(worker(2)->restart_count, 1);
    assert_int_equal(stage.server->runs.pipelines[0]->pool->restarts[WORKER_END_CRASHED], 1);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(stage.spawn_count, 3); /* two, and the successor: no fourth */
    stage_hello(2);
    stage_settle();
    assert_int_equal(pool_ready_count(stage.server->runs.pipelines[0]->pool), 2);
}

static void garbage_ends_an_old_one_like_any_other(void **state)
{
    (void)state;
    wear_out();
    stage_message(0, MESSAGE_READY, NULL, 0);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_DYING);
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_SPARE);
}

/* It may hold the device, or use one that answers nothing any more. */
static void a_broken_device_waits_for_no_successor(void **state)
{
    (void)state;
    static const uint8_t error[] = {0x93, ERROR_CUDA, 0xa1, 'x', 0xc0};
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_put(&run, RECORD_ERROR, 0, error, sizeof(error));
    stage_settle();
    assert_int_equal(worker(run.worker)->state, WORKER_RETIRING);
    assert_int_equal(worker(2)->state, WORKER_SPARE);
}

static void a_device_that_breaks_meanwhile_ends_its_worker(void **state)
{
    (void)state;
    wear_out();
    supervisor_run_over(&stage.server->fleet, worker(0), true);
    assert_int_equal(worker(0)->state, WORKER_RETIRING);
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_SPARE);
    assert_int_equal(worker(2)->state, WORKER_STARTING);
}

static void a_stopping_server_ends_both(void **state)
{
    (void)state;
    wear_out();
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_STOPPING);
    assert_int_equal(worker(2)->state, WORKER_DYING);
    stage_exit(0, CLD_EXITED, 0);
    stage_exit(1, CLD_EXITED, 0);
    stage_exit(2, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.spawn_count, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEST(the_spare_place_waits),
        TEST(a_worn_out_worker_serves_until_its_successor_is_ready),
        TEST(the_spare_place_goes_round),
        TEST(one_is_replaced_at_a_time),
        TEST(a_successor_that_does_not_start_is_tried_again_and_the_old_one_serves),
        TEST(an_old_one_that_dies_leaves_its_number_to_its_successor),
        TEST(garbage_ends_an_old_one_like_any_other),
        TEST(a_broken_device_waits_for_no_successor),
        TEST(a_device_that_breaks_meanwhile_ends_its_worker),
        TEST(a_stopping_server_ends_both),
    };
    return cmocka_run_group_tests_name("hand_over", tests, descriptors_note, descriptors_compare);
}
