/* SPDX-License-Identifier: MIT */
/*
 * test_scaled.c - pipelines with as many workers as their runs need, on the stage: what scaling.h
 * says is done, and nobody who waits is lost by it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/workers/renewal.h"
#include "tests/unit/dispatcher/fds.h"
#include "tests/unit/dispatcher/stage_pipelines.h"
#include "tests/unit/shm/ring_memory.h"

#define IDLE_MS WORKER_IDLE_TIMEOUT_MS
#define FAILED_WHY "\x93\x05\xa3why\xc0" /* msgpack of FAILED: it does not start, since "why" */

static int none_or_two_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.is_scaled = true, .worker_count = 2});
}

static int one_to_four_open(void **state)
{
    (void)state;
    return pool_open(
        &(struct stage_options){.is_scaled = true, .worker_count_min = 1, .worker_count = 4});
}

static struct pipeline *pipeline(void)
{
    return runs()->pipelines[0];
}

static uint32_t ask(void)
{
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, RUN_BODY, 1);
    stage_settle();
    return client;
}

static void say(uint32_t client, const char *text)
{
    stage_say_bytes(client, text, strlen(text));
}

/* It was not needed for the idle time, and is gone. */
static void falls_asleep(void)
{
    stage_later(IDLE_MS);
    workers_settle();
    server_check(stage.server);
    assert_int_equal(pipeline()->state, PIPELINE_IDLE);
    assert_int_equal(pool()->place_count, 0);
    assert_int_equal(supervisor_live_count(fleet()), 0);
}

static void ends_well(uint32_t client)
{
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(client)->complete);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
}

static void is_told(uint32_t client, unsigned status, const char *head, const char *text)
{
    assert_true(answer_to(client)->complete);
    assert_int_equal(answer.status, status);
    if (head)
        assert_non_null(strstr(answer.head_text, head));
    assert_non_null(strstr(answer.body, text));
}

/* ---- none ---- */

static void one_is_there_from_the_start_and_goes_when_nobody_came(void **state)
{
    (void)state;
    int fd_count = fds_count();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    assert_int_equal(pool_ready_count(pool()), 1);
    stage_later(IDLE_MS - 1);
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    falls_asleep();
    assert_true(fds_count() < fd_count);
    assert_int_equal(timers_of_others(), others);
    assert_int_equal(pipeline()->scale_timer.position, 0); /* there is nothing to decide */
    assert_int_equal(pipeline()->tally->scale_down_count, 1);
    stage_later(10 * IDLE_MS);
    assert_int_equal(stage.spawn_count, 1);
}

static void many_who_come_at_once_wake_one_and_all_are_served(void **state)
{
    (void)state;
    falls_asleep();
    uint32_t clients[5];
    for (uint32_t i = 0; i < 5; i++)
        clients[i] = ask();
    assert_int_equal(pipeline()->state, PIPELINE_WAKING);
    assert_int_equal(pipeline()->queue_count, 5);
    assert_int_equal(stage.spawn_count, 2);
    stage_later(400);
    stage_hello(0);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    for (uint32_t i = 0; i < 5; i++)
        ends_well(clients[i]);
    assert_int_equal(stage.spawn_count, 2);
    falls_asleep();
}

static void who_comes_while_the_last_one_goes_waits_for_the_next_one(void **state)
{
    (void)state;
    stage_later(IDLE_MS);
    assert_int_equal(pipeline()->state, PIPELINE_IDLE);
    assert_int_equal(worker(0)->state, WORKER_STOPPING);
    uint32_t client = ask();
    assert_int_equal(pipeline()->state, PIPELINE_WAKING);
    assert_int_equal(pipeline()->queue_count, 1);
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(stage.spawn_count, 2);
    stage_hello(0);
    stage_settle();
    ends_well(client);
    falls_asleep();
}

/* It died before, and has proved itself since by nothing but being ready. */
static void one_that_was_in_quarantine_once_is_not_in_it_again_for_going(void **state)
{
    worker(0)->death_streak = stage.config.options.quarantine_after;
    who_comes_while_the_last_one_goes_waits_for_the_next_one(state);
}

static void it_is_ready_while_it_sleeps_and_wakes(void **state)
{
    (void)state;
    static const char *const paths[] = {"/status", "/v4/container/state", "/v4/pipelines"};
    static const char *const words[2][3] = {
        {"\"status\":\"ok\"", "\"state\":\"loaded\"", "\"state\":\"idle\""},
        {"\"state\":\"waking\"", "\"state\":\"loaded\"", "\"state\":\"waking\""}};
    falls_asleep();
    for (uint32_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t client = stage_connect();
            char text[128];
            snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
            say(client, text);
            is_told(client, 200, NULL, words[k][i]);
            stage_hang_up(client);
        }
        ask();
    }
}

