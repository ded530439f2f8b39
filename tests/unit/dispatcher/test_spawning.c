/* SPDX-License-Identifier: MIT */
/*
 * test_spawning.c - what the loop does with the answers of its spawner, and without them.
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
    stage_open(&(struct stage_options){.worker_count = 2, .queue_count_max = 3});
    return 0;
}

static struct worker *worker(uint32_t index)
{
    return stage.server->fleet.workers[index];
}

/* Worker 0 dies, and its successor is asked for. */
static void ask(void)
{
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MIN);
}

static void ask_silent(void)
{
    stage.spawner_is_silent = true;
    ask();
    assert_int_equal(worker(0)->state, WORKER_SPAWNING);
    assert_int_equal(worker(0)->pid, 0);
}

static void the_loop_goes_on_while_a_process_is_made(void **state)
{
    (void)state;
    ask_silent();
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(runs_at(&stage.server->runs, 0)->worker->index, 1);
    stage_run_number(&run);
    stage_run_end(&run);
    stage_settle();
    client_answer_of(&answer, run.client);
    assert_true(answer.complete);
    stage_spawner_speaks();
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_READY);
}

static void a_run_that_waits_for_the_only_worker_is_served_when_there_is_one(void **state)
{
    (void)state;
    stage_exit(1, CLD_KILLED, SIGSEGV);
    ask_silent();
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(stage.server->runs.pipelines[0]->queue_count, 1);
    stage_spawner_speaks();
    stage_settle();
    stage_hello(0);
    stage_settle();
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
}

static void a_spawner_that_ends_is_replaced_and_the_start_is_asked_for_again(void **state)
{
    (void)state;
    ask_silent();
    uint32_t before = stage.spawn_count;
    stage_spawner_dies();
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
    assert_int_equal(stage.spawner_count, 2);
    assert_int_equal(stage.server->fleet.spawner_lost_count, 1);
    /* It is nobody's failure: what clients are told is what ended the worker. */
    assert_non_null(strstr(stage.server->runs.pipelines[0]->failure, "SIGSEGV"));
    assert_int_equal(worker(0)->channel.segment.fd, -1);
    assert_int_equal(worker(0)->pidfd, -1);
    stage_later(2 * WORKER_BACKOFF_MS_MIN);
    assert_int_equal(stage.spawn_count, before + 1);
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_READY);
    assert_int_equal(worker(1)->state, WORKER_READY);
}

static void what_a_spawner_said_before_it_ended_counts(void **state)
{
    (void)state;
    ask_silent();
    stage.spawner_is_silent = false;
    stage_spawner_dies();
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    assert_int_equal(stage.spawner_count, 2);
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_READY);
}

static void a_spawner_that_does_not_answer_is_killed(void **state)
{
    (void)state;
    ask_silent();
    stage_later(WORKER_SPAWN_TIMEOUT_MS - 1);
    assert_int_equal(stage.spawner_kill_count, 0);
    stage_later(1);
    assert_int_equal(stage.spawner_kill_count, 1);
    assert_int_equal(stage.spawner_count, 2);
    stage_settle();
    stage_later(2 * WORKER_BACKOFF_MS_MIN);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
}

static void an_answer_in_the_last_moment_is_an_answer(void **state)
{
    (void)state;
    ask_silent();
    stage.spawner_is_silent = false; /* it is there, and its event has not come yet */
    stage_later(WORKER_SPAWN_TIMEOUT_MS);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    assert_int_equal(stage.spawner_kill_count, 0);
}

static void nobody_is_asked_before_the_last_spawner_is_gone(void **state)
{
    (void)state;
    uint32_t before = stage.spawn_count;
    stage.spawner_stays = true;
    stage_spawner_dies();
    ask();
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
    stage_later(100);
    assert_int_equal(stage.spawn_count, before);
    assert_int_equal(stage.spawner_count, 1);
    stage.spawner_stays = false;
    stage_later(10);
    assert_int_equal(stage.spawner_count, 2);
    stage_later(10);
    assert_int_equal(stage.spawn_count, before + 1);
}

static void a_spawner_that_cannot_be_opened_is_tried_again(void **state)
{
    (void)state;
    stage.spawner_error = EAGAIN;
    stage_spawner_dies();
    ask();
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
    stage.spawner_error = 0;
    stage_later(1000);
    assert_int_equal(stage.spawner_count, 2);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
}

static void a_program_that_cannot_be_executed_is_a_start_that_failed(void **state)
{
    (void)state;
    ask();
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    stage_answer(SPAWN_EXEC_FAILED, 0, worker(0)->generation, ENOEXEC);
    stage_exit(0, CLD_EXITED, 127);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
    assert_string_equal(stage.server->runs.pipelines[0]->failure,
                        "the worker process cannot be started: Exec format error");
    assert_int_equal(worker(0)->exec_error, 0);
    stage_later(2 * WORKER_BACKOFF_MS_MIN);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
}

static void the_exit_of_such_a_process_may_be_seen_first(void **state)
{
    (void)state;
    ask();
    struct uring_ref hidden = stage.on_spawner;
    stage.on_spawner = (struct uring_ref){URING_NONE, 0, 0};
    stage_answer(SPAWN_EXEC_FAILED, 0, worker(0)->generation, ENOENT);
    stage.on_spawner = hidden;
    stage_exit(0, CLD_EXITED, 127);
    stage_settle();
    assert_string_equal(stage.server->runs.pipelines[0]->failure,
                        "the worker process cannot be started: No such file or directory");
}

