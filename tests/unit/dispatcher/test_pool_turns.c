/* SPDX-License-Identifier: MIT */
/*
 * test_pool_turns.c - places of workers that others had before, or have at the same time, on the
 * stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/fds.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_pipelines.h"

/* ---- overlap -------------------------------------------------------------------------------- */

/* Worker 1 has had its run, and its successor is called. */
static void wear_out_the_second(void)
{
    struct stage_run begun[2] = {stage_run_begin(STREAM_PATH, RUN_BODY, 1),
                                 stage_run_begin(STREAM_PATH, RUN_BODY, 1)};
    struct stage_run *its = &begun[begun[0].worker == 0];
    struct stage_run *other = &begun[begun[0].worker != 0];
    stage.config.pipelines[0].options.recycle_run_count = 1;
    stage_run_end(its);
    stage_settle();
    stage.config.pipelines[0].options.recycle_run_count = 0;
    stage_run_end(other);
    stage_settle();
    assert_int_equal(worker(1)->state, WORKER_OUTGOING);
    assert_ptr_equal(worker(1)->successor, worker(2));
    assert_int_equal(worker(2)->number, 1);
}

static void expect_one_and_a_spare(void)
{
    workers_settle();
    expect_workers(1, 1);
    assert_non_null(pool_spare(pool()));
}

static void one_that_hands_over_goes_with_its_successor(void **state)
{
    for (uint32_t i = 0; i < 4; i++) {
        stage.spawner_is_silent = i == 1;
        wear_out_the_second();
        stage_later(0);
        if (i == 2)
            stage_hello(2); /* it is ready in the pass in which it is not wanted any more */
        if (i == 3) {
            stage_exit(2, CLD_KILLED, SIGSEGV); /* it is tried again later */
            stage_settle();
            runs()->pipelines[0]->failure[0] = '\0';
        }
        resize(1);
        if (i == 1)
            stage_spawner_speaks();
        expect_one_and_a_spare();
        scene_close(state);
        overlap_open(state);
    }
}

/* The spawner is busy with others. */
static void wear_out_with_a_busy_spawner(void)
{
    stage.server->fleet.spawner.asked_count = SPAWNER_ASKED_COUNT_MAX;
    wear_out_the_second();
    assert_int_equal(worker(2)->state, WORKER_SPARE);
}

static void a_successor_that_was_only_called_does_not_begin(void **state)
{
    (void)state;
    wear_out_with_a_busy_spawner();
    resize(1);
    stage.server->fleet.spawner.asked_count = 0;
    stage_later(1000);
    assert_int_equal(stage.spawn_count, 2);
    expect_one_and_a_spare();
}

static void a_successor_that_was_only_called_begins_when_it_is_wanted_again(void **state)
{
    (void)state;
    wear_out_with_a_busy_spawner();
    resize(1);
    stage.server->fleet.spawner.asked_count = 0;
    resize(2);
    workers_settle();
    expect_workers(2, 1);
}

static void a_successor_whose_caller_is_gone_is_not_called_by_another(void **state)
{
    (void)state;
    wear_out_with_a_busy_spawner();
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_loop_pass();
    assert_int_equal(worker(1)->state, WORKER_SPARE);
    assert_int_equal(worker(2)->state, WORKER_EMPTY);
    assert_ptr_equal(pool_spare(pool()), worker(1));
    resize(1);
    stage.server->fleet.spawner.asked_count = 0;
    expect_one_and_a_spare();
}

static void a_successor_whose_caller_is_gone_may_be_wanted_again(void **state)
{
    (void)state;
    wear_out_with_a_busy_spawner();
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_loop_pass();
    resize(1);
    resize(2);
    assert_int_equal(places_count(), 2 + 1);
    stage.server->fleet.spawner.asked_count = 0;
    stage_later(WORKER_BACKOFF_MS_MIN);
    workers_settle();
    nobody_is_blamed();
    expect_workers(2, 1);
}

static void one_that_hands_over_may_be_wanted_again_with_its_successor(void **state)
{
    (void)state;
    wear_out_the_second();
    stage_later(0);
    resize(1);
    resize(2);
    workers_settle();
    stage_later(WORKER_BACKOFF_MS_MIN);
    workers_settle();
    expect_workers(2, 1);
    resize(4);
    workers_settle();
    expect_workers(4, 1);
}

/* ---- late words ----------------------------------------------------------------------------- */

static void what_is_said_late_is_not_for_who_has_the_place_now(void **state)
{
    (void)state;
    struct uring_ref late[] = {stage.workers[1].on_pidfd, stage.workers[1].on_socket,
                               stage.workers[1].on_bell};
    resize(1);
    workers_settle();
    assert_null(worker(1));
    for (size_t i = 0; i < ARRAY_COUNT(late); i++)
        stage_event((struct uring_event){.ref = late[i], .result = POLLIN | POLLHUP});
    stage_settle();
    for (uint32_t round = 0; round < 3; round++) {
        if (round == 0)
            stage.spawn_error = ENOENT; /* the place is there, and nobody is in it */
        resize(2);
        if (round == 2)
            workers_settle();
        uint32_t generation = worker(1)->generation;
        for (size_t i = 0; i < ARRAY_COUNT(late); i++) {
            assert_true(generation > late[i].generation);
            stage_event((struct uring_event){.ref = late[i], .result = POLLIN | POLLHUP});
        }
        stage_settle();
        assert_int_equal(worker(1)->bells_heard, 0);
        if (round == 0) {
            stage.spawn_error = 0;
            resize(1);
            workers_settle();
            assert_null(worker(1));
            runs()->pipelines[0]->failure[0] = '\0';
        }
    }
    expect_workers(2, 0);
}

