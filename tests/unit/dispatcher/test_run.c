/* SPDX-License-Identifier: MIT */
/*
 * test_run.c - runs that do not simply end: clients that leave, cancellations, limits, workers that
 * do not let go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/shm/slot_view.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 2});
    return 0;
}

static struct stage_run begin(void)
{
    return stage_run_begin(STREAM_PATH, RUN_BODY, 1);
}

/* DELETE of a run by its id; the client that asked. */
static uint32_t delete_run(const char *id)
{
    char text[128];
    uint32_t client = stage_connect();
    int count = snprintf(text, sizeof(text), "DELETE /v4/runs/%s HTTP/1.1\r\nHost: a\r\n\r\n", id);
    stage_say_bytes(client, text, (size_t)count);
    stage_settle();
    return client;
}

static void a_client_that_leaves_cancels_its_run_and_nothing_is_written(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_hang_up(run.client);
    stage_settle();
    assert_int_equal(stage_run_reason(&run), CANCEL_CLIENT_GONE);
    assert_int_equal(stage_run_of(&run)->state, RUN_CANCELLING);
    assert_true(stage_is_closed(run.client));
    stage_run_number(&run); /* made before the worker saw it */
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
    assert_int_equal(stage.server->fleet.workers[0]->free_count, 2);
    assert_int_equal(stage.server->runs.pipelines[0]->tally->cancels[CANCEL_CLIENT_GONE], 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
}

static void a_send_that_fails_is_a_client_that_left(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_run_number(&run);
    stage_pass();
    stage_sent(run.client, -ECONNRESET);
    stage_settle();
    assert_int_equal(stage_run_reason(&run), CANCEL_CLIENT_GONE);
}

static void a_client_that_stops_reading_has_its_run_cancelled(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_run_number(&run);
    stage_pass();
    assert_true(stage_sending_bytes(run.client) > 0);
    stage_later(stage.config.stall_timeout_ms - 1);
    assert_int_equal(stage_run_reason(&run), CANCEL_NONE);
    stage_later(1);
    stage_pass();
    assert_int_equal(stage_run_reason(&run), CANCEL_STALLED);
    stage_sent(run.client, -EPIPE); /* the socket was shut down */
    stage_settle();
    assert_true(stage_is_closed(run.client));
}

static void a_cancelled_run_ends_with_a_line_that_says_so(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_run_number(&run);
    stage_settle();
    uint32_t other = delete_run(stage_run_of(&run)->id);
    assert_int_equal(answer_to(other)->status, 200);
    assert_int_equal(stage_run_reason(&run), CANCEL_REQUESTED);
    answer_to(run.client);
    assert_true(answer.complete);
    assert_int_equal(answer.line_count, 2);
    assert_non_null(strstr(answer.lines[1], "\"error\":{\"type\":\"unknown\",\"message\":"));
}

static void a_run_that_nobody_looked_at_yet_never_starts(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    struct record start;
    stage_say(client, STREAM_PATH, RUN_BODY, 1);
    stage_hang_up(client);
    stage_settle();
    assert_true(stage_request(0, &start));
    struct slot_shared *slot = &stage.workers[0].segment.slots[start.slot];
    assert_false(slot_move(slot, start.generation, SLOT_OFFERED, SLOT_RUNNING));
    assert_true(slot_move(slot, start.generation, SLOT_REVOKED, SLOT_ENDED));
    struct record end = {.kind = RECORD_END, .slot = start.slot, .generation = start.generation};
    assert_true(stage_put(0, end, NULL));
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
}

static void cancelling_twice_is_cancelling_once(void **state)
{
    (void)state;
    struct stage_run run = begin();
    char id[RUN_ID_BYTES];
    memcpy(id, stage_run_of(&run)->id, sizeof(id));
    delete_run(id);
    delete_run(id);
    stage_hang_up(run.client);
    stage_settle();
    assert_int_equal(stage_run_reason(&run), CANCEL_REQUESTED);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
    uint64_t cancelled = 0;
    for (int i = 0; i < CANCEL_REASON_COUNT; i++)
        cancelled += stage.server->runs.pipelines[0]->tally->cancels[i];
    assert_int_equal(cancelled, 1);
}

static void a_run_that_does_not_let_go_costs_its_worker_and_the_others_on_it(void **state)
{
    (void)state;
    struct stage_run stuck = begin(), other = begin();
    stage_run_number(&other);
    stage_settle();
    stage_hang_up(stuck.client);
    stage_settle();
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms - 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
    stage_later(1);
    assert_int_equal(stage.workers[0].kill_count, 1);
    /* It was asked where it hangs, and is not gone: once more, and that is all. */
    stage_later(1000);
    assert_int_equal(stage.workers[0].kill_count, 2);
    stage_later(99000);
    assert_int_equal(stage.workers[0].kill_count, 2);
    stage_exit(0, CLD_KILLED, SIGKILL);
    answer_to(other.client);
    assert_true(answer.complete);
    assert_int_equal(answer.line_count, 2);
    assert_non_null(strstr(answer.lines[1], "did not end within the grace time"));
    assert_int_equal(stage.server->runs.count, 0);
}

static void an_error_after_a_cancellation_only_frees_the_slot(void **state)
{
    (void)state;
    struct stage_run run = begin();
    delete_run(stage_run_of(&run)->id);
    size_t count = stage.clients[run.client].count;
    stage_run_put(&run, RECORD_ERROR, 0, "\x93\x04\xa1x\xc0", 5);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, count);
    assert_int_equal(stage.server->runs.count, 0);
}

