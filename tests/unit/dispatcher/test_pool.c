/* SPDX-License-Identifier: MIT */
/*
 * test_pool.c - a pipeline gets more and fewer workers while it serves, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/allocs.h"
#include "tests/unit/dispatcher/fds.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_pipelines.h"

/* ---- more ----------------------------------------------------------------------------------- */

static void more_workers_are_started_and_take_runs(void **state)
{
    (void)state;
    resize(3);
    assert_int_equal(stage.spawn_count, 3);
    assert_ptr_equal(stage.environment, &stage.config.pipelines[0].environment);
    workers_settle();
    expect_workers(3, 0);
    struct stage_run begun[6];
    for (uint32_t i = 0; i < 6; i++)
        begun[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(worker(i)->active_count, 2);
    for (uint32_t i = 0; i < 6; i++)
        stage_run_end(&begun[i]);
    stage_settle();
    assert_int_equal(runs()->count, 0);
}

/* There are as many runs as can run and wait, and one that is refused. */
static void there_is_a_run_for_each_new_slot(void **state)
{
    (void)state;
    uint32_t before = runs()->count_max;
    resize(4);
    assert_int_equal(runs()->count_max, before + 3 * 2);
    resize(2);
    workers_settle();
    assert_int_equal(runs()->count_max, before + 3 * 2);
}

static void a_worker_that_does_not_start_is_tried_again(void **state)
{
    (void)state;
    stage.spawn_error = ENOENT;
    resize(2);
    stage_settle();
    assert_int_equal(worker(1)->state, WORKER_EMPTY);
    stage.spawn_error = 0;
    stage_later(WORKER_BACKOFF_MS_MAX);
    workers_settle();
    assert_int_equal(pool_ready_count(pool()), 2);
}

/* ---- fewer ---------------------------------------------------------------------------------- */

static void one_without_runs_is_asked_to_stop_and_its_place_is_given_back(void **state)
{
    (void)state;
    struct record record;
    int fd_count = fds_count();
    resize(2);
    workers_settle();
    resize(1);
    assert_int_equal(worker(1)->state, WORKER_STOPPING);
    assert_true(stage_request(1, &record));
    assert_int_equal(record.kind, RECORD_STOP);
    stage_exit(1, CLD_EXITED, 0);
    stage_settle();
    expect_workers(1, 0);
    assert_null(worker(1));
    assert_int_equal(fds_count(), fd_count);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(stage.spawn_count, 2);
}

static void one_with_a_run_finishes_it_and_takes_no_other(void **state)
{
    (void)state;
    struct stage_run first = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct stage_run second = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct stage_run kept = first.worker == 0 ? first : second;
    struct stage_run last = first.worker == 0 ? second : first;
    resize(1);
    assert_int_equal(worker(1)->state, WORKER_RETIRING);
    stage_run_end(&kept);
    workers_settle();
    assert_int_equal(worker(1)->state, WORKER_RETIRING);
    struct stage_run next = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(next.worker, 0);
    stage_run_number(&last);
    stage_run_end(&last);
    workers_settle();
    assert_true(answer_to(last.client)->complete);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
    assert_null(worker(1));
    stage_run_end(&next);
    workers_settle();
    expect_workers(1, 0);
}

static void one_that_dies_with_a_run_loses_it_and_is_not_followed(void **state)
{
    (void)state;
    struct stage_run begun[2] = {stage_run_begin(STREAM_PATH, RUN_BODY, 1),
                                 stage_run_begin(STREAM_PATH, RUN_BODY, 1)};
    struct stage_run *lost = &begun[begun[0].worker == 0];
    resize(1);
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_non_null(strstr(answer_to(lost->client)->body, "pipeline_error"));
    stage_run_end(&begun[lost == &begun[0]]);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(stage.spawn_count, 2);
    expect_workers(1, 0);
}

static void one_that_does_not_stop_is_killed(void **state)
{
    (void)state;
    resize(1);
    stage_later(stage.config.options.cancel_grace_ms);
    assert_int_equal(worker(1)->state, WORKER_DYING);
    assert_int_equal(stage.workers[1].kill_count, 1);
    stage_exit(1, CLD_KILLED, SIGKILL);
    stage_settle();
    expect_workers(1, 0);
}

/* Its pipes are held by something that it started. */
static void what_one_printed_last_is_read_before_its_place_is_given_back(void **state)
{
    (void)state;
    stage.pipes_are_held = true;
    resize(1);
    stage_exit(1, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(worker(1)->state, WORKER_EMPTY);
    assert_true(fleet()->is_shrinking);
    stage_later(1000);
    stage_settle();
    expect_workers(1, 0);
}

/* ---- every state ---------------------------------------------------------------------------- */

static const uint8_t device_error[] = {0x93, ERROR_CUDA, 0xa1, 'x', 0xc0};

/* Its device broke under one of its runs. */
static void break_the_second(void)
{
    struct stage_run begun[2] = {stage_run_begin(STREAM_PATH, RUN_BODY, 1),
                                 stage_run_begin(STREAM_PATH, RUN_BODY, 1)};
    for (uint32_t i = 0; i < 2; i++)
        if (begun[i].worker == 1)
            stage_run_put(&begun[i], RECORD_ERROR, 0, device_error, sizeof device_error);
        else
            stage_run_end(&begun[i]);
    stage_settle();
}

static void say_hello_only(void)
{
    struct hello hello;
    hello_init(&hello);
    hello_begin(&hello, "numbers");
    hello_list(&hello, "inputs", 0);
    hello_list(&hello, "outputs", 1);
    msgpack_pack_map(&hello.packer, 1);
    hello_word(&hello, "type", "stream");
    stage_message(1, MESSAGE_HELLO, hello.buffer.data, hello.buffer.size);
    hello_finish(&hello);
    stage_settle();
}

/* Worker 1 of two, which are ready. */
static void bring_to(enum worker_state state)
{
    if (state == WORKER_RETIRING) {
        break_the_second();
    } else if (state == WORKER_DYING) {
        stage_message(1, MESSAGE_READY, NULL, 0);
        stage_settle();
    } else if (state != WORKER_READY) {
        stage_exit(1, CLD_KILLED, SIGSEGV);
        stage_settle();
        nobody_is_blamed();
    }
    if (state == WORKER_SPAWNING || state == WORKER_STARTING || state == WORKER_LOADED) {
        stage.spawner_is_silent = state == WORKER_SPAWNING;
        stage_later(WORKER_BACKOFF_MS_MAX);
    }
    if (state == WORKER_LOADED)
        say_hello_only();
    assert_int_equal(worker(1)->state, state);
}

static const enum worker_state states[] = {WORKER_EMPTY,  WORKER_SPAWNING, WORKER_STARTING,
                                           WORKER_LOADED, WORKER_READY,    WORKER_RETIRING,
                                           WORKER_DYING};

static void scene_again(void **state)
{
    scene_close(state);
    two_open(state);
}

static void in_whatever_state_one_goes(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        bring_to(states[i]);
        uint32_t spawn_count = stage.spawn_count;
        resize(1);
        if (states[i] == WORKER_SPAWNING)
            stage_spawner_speaks();
        workers_settle();
        stage_later(WORKER_BACKOFF_MS_MAX);
        assert_int_equal(stage.spawn_count, spawn_count);
        expect_workers(1, 0);
        scene_again(state);
    }
}

static void in_whatever_state_one_that_goes_may_be_wanted_again(void **state)
{
    for (size_t i = 0; i < 2 * ARRAY_COUNT(states); i++) {
        enum worker_state brought = states[i / 2];
        bring_to(brought);
        resize(1);
        if (i & 1)
            stage_settle();
        resize(2);
        assert_true(pool()->place_count == 2);
        if (brought == WORKER_SPAWNING)
            stage_spawner_speaks();
        workers_settle();
        stage_later(WORKER_BACKOFF_MS_MIN); /* who was DYING before had deserved it */
        workers_settle();
        if (brought == WORKER_DYING)
            nobody_is_blamed();
        expect_workers(2, 0);
        scene_again(state);
    }
}

static void who_was_let_go_by_mistake_has_not_failed(void **state)
{
    (void)state;
    bring_to(WORKER_STARTING);
    resize(1);
    assert_int_equal(worker(1)->state, WORKER_DYING);
    resize(2);
    stage_exit(1, CLD_KILLED, SIGKILL);
    stage_settle();
    stage_later(0);
    assert_int_equal(worker(1)->state, WORKER_STARTING); /* at once, without a pause */
    assert_int_equal(worker(1)->death_streak, 0);
    assert_string_equal(runs()->pipelines[0]->failure, "");
}

static void one_that_goes_with_a_run_is_followed_when_it_is_wanted_again(void **state)
{
    (void)state;
    struct stage_run begun[2] = {stage_run_begin(STREAM_PATH, RUN_BODY, 1),
                                 stage_run_begin(STREAM_PATH, RUN_BODY, 1)};
    resize(1);
    resize(2);
    assert_int_equal(worker(1)->state, WORKER_RETIRING);
    for (uint32_t i = 0; i < 2; i++)
        stage_run_end(&begun[i]);
    workers_settle();
    expect_workers(2, 0);
    assert_int_equal(pool()->restarts[WORKER_END_STOPPED], 1);
}

static void one_whose_start_fails_while_it_goes_is_nobodys_failure(void **state)
{
    (void)state;
    stage_exit(1, CLD_EXITED, 0);
    stage_settle();
    runs()->pipelines[0]->failure[0] = '\0';
    stage.spawn_error = ENOENT;
    stage.spawner_is_silent = true;
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(worker(1)->state, WORKER_SPAWNING);
    resize(1);
    stage_spawner_speaks();
    stage_settle();
    expect_workers(1, 0);
}

static void without_a_spawner_one_that_is_being_made_goes_too(void **state)
{
    (void)state;
    bring_to(WORKER_SPAWNING);
    resize(1);
    stage_spawner_dies();
    stage_settle();
    expect_workers(1, 0);
}

/* ---- what remains --------------------------------------------------------------------------- */

/* One that would save the pipeline goes. */
static void without_hope_for_those_that_stay_the_pipeline_is_quarantined(void **state)
{
    (void)state;
    struct pipeline *pipeline = runs()->pipelines[0];
    worker(0)->death_streak = stage.config.options.quarantine_after;
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_int_equal(pipeline->state, PIPELINE_READY);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    resize(1);
    assert_int_equal(pipeline->state, PIPELINE_QUARANTINED);
    stage_run_number(&run);
    stage_run_end(&run);
    workers_settle();
    assert_null(worker(1));
    assert_int_equal(pipeline->state, PIPELINE_QUARANTINED); /* that it went well helps nobody */
    timer_clear(&stage.server->reactor.timers, &worker(0)->timer);
    resize(2);
    workers_settle();
    assert_int_equal(pipeline->state, PIPELINE_TRIAL);
}

static void a_retry_is_said_of_those_that_stay(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        worker(i)->death_streak = stage.config.options.quarantine_after;
        stage_exit(i, CLD_KILLED, SIGSEGV);
    }
    stage_settle();
    assert_int_equal(runs()->pipelines[0]->state, PIPELINE_QUARANTINED);
    timer_set(&stage.server->reactor.timers, &worker(0)->timer,
              stage.server->reactor.now_ms + 7000);
    stage.pipes_are_held = true; /* the other place stays for a moment */
    resize(1);
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(answer_to(client)->status, 503);
    assert_non_null(strstr(answer.head_text, "Retry-After: 8\r\n"));
}

