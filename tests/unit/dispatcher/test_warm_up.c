/* SPDX-License-Identifier: MIT */
/*
 * test_warm_up.c - the run of nobody that a worker begins with, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static struct stage_run warm_up;

static struct worker *worker(void)
{
    return stage.server->fleet.workers[0];
}

static struct pipeline *pipeline(void)
{
    return stage.server->runs.pipelines[0];
}

/* Its worker has begun it. */
static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.no_hello = true});
    stage.config.pipelines[0].warm_up = "[]";
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_WARMING);
    warm_up = (struct stage_run){.worker = 0};
    assert_true(stage_run_take(&warm_up));
    return 0;
}

static void expect_killed(const char *why)
{
    assert_int_equal(worker()->state, WORKER_DYING);
    assert_int_equal(stage.workers[0].kill_count, 1);
    if (!strstr(worker()->kill_reason, why))
        fail_msg("killed, but for \"%s\"", worker()->kill_reason);
}

static void a_worker_is_ready_when_its_warm_up_is_over_and_not_before(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, "{\"inputs\":[],\"wait_for_resources\":true}", 1);
    stage_run_number(&warm_up);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_WARMING);
    assert_int_equal(worker_free_count(worker()), 0);
    assert_int_equal(pipeline()->queue_count, 1);
    stage_run_end(&warm_up);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    assert_int_equal(answer_to(client)->line_count, 1);
}

static void it_is_counted_nowhere_and_proves_nothing(void **state)
{
    (void)state;
    assert_int_equal(worker()->active_count, 0);
    stage_run_number(&warm_up);
    stage_run_end(&warm_up);
    stage_settle();
    const struct tally *tally = pipeline()->tally;
    assert_int_equal(tally->accepted_count + tally->active_count + tally->ends[0], 0);
    assert_int_equal(tally->line_count, 0);
    assert_int_equal(worker()->run_count, 0);
    assert_int_equal(worker()->failure_streak, 1); /* no run was brought to its end */
    assert_int_equal(stage.server->runs.count, 0);
}

static void the_time_for_its_start_begins_again_with_it_and_then_it_is_over(void **state)
{
    (void)state;
    uint32_t timeout_ms = stage.config.pipelines[0].options.start_timeout_ms;
    assert_string_equal(worker()->progress.text, "warm-up");
    stage_later(timeout_ms - 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
    stage_later(1);
    expect_killed("it was not ready in time: no progress for");
    expect_killed("at warm-up");
}

static void one_that_yields_for_ever_is_cut_and_the_worker_is_ready(void **state)
{
    (void)state;
    uint64_t charge = sizeof number_chunk + CHUNK_CHARGE_BYTES;
    for (uint64_t sent = 0; sent < 4 * (uint64_t)worker()->window_bytes; sent += charge) {
        stage_run_number(&warm_up); /* its window opens again with each */
        if (sent % (64 * charge) == 0)
            stage_settle();
    }
    stage_settle();
    stage_later(stage.config.pipelines[0].options.start_timeout_ms);
    assert_int_equal(stage_run_reason(&warm_up), CANCEL_DEADLINE);
    assert_int_equal(worker()->state, WORKER_WARMING);
    stage_run_number(&warm_up); /* was on its way */
    stage_run_end(&warm_up);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
    assert_int_equal(stage.workers[0].kill_count, 0);
}

static void one_that_is_cut_and_does_not_end_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_run_number(&warm_up);
    stage_settle();
    stage_later(stage.config.pipelines[0].options.start_timeout_ms);
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms);
    expect_killed("it was not ready in time");
}

static void one_that_fails_is_a_start_that_failed(void **state)
{
    (void)state;
    uint32_t before = stage.spawn_count;
    (void)!slot_move(stage_run_slot(&warm_up), warm_up.next.generation, SLOT_RUNNING, SLOT_ENDED);
    stage_run_put(&warm_up, RECORD_ERROR, 0, "\x93\x01\xa3why\xa5where", 12);
    stage_settle();
    expect_killed("its warm-up failed");
    assert_string_equal(pipeline()->failure, "the warm-up failed: why");
    assert_int_equal(pipeline()->state, PIPELINE_FAILED);
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(worker()->end, WORKER_END_FAILED);
    assert_string_equal(pipeline()->failure, "the warm-up failed: why");
    stage_later(WORKER_BACKOFF_MS_MIN - 1);
    assert_int_equal(stage.spawn_count, before);
    stage_later(1);
    assert_int_equal(stage.spawn_count, before + 1);
}