static void a_worker_that_dies_while_it_cancels_only_frees_the_slot(void **state)
{
    (void)state;
    struct stage_run run = begin();
    delete_run(stage_run_of(&run)->id);
    size_t count = stage.clients[run.client].count;
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, count);
    assert_int_equal(stage.server->runs.count, 0);
}

static void a_limit_on_the_first_chunk_ends_the_run(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.first_chunk_timeout_ms = 3000;
    stage.config.keepalive_ms = 0;
    struct stage_run slow = begin(), quick = begin();
    stage_run_number(&quick);
    stage_later(2999);
    assert_int_equal(stage_run_reason(&slow), CANCEL_NONE);
    stage_later(1);
    assert_int_equal(stage_run_reason(&slow), CANCEL_DEADLINE);
    assert_int_equal(stage_run_reason(&quick), CANCEL_NONE);
    assert_int_equal(answer_to(slow.client)->status, 504);
    assert_non_null(strstr(answer.lines[0], "\"type\":\"timeout\""));
}

static void a_run_without_progress_is_ended_and_one_with_progress_is_not(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.progress_timeout_ms = 3000;
    struct stage_run still = begin(), busy = begin();
    for (int i = 0; i < 3; i++) {
        stage_run_number(&busy);
        stage_settle();
        stage_later(1500);
        stage_settle();
    }
    assert_int_equal(stage_run_reason(&still), CANCEL_DEADLINE);
    assert_int_equal(stage_run_reason(&busy), CANCEL_NONE);
}

/* A run whose worker said "nothing before then" so long ago. */
static struct stage_run begin_stamped(uint64_t stamp_ns)
{
    stage.config.pipelines[0].options.progress_timeout_ms = 1000;
    struct stage_run run = begin();
    slot_progress(stage_run_slot(&run), stamp_ns);
    stage_later(1000);
    stage_pass();
    return run;
}

static void a_run_may_say_that_it_has_nothing_for_an_hour_and_no_more(void **state)
{
    (void)state;
    uint64_t hour_ns = RUN_LATER_MS_MAX * UINT64_C(1000000);
    struct stage_run run = begin_stamped(stage.now_ns + hour_ns);
    assert_int_equal(stage_run_reason(&run), CANCEL_NONE);
    stage_later(RUN_LATER_MS_MAX - 1);
    stage_pass();
    assert_int_equal(stage_run_reason(&run), CANCEL_NONE);
    stage_later(1);
    stage_pass();
    assert_int_equal(stage_run_reason(&run), CANCEL_DEADLINE);
    assert_int_equal(stage.workers[0].kill_count, 0);
}

static void
a_stamp_out_of_the_future_ends_the_run_in_time_and_costs_the_worker_its_life(void **state)
{
    (void)state;
    static const uint64_t stamps_ns[] = {UINT64_C(1) << 62, UINT64_MAX,
                                         UINT64_C(3700) * 1000000000};
    for (size_t i = 0; i < ARRAY_COUNT(stamps_ns); i++) {
        stage_close();
        stage_open(&(struct stage_options){.concurrency = 2});
        struct stage_run run = begin_stamped(stamps_ns[i]);
        assert_true(answer_to(run.client)->complete);
        assert_int_equal(answer.status, 504);
        assert_non_null(strstr(answer.lines[0], "the run made no progress for 1 s"));
        assert_int_equal(stage.workers[0].kill_count, 1);
        assert_non_null(strstr(stage.server->fleet.workers[0]->kill_reason, "out of the future"));
        stage_exit(0, CLD_KILLED, SIGKILL);
        stage_settle();
        assert_int_equal(stage.server->runs.count, 0);
    }
}