/* ---- what there is not enough of ------------------------------------------------------------ */

static void expect_nothing_changed(uint32_t worker_count)
{
    server_check(stage.server);
    assert_int_equal(pool()->worker_count, worker_count);
    assert_int_equal(pool()->place_count, worker_count);
    assert_int_equal(places_count(), worker_count);
    assert_int_equal(timers_of_others(), others);
}

static void without_users_for_all_of_them_there_are_no_more(void **state)
{
    (void)state;
    char reason[RUNS_REASON_BYTES];
    stage.config.pipelines[0].confinement.owner = OWNER_EACH;
    stage.config.own_users = (struct own_users){.first = 70000, .count = 3};
    assert_int_equal(resize_to(4, reason), -ENOSPC);
    assert_string_equal(reason, "there are only 3 users for workers");
    expect_nothing_changed(2);
    assert_int_equal(stage.spawn_count, 2);
    resize(3);
    workers_settle();
    expect_workers(3, 0);
}

static void without_memory_for_all_of_them_nothing_changes(void **state)
{
    (void)state;
    char reason[RUNS_REASON_BYTES];
    int rc = -ENOMEM;
    unsigned count = 0;
    while (rc != 0) {
        mr_assert(count < 100);
        allocs_left = count++;
        rc = resize_to(4, reason);
        allocs_left = UINT_MAX;
        if (rc == 0)
            break;
        assert_int_equal(rc, -ENOMEM);
        assert_string_equal(reason, "not enough memory");
        expect_nothing_changed(2);
        assert_int_equal(stage.spawn_count, 2);
    }
    assert_true(count > 8);
    workers_settle();
    expect_workers(4, 0);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void a_server_that_stops_starts_nobody_and_waits_for_those_that_go(void **state)
{
    (void)state;
    char reason[RUNS_REASON_BYTES];
    struct stage_run begun[2] = {stage_run_begin(STREAM_PATH, RUN_BODY, 1),
                                 stage_run_begin(STREAM_PATH, RUN_BODY, 1)};
    resize(1);
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_DRAINING);
    for (uint32_t i = 0; i < 2; i++)
        stage_run_end(&begun[i]);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPING);
    assert_int_equal(resize_to(3, reason), 0);
    stage_settle();
    assert_int_equal(stage.spawn_count, 2);
    for (uint32_t i = 0; i < 10 && stage.server->state != SERVER_STOPPED; i++) {
        workers_obey();
        stage_settle();
    }
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.spawn_count, 2);
}