static void a_run_that_needs_its_worker_keeps_it(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (uint32_t i = 0; i < 6; i++) {
        stage_run_number(&run);
        stage_settle();
        stage_later(IDLE_MS / 2);
    }
    assert_int_equal(worker(0)->state, WORKER_READY);
    stage_run_end(&run);
    stage_settle();
    stage_later(IDLE_MS - 1);
    assert_int_equal(worker(0)->state, WORKER_READY);
    falls_asleep();
}

static void who_leaves_while_it_wakes_leaves_a_worker_that_goes_again(void **state)
{
    (void)state;
    falls_asleep();
    uint32_t client = ask();
    stage_hang_up(client);
    stage_settle();
    assert_int_equal(runs()->count, 0);
    stage_later(2 * IDLE_MS - 100); /* who starts is not killed for that */
    assert_int_equal(pipeline()->state, PIPELINE_WAKING);
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    stage_hello(0);
    stage_settle();
    falls_asleep();
}

/* ---- who cannot wait ---- */

static void without_a_queue_who_comes_is_told_when_to_come_again(void **state)
{
    (void)state;
    falls_asleep();
    stage.config.pipelines[0].options.queue_count_max = 0;
    pool()->start_ms = 6500;
    is_told(ask(), 503, "Retry-After: 7\r\n", "\"type\":\"pipeline_loading\"");
    assert_int_equal(pipeline()->state, PIPELINE_WAKING);
    is_told(ask(), 503, "Retry-After: 7\r\n", "\"state\":\"no_resources_available\"");
    assert_int_equal(stage.spawn_count, 2);
    assert_int_equal(pipeline()->tally->refusals[REFUSAL_NOT_READY], 2);
    stage_hello(0);
    stage_settle();
    ends_well(ask());
}

static void who_has_waited_as_long_as_it_may_is_told_the_same(void **state)
{
    (void)state;
    falls_asleep();
    stage.config.pipelines[0].options.queue_timeout_ms = 5000;
    uint32_t client = ask();
    stage_later(4999);
    assert_int_equal(pipeline()->queue_count, 1);
    stage_later(1);
    is_told(client, 503, "Retry-After: 1\r\n", "\"type\":\"pipeline_loading\"");
    assert_non_null(strstr(answer.body, "the run waited 5 s for a worker"));
    stage.config.pipelines[0].options.queue_timeout_ms = 0;
    client = stage_connect();
    say(client, "POST " STREAM_PATH " HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 2\r\n"
                "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n" RUN_BODY);
    stage_settle();
    stage_later(2000);
    is_told(client, 503, "Retry-After: 1\r\n", "\"type\":\"pipeline_loading\"");
}

/* ---- starts that fail ---- */

static void who_waits_is_told_why_it_did_not_start_and_who_comes_then_wakes_it_again(void **state)
{
    (void)state;
    falls_asleep();
    uint32_t clients[2] = {ask(), ask()};
    stage_message(0, MESSAGE_FAILED, FAILED_WHY, 7);
    stage_settle();
    for (uint32_t i = 0; i < 2; i++)
        is_told(clients[i], 500, NULL, "\"message\":\"why\"");
    stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_WAKING);
    uint32_t last = ask();
    assert_int_equal(pipeline()->queue_count, 1);
    stage_later(1000);
    stage_hello(0);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    assert_string_equal(pipeline()->failure, "");
    ends_well(last);
}

static void starts_that_fail_again_and_again_are_a_quarantine(void **state)
{
    (void)state;
    falls_asleep();
    for (uint32_t i = 0; i < WORKER_QUARANTINE_AFTER; i++) {
        uint32_t client = ask();
        assert_int_equal(pipeline()->state, PIPELINE_WAKING);
        stage_exit(0, CLD_KILLED, SIGSEGV);
        stage_settle();
        assert_true(answer_to(client)->complete);
        assert_non_null(strstr(answer.body, "\"type\":\"startup_error\""));
        stage_later(60000);
    }
    assert_int_equal(pipeline()->state, PIPELINE_QUARANTINED);
    is_told(ask(), 503, "Retry-After: ", "quarantined");
    /* It is tried on until it is known how that ends, and sleeps only then. */
    stage_hello(0);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    stage_later(WORKER_BACKOFF_MS_MAX);
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    falls_asleep();
}

/* ---- more, and fewer ---- */