static void the_stamp_of_a_slots_former_run_is_not_the_next_ones(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.progress_timeout_ms = 1000;
    struct stage_run run = begin();
    slot_progress(stage_run_slot(&run), stage.now_ns + UINT64_C(1800) * 1000000000);
    stage_run_end(&run);
    stage_settle();
    run = begin(); /* and its worker hangs before it stamps */
    stage_later(1000);
    stage_pass();
    assert_int_equal(stage_run_reason(&run), CANCEL_DEADLINE);
}

static void a_run_may_take_so_long_in_all(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.run_timeout_ms = 4000;
    struct stage_run run = begin();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(stage_run_reason(&run), CANCEL_NONE);
        stage_run_number(&run);
        stage_settle();
        stage_later(1000);
    }
    stage_settle();
    assert_int_equal(stage_run_reason(&run), CANCEL_DEADLINE);
    assert_true(answer_to(run.client)->complete);
}

static void a_slot_is_used_again_under_another_generation(void **state)
{
    (void)state;
    uint32_t generations[2] = {0, 0};
    for (int i = 0; i < 10; i++) {
        struct stage_run run = begin();
        assert_true(run.next.generation != generations[run.next.slot]);
        generations[run.next.slot] = run.next.generation;
        stage_run_end(&run);
        stage_settle();
        struct slot_view view = slot_load(stage_run_slot(&run));
        assert_int_equal(view.state, SLOT_FREE);
    }
    assert_int_equal(stage.server->fleet.workers[0]->free_count, 2);
}

static void only_the_slot_that_was_freed_is_given_again(void **state)
{
    (void)state;
    struct stage_run first = begin(), second = begin();
    uint16_t freed = first.next.slot;
    assert_true(second.next.slot != freed);
    stage_run_end(&first);
    stage_settle();
    struct stage_run third = begin();
    assert_int_equal(third.next.slot, freed);
    stage_run_number(&second);
    stage_run_end(&second);
    stage_run_end(&third);
    assert_int_equal(answer_to(second.client)->line_count, 1);
    assert_int_equal(answer_to(third.client)->line_count, 0);
}

static void a_run_is_found_while_it_lives_and_kept_when_it_is_over(void **state)
{
    (void)state;
    char id[RUN_ID_BYTES];
    struct stage_run run = begin();
    memcpy(id, stage_run_of(&run)->id, sizeof(id));
    assert_ptr_equal(run_find(&stage.server->runs, 0, id), stage_run_of(&run));
    assert_null(run_find(&stage.server->runs, 0, "run_00000000000000000000000000000000"));
    assert_null(run_find(&stage.server->runs, 0, ""));
    stage_run_number(&run);
    stage_run_end(&run);
    stage_settle();
    assert_null(run_find(&stage.server->runs, 0, id));
    const struct history_entry *entry = history_find(&stage.server->runs.history, 0, id);
    assert_non_null(entry);
    assert_int_equal(entry->line_count, 1);
    assert_false(entry->failed);
}

/* Those that are queued or active, newest first; the others are over, whatever their workers do. */
static void live_runs_are_listed_newest_first_and_others_are_not(void **state)
{
    (void)state;
    struct run *expected[6];
    struct stage_run active[2];
    uint32_t waiting[4];
    for (int i = 0; i < 2; i++) {
        active[i] = begin();
        expected[i] = stage_run_of(&active[i]);
    }
    for (int i = 0; i < 4; i++) {
        waiting[i] = stage_connect();
        stage_say(waiting[i], STREAM_PATH, RUN_BODY, 1);
        expected[2 + i] = stage.server->runs.newest[0];
        assert_int_equal(pipeline_queue_position(stage.server->runs.pipelines[0], expected[2 + i]),
                         i);
    }
    const struct run *at = stage.server->runs.newest[0];
    for (int i = 6; i-- > 0; at = at->older)
        assert_ptr_equal(at, expected[i]);
    assert_null(at);
    stage_hang_up(waiting[1]);       /* forgotten */
    stage_hang_up(active[1].client); /* being cancelled: answered, and still on its slot */
    stage_settle();
    assert_int_equal(expected[1]->state, RUN_CANCELLING);
    assert_null(run_find(&stage.server->runs, 0, expected[1]->id));
    const struct run *left[] = {expected[5], expected[4], expected[2], expected[0]};
    at = stage.server->runs.newest[0];
    for (size_t i = 0; i < ARRAY_COUNT(left); i++, at = at->older)
        assert_ptr_equal(at, left[i]);
    assert_null(at);
    assert_int_equal(pipeline_queue_position(stage.server->runs.pipelines[0], expected[2]), 0);
    assert_int_equal(pipeline_queue_position(stage.server->runs.pipelines[0], expected[4]), 1);
    assert_int_equal(pipeline_queue_position(stage.server->runs.pipelines[0], expected[5]), 2);
    for (size_t i = 0; i < ARRAY_COUNT(left); i++)
        assert_ptr_equal(run_find(&stage.server->runs, 0, left[i]->id), left[i]);
}

