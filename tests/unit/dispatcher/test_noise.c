/* SPDX-License-Identifier: MIT */
/*
 * test_noise.c - a worker that makes the loop work for nothing is paused for a moment, loses
 * nothing, and is the only one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/workers/output.h"
#include "shm/window.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.worker_count = 2, .reply_ring_bytes = 1u << 20});
    return 0;
}

static struct worker *worker_of(const struct stage_run *run)
{
    return stage.server->fleet.workers[run->worker];
}

/* Its bell rings, and the loop has a pass. */
static void ring(const struct stage_run *run, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        stage_event((struct uring_event){
            .ref = stage.workers[run->worker].on_bell, .result = POLLIN, .more = true});
    stage_pass();
}

static void ring_until_paused(const struct stage_run *run)
{
    for (uint32_t i = 0; !worker_of(run)->is_paused; i++) {
        assert_true(i <= NOISE_MAX / NOISE_BELL / 100);
        ring(run, 100);
    }
}

static void bells_for_nothing_pause_their_worker_and_no_other(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct stage_run other = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_not_equal(run.worker, other.worker);
    ring_until_paused(&run);
    assert_int_equal(stage.server->fleet.pause_count, 1);
    stage_run_number(&run);
    stage_run_number(&other);
    assert_int_equal(answer_to(other.client)->line_count, 1);
    assert_int_equal(answer_to(run.client)->status, 0);
    /* What it committed meanwhile comes when the window is over, though no bell rings again. */
    stage_later(NOISE_WINDOW_MS);
    assert_int_equal(answer_to(run.client)->line_count, 1);
    assert_false(worker_of(&run)->is_paused);
    assert_int_equal(stage.workers[run.worker].kill_count, 0);
}

static void a_worker_that_is_paused_is_polled_again_and_may_be_again(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 3; i++) {
        ring_until_paused(&run);
        stage_pass(); /* the polls say that they were ended */
        assert_int_equal(stage.workers[run.worker].on_bell.op, URING_NONE);
        uint32_t before = stage.workers[run.worker].poll_count;
        stage_later(NOISE_WINDOW_MS);
        assert_int_equal(stage.workers[run.worker].poll_count, before + 1); /* its socket, too */
        assert_int_equal(stage.workers[run.worker].on_bell.op, URING_BELL);
    }
    assert_int_equal(stage.server->fleet.pause_count, 3);
}

static void a_bell_for_each_record_never_pauses(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 5000; i++) {
        stage_run_number(&run);
        ring(&run, 1);
        stage_settle();
    }
    assert_int_equal(stage.server->fleet.pause_count, 0);
    assert_int_equal(answer_to(run.client)->line_count, 5000);
}

/* As many as the ring takes. */
static void put_logs(const struct stage_run *run, uint32_t count)
{
    static const uint8_t words[] = "\x92\x01\xa5"
                                   "hello";
    struct record record = {.kind = RECORD_LOG, .bytes = sizeof(words) - 1};
    for (uint32_t i = 0; i < count; i++)
        assert_true(stage_put(run->worker, record, words));
}

static void log_records_pause_their_worker_and_what_is_behind_them_still_comes(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    put_logs(&run, 20000);
    stage_run_number(&run);
    stage_settle();
    assert_true(worker_of(&run)->is_paused);
    uint64_t first = stage.server->fleet.record_count;
    assert_in_range(first, NOISE_MAX, NOISE_MAX + 2048);
    for (uint32_t windows = 0; worker_of(&run)->is_paused; windows++) {
        assert_true(windows < 4);
        stage_later(NOISE_WINDOW_MS);
        stage_settle();
    }
    assert_int_equal(answer_to(run.client)->line_count, 1);
}

static void large_log_records_count_for_more(void **state)
{
    static uint8_t words[8 * NOISE_RECORD_BYTES];
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct record record = {.kind = RECORD_LOG, .bytes = sizeof(words)};
    for (uint32_t count = 0; !worker_of(&run)->is_paused; count++) {
        assert_true(count <= NOISE_MAX / 9);
        assert_true(stage_put(run.worker, record, words));
        stage_settle();
    }
}