/* The second waits as long as a start took, and is the reason for another worker. */
static void runs_that_wait_have_more_workers_started_and_none_after_the_most(void **state)
{
    (void)state;
    struct stage_run begun[8];
    uint32_t waiting = 0;
    pool()->start_ms = 200;
    begun[0] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (uint32_t i = 1; i < 8; i++)
        begun[i].client = ask();
    stage_later(199);
    assert_int_equal(pool()->worker_count, 1);
    stage_later(1);
    assert_int_equal(pool()->worker_count, 2);
    stage_later(1000); /* it is not there yet, so there is no other step */
    stage_later(1000);
    assert_int_equal(pool()->worker_count, 2);
    for (uint32_t wanted = 2; wanted < 4; wanted = pool()->worker_count) {
        workers_greet();
        stage_settle();
        stage_later(SCALING_START_MS_MAX / 2);
        stage_later(SCALING_START_MS_MAX / 2);
        assert_true(pool()->worker_count > wanted);
    }
    workers_greet();
    stage_settle();
    expect_workers(4, 0);
    for (uint32_t i = 1; i < 4; i++)
        assert_true(stage_run_take(&begun[i]));
    waiting = pipeline()->queue_count;
    assert_int_equal(waiting, 4);
    stage_later(60000);
    stage_later(60000);
    assert_int_equal(pool()->worker_count, 4);
    assert_true(pipeline()->tally->scale_up_count == 2 || pipeline()->tally->scale_up_count == 3);
}

static void a_surplus_worker_finishes_its_run(void **state)
{
    (void)state;
    char reason[RUNS_REASON_BYTES];
    assert_int_equal(runs_scale_pipeline(runs(), pipeline(), 3, 4, reason), 0);
    workers_settle();
    expect_workers(3, 0);
    struct stage_run begun[3];
    for (uint32_t i = 0; i < 3; i++)
        begun[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(runs_scale_pipeline(runs(), pipeline(), 1, 4, reason), 0);
    struct stage_run *last = &begun[2];
    assert_int_equal(last->worker, 2);
    stage_run_end(&begun[0]);
    stage_run_end(&begun[1]);
    stage_settle();
    stage_later(IDLE_MS / 2);
    stage_run_number(last);
    stage_settle();
    stage_later(IDLE_MS / 2);
    assert_int_equal(worker(2)->state, WORKER_RETIRING);
    assert_true(fleet()->is_shrinking);
    assert_false(fleet()->has_moved); /* places are not looked at with each of its lines */
    stage_run_number(last);
    stage_run_end(last);
    workers_settle();
    assert_true(answer_to(last->client)->complete);
    assert_null(strstr(answer.body, "error\":{"));
    expect_workers(1, 0);
}

/* ---- what else happens ---- */

static void bounds_that_are_said_by_hand_hold_and_wrong_ones_change_nothing(void **state)
{
    (void)state;
    char reason[RUNS_REASON_BYTES];
    static const uint32_t wrong[][2] = {{3, 2}, {0, 0}, {1, WORKER_COUNT_MAX + 1}};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(runs_scale_pipeline(runs(), pipeline(), wrong[i][0], wrong[i][1], reason),
                         -EINVAL);
        assert_int_equal(pipeline()->scaling.bounds.max, 4);
    }
    assert_int_equal(runs_scale_pipeline(runs(), pipeline(), 2, 2, reason), 0);
    workers_settle();
    expect_workers(2, 0);
    assert_int_equal(runs_scale_pipeline(runs(), pipeline(), 0, 2, reason), 0);
    falls_asleep();
    assert_int_equal(runs_scale_pipeline(runs(), pipeline(), 1, 2, reason), 0);
    assert_int_equal(pipeline()->state, PIPELINE_WAKING);
    workers_settle();
    expect_workers(1, 0);
}

static void another_configuration_keeps_how_many_there_are_if_it_may(void **state)
{
    (void)state;
    char reason[RUNS_REASON_BYTES];
    assert_int_equal(runs_scale_pipeline(runs(), pipeline(), 3, 3, reason), 0);
    workers_settle();
    stage.config.pipelines[0].options.workers = (struct cli_range){0, 4};
    assert_int_equal(runs_move_pipeline(runs(), pipeline(), &stage.config, 0, reason), 0);
    workers_settle();
    expect_workers(3, 0);
    assert_int_equal(stage.spawn_count, 3);
    stage.config.pipelines[0].options.workers = (struct cli_range){1, 2};
    assert_int_equal(runs_move_pipeline(runs(), pipeline(), &stage.config, 0, reason), 0);
    workers_settle();
    expect_workers(2, 0);
    stage.config.pipelines[0].options.workers = (struct cli_range){0, 2};
    assert_int_equal(runs_move_pipeline(runs(), pipeline(), &stage.config, 0, reason), 0);
    falls_asleep();
    stage.config.pipelines[0].options.workers = (struct cli_range){2, 2};
    assert_int_equal(runs_move_pipeline(runs(), pipeline(), &stage.config, 0, reason), 0);
    workers_settle();
    expect_workers(2, 0);
}