static void more_runs_than_there_can_be_are_refused(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.queue_count_max = 2});
    uint32_t clients[STAGE_CLIENT_COUNT_MAX];
    unsigned refused = 0;
    for (uint32_t i = 0; i < STAGE_CLIENT_COUNT_MAX; i++) {
        clients[i] = stage_connect();
        stage_say(clients[i], STREAM_PATH, RUN_BODY, 1);
    }
    stage_settle();
    for (uint32_t i = 0; i < STAGE_CLIENT_COUNT_MAX; i++)
        refused += stage.clients[clients[i]].count > 0;
    assert_int_equal(refused, STAGE_CLIENT_COUNT_MAX - 3);
    assert_int_equal(stage.server->runs.count, 3);
}

/* Takes all output memory away; what there was. */
static struct out_pool memory_take(void)
{
    struct out_pool *pool = &stage.server->front.out, before = *pool;
    pool->free = NULL;
    pool->free_count = 0;
    pool->block_count_max = pool->block_count;
    return before;
}

static void without_memory_for_an_answer_its_connection_is_closed(void **state)
{
    (void)state;
    static const char *const paths[] = {STREAM_PATH, RESULT_PATH};
    stage.config.keepalive_ms = 1000;
    for (size_t i = 0; i < 2 * ARRAY_COUNT(paths); i++) {
        struct stage_run run = stage_run_begin(paths[i / 2], RUN_BODY, 1);
        struct out_pool before = memory_take();
        if (i % 2 == 0)
            stage_run_end(&run);
        else
            stage_run_put(&run, RECORD_ERROR, 0, "\x93\x04\xa1x\xc0", 5);
        stage_settle();
        assert_true(stage_is_closed(run.client));
        assert_int_equal(stage.clients[run.client].count, 0);
        assert_int_equal(stage.server->runs.count, 0);
        stage.server->front.out = before;
    }
}

static void without_memory_for_a_keep_alive_its_run_is_cancelled(void **state)
{
    (void)state;
    stage.config.keepalive_ms = 1000;
    struct stage_run run = begin();
    struct out_pool before = memory_take();
    stage_later(1000);
    stage_settle();
    assert_true(stage_is_closed(run.client));
    assert_true(stage_run_reason(&run) != CANCEL_NONE);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
    stage.server->front.out = before;
}

#define RUN_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        RUN_TEST(a_client_that_leaves_cancels_its_run_and_nothing_is_written),
        RUN_TEST(a_send_that_fails_is_a_client_that_left),
        RUN_TEST(a_client_that_stops_reading_has_its_run_cancelled),
        RUN_TEST(a_cancelled_run_ends_with_a_line_that_says_so),
        RUN_TEST(a_run_that_nobody_looked_at_yet_never_starts),
        RUN_TEST(cancelling_twice_is_cancelling_once),
        RUN_TEST(a_run_that_does_not_let_go_costs_its_worker_and_the_others_on_it),
        RUN_TEST(an_error_after_a_cancellation_only_frees_the_slot),
        RUN_TEST(a_worker_that_dies_while_it_cancels_only_frees_the_slot),
        RUN_TEST(a_limit_on_the_first_chunk_ends_the_run),
        RUN_TEST(a_run_without_progress_is_ended_and_one_with_progress_is_not),
        RUN_TEST(a_run_may_say_that_it_has_nothing_for_an_hour_and_no_more),
        RUN_TEST(a_stamp_out_of_the_future_ends_the_run_in_time_and_costs_the_worker_its_life),
        RUN_TEST(the_stamp_of_a_slots_former_run_is_not_the_next_ones),
        RUN_TEST(a_run_may_take_so_long_in_all),
        RUN_TEST(a_slot_is_used_again_under_another_generation),
        RUN_TEST(only_the_slot_that_was_freed_is_given_again),
        RUN_TEST(a_run_is_found_while_it_lives_and_kept_when_it_is_over),
        RUN_TEST(live_runs_are_listed_newest_first_and_others_are_not),
        RUN_TEST(more_runs_than_there_can_be_are_refused),
        RUN_TEST(without_memory_for_an_answer_its_connection_is_closed),
        RUN_TEST(without_memory_for_a_keep_alive_its_run_is_cancelled),
    };
    return cmocka_run_group_tests_name("run", tests, descriptors_note, descriptors_compare);
}