static void a_program_that_could_not_be_executed_may_have_lost_its_place(void **state)
{
    (void)state;
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_settle();
    nobody_is_blamed();
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(worker(1)->state, WORKER_STARTING);
    uint32_t generation = worker(1)->generation;
    resize(1);
    workers_settle();
    assert_null(worker(1));
    stage_answer(SPAWN_EXEC_FAILED, 1, generation, ENOENT);
    stage_settle();
    resize(2);
    stage_settle();
    stage_answer(SPAWN_EXEC_FAILED, 1, generation, ENOENT);
    workers_settle();
    expect_workers(2, 0);
}

/* ---- again and again ------------------------------------------------------------------------ */

static uint32_t chance(uint32_t count)
{
    static uint64_t random = 88172645463325252u; /* the seed; xorshift */
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return (uint32_t)(random % count);
}

static void ask_for_one(void)
{
    if (stage.server->front.free)
        stage_say(stage_connect(), STREAM_PATH, RUN_BODY, 0);
}

/* As many as runs need, within some bounds. */
static void scale_within(uint32_t min, uint32_t more)
{
    char reason[RUNS_REASON_BYTES];
    uint32_t max = min + more > 4 ? 4 : min + more;
    int rc = runs_scale_pipeline(runs(), runs()->pipelines[0], min, max > 0 ? max : 1, reason);
    assert_int_equal(rc, 0);
}

static void do_something(void)
{
    uint32_t index = chance(STAGE_WORKER_COUNT_MAX);
    switch (chance(9)) {
    case 0:
        if (chance(4) == 0)
            resize(1 + chance(4));
        else
            scale_within(chance(3), chance(4));
        break;
    case 1:
        ask_for_one();
        break;
    case 2:
        known_forget();
        if (known.begun_count > 0)
            stage_run_end(&known.begun[chance(known.begun_count)]);
        break;
    case 3:
        if (stage.workers[index].lives)
            stage_exit(index, chance(2) ? CLD_KILLED : CLD_EXITED, SIGKILL);
        break;
    case 4:
        workers_greet();
        break;
    case 5:
        workers_obey();
        break;
    case 6:
        stage.pipes_are_held = chance(2);
        stage_later(chance(300));
        break;
    case 7:
        assert_int_equal(runs_renew(runs(), NULL), 0);
        break;
    default:
        stage_settle();
    }
}

static void up_and_down_again_and_again(void **state)
{
    (void)state;
    int fd_count = fds_count();
    const struct pipeline *pipeline = runs()->pipelines[0];
    uint32_t asleep_count = 0;
    runs()->pipelines[0]->scaling.bounds.idle_ms = 300;
    for (uint32_t i = 0; i < 20000; i++) {
        do_something();
        stage_loop_pass();
        stage_settle();
        server_check(stage.server);
        asleep_count += pipeline->state == PIPELINE_IDLE;
        assert_true(places_count() <= 4 + 1);
        assert_int_equal(timers_of_others(), others);
    }
    assert_true(asleep_count > 100);
    assert_true(pipeline->tally->scale_up_count > 100 && pipeline->tally->scale_down_count > 100);
    stage.pipes_are_held = false;
    resize(2);
    for (uint32_t i = 0; i < 20; i++) {
        workers_settle();
        known_forget();
        while (known.begun_count > 0)
            stage_run_end(&known.begun[--known.begun_count]);
        stage_later(WORKER_BACKOFF_MS_MAX);
    }
    assert_int_equal(runs()->count, 0);
    assert_int_equal(pool_ready_count(pool()), 2);
    assert_int_equal(places_count(), 2 + stage.config.options.recycle_overlap);
    assert_false(fleet()->renewal.is_on);
    assert_true(pool()->restarts[WORKER_END_RENEWED] > 100);
    assert_true(fds_count() <= fd_count + 12); /* of a spare that became a worker, none */
}

#define ON(scene, name) cmocka_unit_test_setup_teardown(name, scene##_open, scene_close)

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        ON(overlap, one_that_hands_over_goes_with_its_successor),
        ON(overlap, a_successor_that_was_only_called_does_not_begin),
        ON(overlap, a_successor_that_was_only_called_begins_when_it_is_wanted_again),
        ON(overlap, a_successor_whose_caller_is_gone_is_not_called_by_another),
        ON(overlap, a_successor_whose_caller_is_gone_may_be_wanted_again),
        ON(overlap, one_that_hands_over_may_be_wanted_again_with_its_successor),
        ON(two, what_is_said_late_is_not_for_who_has_the_place_now),
        ON(two, a_program_that_could_not_be_executed_may_have_lost_its_place),
        ON(two, up_and_down_again_and_again),
        ON(overlap, up_and_down_again_and_again),
    };
    return cmocka_run_group_tests_name("pool_turns", tests, NULL, NULL);
}