static void one_that_is_given_up_before_its_exit_is_seen_is_no_start_that_failed(void **state)
{
    (void)state;
    ask();
    stage_answer(SPAWN_EXEC_FAILED, 0, worker(0)->generation, ENOENT);
    stage_settle();
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_DYING);
    stage_exit(0, CLD_EXITED, 127);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
}

static void without_a_descriptor_for_the_pidfd_the_start_failed(void **state)
{
    (void)state;
    stage.pidfd_is_lost = true;
    ask();
    assert_int_equal(worker(0)->state, WORKER_EMPTY);
    assert_int_equal(stage.workers[0].stray_kill_count, 1);
    stage_worker_forget(0);
    stage.pidfd_is_lost = false;
    stage_later(2 * WORKER_BACKOFF_MS_MIN);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
}

static void a_stopping_server_waits_for_the_answer_and_ends_the_process(void **state)
{
    (void)state;
    ask_silent();
    server_stop(stage.server);
    stage_settle();
    struct record record;
    assert_true(stage_request(1, &record));
    stage_exit(1, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPING);
    stage_spawner_speaks();
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_DYING);
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.server->exit_code, 0);
}

static void a_stopping_server_needs_no_new_spawner(void **state)
{
    (void)state;
    ask_silent();
    server_stop(stage.server);
    stage_settle();
    stage_exit(1, CLD_EXITED, 0);
    stage_spawner_dies();
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.spawner_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

/* Both workers die, and are tried again more often than it takes to give up on a pipeline. */
static void fail_to_start(int error)
{
    stage.spawn_error = (uint32_t)error;
    for (uint32_t i = 0; i < 2; i++)
        stage_exit(i, CLD_KILLED, SIGSEGV);
    stage_settle();
    for (uint32_t i = 0; i < 2 * stage.config.pipelines[0].options.quarantine_after; i++)
        stage_later(WORKER_BACKOFF_MS_MAX);
}

static void a_shortage_of_what_all_share_is_nobodys_failure(void **state)
{
    static const int shortages[] = {EAGAIN, ETOOMANYREFS, EMFILE, ENFILE, ENOMEM};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(shortages); i++) {
        uint64_t before = stage.server->runs.pipelines[0]->pool->restarts[WORKER_END_NOT_STARTED];
        fail_to_start(shortages[i]);
        assert_int_equal(stage.server->runs.pipelines[0]->state, PIPELINE_RESTARTING);
        assert_true(stage.server->runs.pipelines[0]->pool->restarts[WORKER_END_NOT_STARTED] >=
                    before + 2 * stage.config.pipelines[0].options.quarantine_after);
        stage.spawn_error = 0;
        stage_later(WORKER_BACKOFF_MS_MAX);
        for (uint32_t k = 0; k < 2; k++)
            stage_hello(k);
        stage_settle();
        assert_int_equal(stage.server->runs.pipelines[0]->state, PIPELINE_READY);
        struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
        stage_run_end(&run);
        stage_settle();
        worker(0)->death_streak = worker(1)->death_streak = 0; /* only one of them had the run */
    }
}

static void another_reason_for_no_process_is_the_pipelines(void **state)
{
    (void)state;
    fail_to_start(ENOEXEC);
    assert_int_equal(stage.server->runs.pipelines[0]->state, PIPELINE_QUARANTINED);
}

static void a_worker_that_finds_no_processes_left_is_no_failure_either(void **state)
{
    (void)state;
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    for (uint32_t i = 0; i < 2 * stage.config.pipelines[0].options.quarantine_after; i++) {
        stage_later(WORKER_BACKOFF_MS_MAX);
        for (uint32_t k = 0; k < 2; k++)
            stage_exit(k, CLD_EXITED, WORKER_EXIT_SHORT);
        stage_settle();
    }
    assert_int_equal(stage.server->runs.pipelines[0]->state, PIPELINE_RESTARTING);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEST(the_loop_goes_on_while_a_process_is_made),
        TEST(a_run_that_waits_for_the_only_worker_is_served_when_there_is_one),
        TEST(a_spawner_that_ends_is_replaced_and_the_start_is_asked_for_again),
        TEST(what_a_spawner_said_before_it_ended_counts),
        TEST(a_spawner_that_does_not_answer_is_killed),
        TEST(an_answer_in_the_last_moment_is_an_answer),
        TEST(nobody_is_asked_before_the_last_spawner_is_gone),
        TEST(a_spawner_that_cannot_be_opened_is_tried_again),
        TEST(a_program_that_cannot_be_executed_is_a_start_that_failed),
        TEST(the_exit_of_such_a_process_may_be_seen_first),
        TEST(one_that_is_given_up_before_its_exit_is_seen_is_no_start_that_failed),
        TEST(without_a_descriptor_for_the_pidfd_the_start_failed),
        TEST(a_stopping_server_waits_for_the_answer_and_ends_the_process),
        TEST(a_shortage_of_what_all_share_is_nobodys_failure),
        TEST(another_reason_for_no_process_is_the_pipelines),
        TEST(a_worker_that_finds_no_processes_left_is_no_failure_either),
        TEST(a_stopping_server_needs_no_new_spawner),
    };
    return cmocka_run_group_tests_name("spawning", tests, descriptors_note, descriptors_compare);
}
