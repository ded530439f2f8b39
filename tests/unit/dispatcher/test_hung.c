/* SPDX-License-Identifier: MIT */
/*
 * test_hung.c - a worker that hangs is asked where, on the stage, and killed in any case.
 */
#include <setjmp.h>
#include <signal.h>
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

/* A client has left, and its run does not end. */
static void hang(void)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_hang_up(run.client);
    stage_settle();
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms);
    assert_int_equal(worker()->state, WORKER_DYING);
}

static void expect_killed(void)
{
    assert_int_equal(worker()->state, WORKER_DYING);
    assert_int_equal(stage.workers[0].kill_count, 1);
    assert_non_null(strstr(worker()->kill_reason, "did not end within the grace time"));
}

static void who_does_not_say_where_it_hangs_is_killed_half_a_second_later(void **state)
{
    (void)state;
    stage.workers[0].is_mute = true;
    hang();
    stage_later(499);
    assert_int_equal(stage.workers[0].kill_count, 0);
    stage_later(1);
    expect_killed();
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(worker()->crash.text_count, 0);
    assert_int_equal(worker()->end, WORKER_END_HUNG);
    stage_later(WORKER_BACKOFF_MS_MAX);
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
}

static void who_does_not_say_where_it_hangs_is_killed_with_a_server_that_leaves(void **state)
{
    (void)state;
    stage.workers[0].is_mute = true;
    hang();
    server_stop(stage.server);
    assert_int_equal(stage.workers[0].kill_count, 0);
    server_stop(stage.server);
    expect_killed();
}

static void what_a_worker_says_of_where_it_hangs_is_checked(void **state)
{
    (void)state;
    static const struct {
        uint32_t text_bytes;
        bool is_of_signal;
        size_t text_count;
    } reports[] = {{6, true, 6}, {0, true, 0}, {CRASH_TEXT_BYTES + 1, true, 0}, {6, false, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(reports); i++) {
        struct crash_shared *report = &stage.workers[0].segment.header->crash;
        hang();
        expect_killed();
        memcpy(report->text, "a.so+1", 6);
        report->text_bytes = reports[i].text_bytes;
        report->number = (uint32_t)(reports[i].is_of_signal ? WORKER_SIGNAL_WHERE : SIGSEGV);
        stage_exit(0, CLD_KILLED, SIGKILL);
        stage_settle();
        assert_int_equal(worker()->crash.text_count, reports[i].text_count);
        assert_memory_equal(worker()->crash.text, "a.so+1", reports[i].text_count);
        stage_later(WORKER_BACKOFF_MS_MAX);
        stage_hello(0);
        stage_settle();
    }
}

static void who_is_killed_for_what_it_did_is_not_asked_where_it_is(void **state)
{
    (void)state;
    stage.workers[0].is_mute = true;
    stage_message(0, MESSAGE_KIND_COUNT, NULL, 0);
    stage_pass();
    assert_int_equal(stage.workers[0].kill_count, 1);
}

#define HUNG_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        HUNG_TEST(who_does_not_say_where_it_hangs_is_killed_half_a_second_later),
        HUNG_TEST(who_does_not_say_where_it_hangs_is_killed_with_a_server_that_leaves),
        HUNG_TEST(what_a_worker_says_of_where_it_hangs_is_checked),
        HUNG_TEST(who_is_killed_for_what_it_did_is_not_asked_where_it_is),
    };
    return cmocka_run_group_tests_name("hung", tests, descriptors_note, descriptors_compare);
}