static void who_lives_at_the_end_leaves_no_descriptor(void **state)
{
    scene_close(state);
    int fd_count = fds_count();
    two_open(state);
    (void)stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    resize(1);
    scene_close(state);
    assert_int_equal(fds_count(), fd_count);
    two_open(state);
}

#define ON(scene, name) cmocka_unit_test_setup_teardown(name, scene##_open, scene_close)

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        ON(one, more_workers_are_started_and_take_runs),
        ON(one, there_is_a_run_for_each_new_slot),
        ON(one, a_worker_that_does_not_start_is_tried_again),
        ON(one, one_without_runs_is_asked_to_stop_and_its_place_is_given_back),
        ON(two, one_with_a_run_finishes_it_and_takes_no_other),
        ON(two, one_that_dies_with_a_run_loses_it_and_is_not_followed),
        ON(two, one_that_does_not_stop_is_killed),
        ON(two, what_one_printed_last_is_read_before_its_place_is_given_back),
        ON(two, in_whatever_state_one_goes),
        ON(two, in_whatever_state_one_that_goes_may_be_wanted_again),
        ON(two, who_was_let_go_by_mistake_has_not_failed),
        ON(two, one_that_goes_with_a_run_is_followed_when_it_is_wanted_again),
        ON(two, one_whose_start_fails_while_it_goes_is_nobodys_failure),
        ON(two, without_a_spawner_one_that_is_being_made_goes_too),
        ON(two, without_hope_for_those_that_stay_the_pipeline_is_quarantined),
        ON(two, a_retry_is_said_of_those_that_stay),
        ON(two, without_users_for_all_of_them_there_are_no_more),
        ON(two, without_memory_for_all_of_them_nothing_changes),
        ON(two, a_server_that_stops_starts_nobody_and_waits_for_those_that_go),
        ON(two, who_lives_at_the_end_leaves_no_descriptor),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