static void records_of_a_cancelled_run_and_crumbs_of_a_value_pause_their_worker(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_hang_up(run.client);
    stage_settle();
    /* An honest worker may have filled its window. */
    const uint64_t honest = WINDOW_PAIR_MAX *
                            (uint64_t)stage.config.pipelines[0].options.window_bytes /
                            (CHUNK_CHARGE_BYTES + sizeof(number_chunk));
    for (uint64_t i = 0; i < honest; i++) {
        stage_run_number(&run);
        if (i % 1000 == 999)
            stage_settle();
    }
    stage_settle();
    assert_false(worker_of(&run)->is_paused);
    for (uint32_t i = 0; i < NOISE_MAX + 10; i++)
        stage_run_number(&run);
    stage_settle();
    assert_true(worker_of(&run)->is_paused);
    struct stage_run other = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 10000; i++)
        stage_run_put(&other, RECORD_CHUNK, RECORD_MORE, NULL, 0);
    stage_settle();
    assert_true(worker_of(&other)->is_paused);
    assert_int_equal(stage.server->fleet.pause_count, 2);
}

static void a_paused_worker_that_ends_is_replaced_and_its_last_records_come(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    ring_until_paused(&run);
    stage_run_number(&run);
    stage_exit(run.worker, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_int_equal(answer_to(run.client)->line_count, 2);
    stage_later(NOISE_WINDOW_MS);
    stage_settle();
    assert_false(worker_of(&run)->is_paused);
}

static struct output_pipe *stdout_of(const struct stage_run *run)
{
    return &output_of(worker_of(run))->pipes[0];
}

/* A read brings as much as it can. */
static void print(const struct stage_run *run)
{
    struct output_pipe *pipe = stdout_of(run);
    uint32_t which = (worker_of(run)->generation & 1) * 2;
    memset(pipe->bytes, 'x', sizeof(pipe->bytes));
    stage_complete(&stage.workers[run->worker].on_pipe[which], sizeof(pipe->bytes));
    stage_pass();
}

static void what_is_printed_is_read_no_faster_than_its_share_and_goes_on(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 3; i++) {
        uint32_t reads = 0;
        for (; stdout_of(&run)->read_queued; reads++)
            print(&run);
        assert_in_range(reads, NOISE_MAX / NOISE_OUTPUT, NOISE_MAX / NOISE_OUTPUT + 1);
        stage_run_number(&run); /* its runs are served meanwhile */
        assert_int_equal(answer_to(run.client)->line_count, i + 1);
        stage_later(NOISE_WINDOW_MS);
        assert_true(stdout_of(&run)->read_queued);
    }
    assert_int_equal(stage.server->fleet.pause_count, 0);
}

static void what_was_printed_last_is_read_at_once_when_its_process_has_ended(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    while (stdout_of(&run)->read_queued)
        print(&run);
    struct output_pipe *pipe = stdout_of(&run);
    stage.pipes_are_held = true;
    stage_exit(run.worker, CLD_KILLED, SIGSEGV);
    stage_pass();
    assert_true(pipe->read_queued);
    stage.pipes_are_held = false;
    stage_later(1000);
    stage_settle();
}

#define NOISE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        NOISE_TEST(bells_for_nothing_pause_their_worker_and_no_other),
        NOISE_TEST(a_worker_that_is_paused_is_polled_again_and_may_be_again),
        NOISE_TEST(a_bell_for_each_record_never_pauses),
        NOISE_TEST(log_records_pause_their_worker_and_what_is_behind_them_still_comes),
        NOISE_TEST(large_log_records_count_for_more),
        NOISE_TEST(records_of_a_cancelled_run_and_crumbs_of_a_value_pause_their_worker),
        NOISE_TEST(a_paused_worker_that_ends_is_replaced_and_its_last_records_come),
        NOISE_TEST(what_is_printed_is_read_no_faster_than_its_share_and_goes_on),
        NOISE_TEST(what_was_printed_last_is_read_at_once_when_its_process_has_ended),
    };
    return cmocka_run_group_tests_name("noise", tests, descriptors_note, descriptors_compare);
}