static void a_renewal_without_workers_is_done_at_once_and_one_with_some_goes_on(void **state)
{
    (void)state;
    falls_asleep();
    assert_int_equal(runs_renew(runs(), NULL), 0);
    stage_settle();
    assert_false(fleet()->renewal.is_on);
    uint32_t client = ask();
    stage_hello(0);
    stage_settle();
    ends_well(client);
    assert_int_equal(runs_renew(runs(), NULL), 0);
    stage_settle();
    assert_int_equal(pool()->place_count, 2);
    stage_later(IDLE_MS); /* in the middle of it nobody is needed any more */
    workers_settle();
    workers_settle();
    assert_false(fleet()->renewal.is_on);
    falls_asleep();
    assert_int_equal(timers_of_others(), others);
}

static void one_that_is_recycled_comes_back_and_goes_when_it_is_not_needed(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.recycle_run_count = 1;
    ends_well(ask());
    workers_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    assert_int_equal(stage.spawn_count, 2);
    falls_asleep();
}

static void a_server_that_drains_refuses_who_waits_and_waits_for_nobody_who_starts(void **state)
{
    (void)state;
    falls_asleep();
    uint32_t client = ask();
    assert_int_equal(worker(0)->state, WORKER_STARTING);
    server_stop(stage.server);
    is_told(client, 503, "Retry-After: 5\r\n", "the server is stopping");
    workers_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
}

static void one_that_is_removed_while_it_wakes_tells_who_waits(void **state)
{
    (void)state;
    falls_asleep();
    uint32_t client = ask();
    pipeline_remove(pipeline());
    is_told(client, 503, NULL, "the pipeline was removed");
    workers_settle();
    assert_int_equal(pipelines_leaving(), 0);
    assert_int_equal(places_count(), 0);
}

/* Runs of the one before go on where they wait, and that one wakes for them. */
static void one_that_is_followed_while_it_wakes_serves_who_waits_there(void **state)
{
    (void)state;
    struct pipeline *former = pipeline(), *next;
    char reason[RUNS_REASON_BYTES];
    falls_asleep();
    uint32_t client = ask();
    assert_int_equal(runs_prepare_pipeline(runs(), &stage.config, 0, &next, reason), 0);
    assert_int_equal(next->pool->worker_count, 1);
    supervisor_resize(fleet(), next->pool);
    runs_serve_pipeline(runs(), next);
    server_check(stage.server);
    stage_hello(0);
    stage_settle();
    assert_int_equal(former->state, PIPELINE_READY);
    ends_well(client);
    workers_settle();
    assert_int_equal(pipelines_leaving(), 0);
    expect_workers(1, 0);
}

#define TEST(name, open) cmocka_unit_test_setup_teardown(name, open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEST(one_is_there_from_the_start_and_goes_when_nobody_came, none_or_two_open),
        TEST(many_who_come_at_once_wake_one_and_all_are_served, none_or_two_open),
        TEST(who_comes_while_the_last_one_goes_waits_for_the_next_one, none_or_two_open),
        TEST(one_that_was_in_quarantine_once_is_not_in_it_again_for_going, none_or_two_open),
        TEST(it_is_ready_while_it_sleeps_and_wakes, none_or_two_open),
        TEST(a_run_that_needs_its_worker_keeps_it, none_or_two_open),
        TEST(who_leaves_while_it_wakes_leaves_a_worker_that_goes_again, none_or_two_open),
        TEST(without_a_queue_who_comes_is_told_when_to_come_again, none_or_two_open),
        TEST(who_has_waited_as_long_as_it_may_is_told_the_same, none_or_two_open),
        TEST(who_waits_is_told_why_it_did_not_start_and_who_comes_then_wakes_it_again,
             none_or_two_open),
        TEST(starts_that_fail_again_and_again_are_a_quarantine, none_or_two_open),
        TEST(runs_that_wait_have_more_workers_started_and_none_after_the_most, one_to_four_open),
        TEST(a_surplus_worker_finishes_its_run, one_to_four_open),
        TEST(bounds_that_are_said_by_hand_hold_and_wrong_ones_change_nothing, one_to_four_open),
        TEST(another_configuration_keeps_how_many_there_are_if_it_may, one_to_four_open),
        TEST(a_renewal_without_workers_is_done_at_once_and_one_with_some_goes_on, none_or_two_open),
        TEST(one_that_is_recycled_comes_back_and_goes_when_it_is_not_needed, none_or_two_open),
        TEST(a_server_that_drains_refuses_who_waits_and_waits_for_nobody_who_starts,
             none_or_two_open),
        TEST(one_that_is_removed_while_it_wakes_tells_who_waits, none_or_two_open),
        TEST(one_that_is_followed_while_it_wakes_serves_who_waits_there, none_or_two_open),
    };
    return cmocka_run_group_tests_name("scaled", tests, descriptors_note, descriptors_compare);
}