static void an_error_in_fragments_is_read_whole(void **state)
{
    (void)state;
    static const uint8_t error[] = "\x93\x01\xa6whyyyy\xc0";
    stage_run_put(&warm_up, RECORD_ERROR, RECORD_MORE, error, 4);
    stage_run_put(&warm_up, RECORD_ERROR, 0, error + 4, sizeof error - 1 - 4);
    stage_settle();
    assert_string_equal(pipeline()->failure, "the warm-up failed: whyyyy");
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
}

static void one_that_dies_in_it_has_not_started(void **state)
{
    (void)state;
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_FAILED);
    assert_int_equal(worker()->death_streak, 1);
    stage_later(WORKER_BACKOFF_MS_MIN);
    stage_hello(0); /* the next process begins with it, too */
    stage_settle();
    assert_int_equal(worker()->state, WORKER_WARMING);
    assert_true(stage_run_take(&warm_up));
    stage_run_end(&warm_up);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
}

static void inputs_that_it_does_not_take_are_told_at_hello(void **state)
{
    (void)state;
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MIN);
    stage.config.pipelines[0].warm_up = "[{\"type\":\"integer\",\"value\":1}]";
    stage_hello(0);
    stage_settle();
    expect_killed("it cannot warm up with the inputs for that");
    assert_string_equal(pipeline()->failure,
                        "the warm-up failed: the pipeline takes 0 inputs, got 1");
}

static void a_stop_does_not_wait_for_it(void **state)
{
    (void)state;
    supervisor_stop_idle(&stage.server->fleet);
    expect_killed("the server is stopping");
}

static void nothing_else_has_its_slot(void **state)
{
    (void)state;
    struct record record = warm_up.next;
    record.kind = RECORD_END;
    record.generation++;
    assert_true(stage_put(0, record, NULL));
    stage_settle();
    expect_killed("it sent a record of no run");
}

static void what_is_out_of_order_in_it_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_run_put(&warm_up, RECORD_CHUNK, RECORD_MORE, number_chunk, sizeof number_chunk);
    stage_run_put(&warm_up, RECORD_END, 0, NULL, 0);
    stage_settle();
    expect_killed("it sent another record inside a value");
}

static void a_second_end_is_of_no_run(void **state)
{
    (void)state;
    struct record record = warm_up.next;
    stage_run_end(&warm_up);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
    record.kind = RECORD_END;
    assert_true(stage_put(0, record, NULL));
    stage_settle();
    expect_killed("it sent a record of no run");
}

static void a_file_of_it_is_taken_for_sent(void **state)
{
    (void)state;
    struct {
        struct message header;
        struct message_file file;
    } told = {.header = {.magic = MESSAGE_MAGIC,
                         .version = PROTOCOL_VERSION,
                         .kind = MESSAGE_FILE,
                         .bytes = sizeof told.file,
                         .slot = warm_up.next.slot,
                         .generation = warm_up.next.generation},
              .file = {.number = 0, .bytes = 4}};
    struct record answered;
    assert_int_equal(send(stage.workers[0].socket, &told, sizeof told, MSG_DONTWAIT), sizeof told);
    stage_event(
        (struct uring_event){.ref = stage.workers[0].on_socket, .result = POLLIN, .more = true});
    stage_settle();
    assert_true(stage_request(0, &answered));
    assert_int_equal(answered.kind, RECORD_FILE);
    assert_int_equal(answered.bytes, sizeof(struct file_record)); /* no reason: it is there */
    stage_run_end(&warm_up);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
}

int main(void)
{
    alarm(60);
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        SCENE(a_worker_is_ready_when_its_warm_up_is_over_and_not_before),
        SCENE(it_is_counted_nowhere_and_proves_nothing),
        SCENE(the_time_for_its_start_begins_again_with_it_and_then_it_is_over),
        SCENE(one_that_yields_for_ever_is_cut_and_the_worker_is_ready),
        SCENE(one_that_is_cut_and_does_not_end_costs_the_worker_its_life),
        SCENE(one_that_fails_is_a_start_that_failed),
        SCENE(an_error_in_fragments_is_read_whole),
        SCENE(one_that_dies_in_it_has_not_started),
        SCENE(inputs_that_it_does_not_take_are_told_at_hello),
        SCENE(a_stop_does_not_wait_for_it),
        SCENE(nothing_else_has_its_slot),
        SCENE(what_is_out_of_order_in_it_costs_the_worker_its_life),
        SCENE(a_second_end_is_of_no_run),
        SCENE(a_file_of_it_is_taken_for_sent),
    };
    return cmocka_run_group_tests_name("warm_up", tests, descriptors_note, descriptors_compare);
}
