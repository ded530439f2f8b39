/* SPDX-License-Identifier: MIT */
/*
 * test_pipeline.c - which worker a run gets, how long it waits for one, and what it is told when
 * none will come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "dispatcher/runs/pipeline.h"
#include "tests/unit/shm/ring_memory.h"

#define FAILED_BODY(text) "\x93\x05\xa4" text "\xc0"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.worker_count = 2, .concurrency = 2, .queue_count_max = 3});
    return 0;
}

static struct pipeline *pipeline(void)
{
    return stage.server->runs.pipelines[0];
}

static uint32_t ask(void)
{
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, RUN_BODY, 1);
    return client;
}

static void expect_refusal(uint32_t client, unsigned status, const char *retry_after,
                           const char *state, const char *words)
{
    answer_to(client);
    assert_true(answer.complete);
    assert_int_equal(answer.status, status);
    assert_int_equal(strstr(answer.head_text, "\r\nRetry-After: ") != NULL, retry_after != NULL);
    if (retry_after)
        assert_non_null(strstr(answer.head_text, retry_after));
    assert_non_null(strstr(answer.lines[0], state));
    if (!strstr(answer.lines[0], words))
        fail_msg("no %s in %s", words, answer.lines[0]);
}

static uint32_t waiting_count(uint32_t worker)
{
    struct record record;
    uint32_t count = 0;
    while (stage_request(worker, &record))
        count += record.kind == RECORD_START;
    return count;
}

static void runs_go_to_the_worker_with_the_most_free_slots(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        ask();
        assert_int_equal(stage.server->fleet.workers[0]->active_count, (i + 2) / 2);
        assert_int_equal(stage.server->fleet.workers[1]->active_count, (i + 1) / 2);
    }
    assert_int_equal(waiting_count(0), 2);
    assert_int_equal(waiting_count(1), 2);
}

static void who_finds_no_slot_waits_and_is_served_in_order(void **state)
{
    (void)state;
    struct stage_run runs[4];
    uint32_t waiting[3];
    for (int i = 0; i < 4; i++)
        runs[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 3; i++)
        waiting[i] = ask();
    assert_int_equal(pipeline()->queue_count, 3);
    for (int i = 0; i < 3; i++) {
        stage_run_end(&runs[i]);
        stage_pass();
        struct stage_run next = {0};
        assert_true(stage_run_take(&next));
        const struct worker *worker = stage.server->fleet.workers[next.worker];
        const struct run *run = worker->slots[next.next.slot].run;
        assert_int_equal(stage_client_of(run), waiting[i]);
        assert_int_equal(pipeline()->queue_count, 2 - i);
    }
}

static void a_client_that_leaves_the_queue_leaves_a_whole_queue(void **state)
{
    (void)state;
    struct stage_run runs[4];
    uint32_t waiting[3];
    for (int i = 0; i < 4; i++)
        runs[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 3; i++)
        waiting[i] = ask();
    stage_hang_up(waiting[1]); /* from the middle, then the end, then what is left */
    stage_settle();
    assert_int_equal(pipeline()->queue_count, 2);
    stage_hang_up(waiting[2]);
    stage_settle();
    uint32_t last = ask();
    assert_int_equal(pipeline()->queue_count, 2);
    stage_hang_up(waiting[0]);
    stage_settle();
    assert_int_equal(stage_client_of(pipeline()->queue_first), last);
    assert_ptr_equal(pipeline()->queue_first, pipeline()->queue_last);
    stage_run_end(&runs[0]);
    stage_pass();
    assert_int_equal(pipeline()->queue_count, 0);
    assert_null(pipeline()->queue_first);
    assert_null(pipeline()->queue_last);
}

static void a_full_queue_refuses_and_says_when_to_come_again(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++)
        ask();
    assert_int_equal(pipeline()->queue_count, 3);
    expect_refusal(ask(), 429, "Retry-After: 1\r\n", "no_resources_available", "queue");
    assert_int_equal(pipeline()->tally->refusals[REFUSAL_QUEUE_FULL], 1);
}

static void the_time_to_come_again_is_measured(void **state)
{
    (void)state;
    pipeline()->service_ms = 20000;
    for (int i = 0; i < 7; i++)
        ask();
    /* Four places, twenty seconds each, the fourth in the queue. */
    expect_refusal(ask(), 429, "Retry-After: 20\r\n", "no_resources_available", "queue");
    pipeline()->service_ms = 1e9;
    expect_refusal(ask(), 429, "Retry-After: 60\r\n", "no_resources_available", "queue");
}

static void without_a_queue_a_free_slot_is_still_given(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.queue_count_max = 0;
    for (int i = 0; i < 4; i++)
        ask();
    assert_int_equal(stage.server->fleet.workers[0]->active_count, 2);
    assert_int_equal(stage.server->fleet.workers[1]->active_count, 2);
    expect_refusal(ask(), 429, "Retry-After: 1\r\n", "no_resources_available", "queue");
}

static void a_pipeline_that_loads_is_not_there_yet(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.no_hello = true});
    expect_refusal(ask(), 503, "Retry-After: 1\r\n", "no_resources_available",
                   "\"type\":\"pipeline_loading\"");
}

static void a_pipeline_that_does_not_start_says_why(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.no_hello = true});
    stage_message(0, MESSAGE_FAILED, FAILED_BODY("gone"), sizeof(FAILED_BODY("gone")) - 1);
    stage_pass();
    expect_refusal(ask(), 500, NULL, "\"failed\"",
                   "\"type\":\"startup_error\",\"message\":\"gone\"");
    stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
    stage_pass();
    expect_refusal(ask(), 500, NULL, "\"failed\"", "gone");
}

/* The worker dies and comes back, `count` times, and no run completes between. */
static void die(uint32_t worker, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stage_exit(worker, CLD_KILLED, SIGSEGV);
        stage_settle();
        if (i + 1 == count)
            return;
        stage_later(60000);
        stage_hello(worker);
        stage_settle();
    }
}

static void who_waits_for_a_worker_that_comes_back_is_served(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.queue_count_max = 3});
    die(0, 1);
    uint32_t client = ask();
    assert_int_equal(pipeline()->queue_count, 1);
    stage_later(60000 / 2);
    stage_hello(0);
    stage_settle();
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    assert_int_equal(answer_to(client)->line_count, 1);
}

static void nobody_waits_for_a_worker_that_fails_again_and_again(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.queue_count_max = 3});
    stage.config.keepalive_ms = 0; /* it would say 200 */
    die(0, 3);
    uint32_t client = ask();
    assert_int_equal(pipeline()->queue_count, 1);
    stage_later(60000 / 2);
    stage_exit(0, CLD_KILLED, SIGSEGV);
    expect_refusal(client, 503, "Retry-After: 1\r\n", "no_resources_available", "SIGSEGV");
    expect_refusal(ask(), 503, "Retry-After: 1\r\n", "no_resources_available", "SIGSEGV");
    assert_int_equal(pipeline()->state, PIPELINE_QUARANTINED);
}

static void expect_quarantine(uint32_t client)
{
    expect_refusal(client, 503, "Retry-After: ", "no_resources_available",
                   "the pipeline is quarantined: each of its workers died 4 times in a row without "
                   "finishing a run; the last time: the worker process was killed by signal 11");
}

static void revive(uint32_t worker)
{
    stage_later(60000);
    stage_hello(worker);
    stage_settle();
}

static void who_comes_back_in_quarantine_gets_one_run_at_a_time_to_prove_itself(void **state)
{
    (void)state;
    die(0, 4);
    die(1, 4);
    assert_int_equal(pipeline()->state, PIPELINE_QUARANTINED);
    revive(0);
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    expect_quarantine(ask()); /* although there is a free slot */
    stage_run_number(&run);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    for (int i = 0; i < 4; i++)
        ask();
    assert_int_equal(stage.server->fleet.workers[0]->active_count, 2);
    assert_int_equal(pipeline()->queue_count, 2);
}

static void a_run_that_fails_by_the_workers_own_word_proves_it_too(void **state)
{
    (void)state;
    die(0, 4);
    die(1, 4);
    revive(0);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_put(&run, RECORD_ERROR, 0, "\x93\x04\xa3why\xc0", 7);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    assert_int_equal(stage.server->fleet.workers[0]->death_streak, 0);
}

static void a_trial_that_goes_wrong_is_over(void **state)
{
    (void)state;
    die(0, 4);
    die(1, 4);
    revive(0);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_non_null(strstr(answer_to(run.client)->lines[0], "signal 11"));
    assert_int_equal(pipeline()->state, PIPELINE_QUARANTINED);
    expect_quarantine(ask());
}

static void a_worker_that_is_only_ready_ends_the_quarantine_until_the_next_death(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.quarantine_retry_ms = 20000;
    die(0, 4);
    die(1, 4);
    revive(0);
    stage_later(19999);
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    stage_later(1);
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    for (int i = 0; i < 3; i++)
        ask();
    stage_exit(1, CLD_KILLED, SIGSEGV); /* the other one starts in vain, and changes nothing */
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    assert_int_equal(pipeline()->queue_count, 1);
    die(0, 1);
    assert_int_equal(pipeline()->state, PIPELINE_QUARANTINED);
}

/* The trial of one worker is not over when another one has been ready for a moment. */
static void the_time_of_a_trial_is_that_of_one_worker(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.quarantine_retry_ms = 20000;
    die(0, 4);
    die(1, 4);
    revive(0);
    stage_later(15000);
    stage_hello(1);
    stage_settle();
    die(0, 1);
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    stage_later(19999);
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    stage_later(1);
    assert_int_equal(pipeline()->state, PIPELINE_READY);
}

/* One of them is always ready, and every run kills its worker. */
static void workers_that_take_turns_at_dying_are_quarantined_too(void **state)
{
    (void)state;
    uint32_t waiting[2];
    die(0, 4);
    die(1, 3);
    assert_int_equal(pipeline()->state, PIPELINE_RESTARTING);
    revive(0);
    assert_int_equal(pipeline()->state, PIPELINE_READY);
    for (int i = 0; i < 2; i++)
        stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (int i = 0; i < 2; i++)
        waiting[i] = ask();
    stage_exit(1, CLD_KILLED, SIGSEGV); /* it was starting */
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_TRIAL);
    for (int i = 0; i < 2; i++)
        expect_quarantine(waiting[i]);
}

static void all_workers_killed_at_once_are_no_reason_for_a_quarantine(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        stage_exit(0, CLD_KILLED, SIGKILL);
        stage_exit(1, CLD_KILLED, SIGKILL);
        stage_settle();
        assert_int_equal(pipeline()->state, PIPELINE_RESTARTING);
        revive(0);
        stage_hello(1);
        stage_settle();
        assert_int_equal(pipeline()->state, PIPELINE_READY);
    }
}

static void a_quarantined_pipeline_says_when_its_next_worker_comes(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.queue_count_max = 3});
    die(0, 10);
    /* 50 ms, doubled nine times, is 25.6 s. */
    expect_refusal(ask(), 503, "Retry-After: 26\r\n", "no_resources_available", "quarantined");
    stage_later(25000);
    expect_refusal(ask(), 503, "Retry-After: 1\r\n", "no_resources_available", "quarantined");
}

static void without_a_quarantine_who_waits_goes_on_waiting(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.queue_count_max = 3});
    stage.config.pipelines[0].options.quarantine_after = 0;
    die(0, 10);
    assert_int_equal(pipeline()->state, PIPELINE_RESTARTING);
    ask();
    assert_int_equal(pipeline()->queue_count, 1);
}

static void a_pipeline_that_crashes_at_every_start_is_quarantined(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.no_hello = true});
    for (int i = 0; i < 3; i++) {
        stage_exit(0, CLD_KILLED, SIGSEGV);
        stage_settle();
        expect_refusal(ask(), 500, NULL, "\"failed\"", "\"type\":\"startup_error\"");
        stage_later(60000);
    }
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    expect_quarantine(ask());
}

static void a_pipeline_that_says_why_it_does_not_start_is_failed_for_ever(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.no_hello = true});
    for (int i = 0; i < 10; i++) {
        stage_message(0, MESSAGE_FAILED, FAILED_BODY("gone"), sizeof(FAILED_BODY("gone")) - 1);
        stage_pass();
        stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
        stage_settle();
        assert_int_equal(pipeline()->state, PIPELINE_FAILED);
        stage_later(60000);
    }
    expect_refusal(ask(), 500, NULL, "\"failed\"", "gone");
    stage_hello(0);
    stage_settle();
    assert_int_equal(pipeline()->state, PIPELINE_READY);
}

/* Something it needs was taken away from under it. */
static void a_pipeline_that_was_ready_and_does_not_start_again_is_quarantined(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.queue_count_max = 3});
    die(0, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pipeline()->state, PIPELINE_RESTARTING);
        stage_later(60000);
        stage_message(0, MESSAGE_FAILED, FAILED_BODY("gone"), sizeof(FAILED_BODY("gone")) - 1);
        stage_pass();
        stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
        stage_settle();
    }
    expect_refusal(ask(), 503, "Retry-After: 1\r\n", "no_resources_available",
                   "\"type\":\"startup_error\"");
    expect_refusal(ask(), 503, "Retry-After: 1\r\n", "no_resources_available", "gone");
}

static void while_another_worker_is_ready_the_dead_one_is_not_missed(void **state)
{
    (void)state;
    die(0, 5);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(run.worker, 1);
    stage_run_end(&run);
    assert_int_equal(answer_to(run.client)->status, 200);
}

static void a_worker_with_a_broken_request_ring_costs_no_run(void **state)
{
    (void)state;
    atomic_store(&stage.workers[0].segment.request_ring->head, 12345);
    /* So full that the next claim looks at the head. */
    ring_tx_init(&stage.server->fleet.workers[0]->channel.requests,
                 stage.workers[0].segment.request_ring, RING_BYTES_MIN);
    uint32_t clients[3];
    for (int i = 0; i < 3; i++)
        clients[i] = ask();
    stage_settle();
    assert_int_equal(stage.workers[0].kill_count, 1);
    assert_int_equal(stage.server->fleet.workers[1]->active_count, 2);
    assert_int_equal(pipeline()->queue_count, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(stage.clients[clients[i]].count, 0);
}

/* The worker's process hangs, say. */
static void a_worker_without_room_is_left_out_until_it_has_some(void **state)
{
    (void)state;
    struct worker *full = stage.server->fleet.workers[0];
    void *room;
    while (ring_claim(&full->channel.requests, 256, &room) == 0)
        ring_commit(&full->channel.requests, &(struct record){.kind = RECORD_STOP, .bytes = 256});
    for (int i = 0; i < 3; i++)
        ask();
    stage_settle();
    assert_int_equal(stage.server->fleet.workers[1]->active_count, 2);
    assert_int_equal(pipeline()->queue_count, 1);
    assert_false(
        pipeline_can_offer(&stage.server->runs, pipeline())); /* nothing to stay awake for */
    atomic_store(&full->channel.requests.shared->head,
                 atomic_load(&full->channel.requests.shared->tail));
    assert_true(pipeline_can_offer(&stage.server->runs, pipeline()));
    stage_settle();
    assert_int_equal(full->active_count, 1);
    assert_int_equal(pipeline()->queue_count, 0);
}

static void a_stopping_server_refuses_what_waits_and_what_comes(void **state)
{
    (void)state;
    uint32_t clients[6], late = stage_connect();
    stage_say_bytes(late, "POST", 4); /* idle ones are closed */
    for (int i = 0; i < 6; i++)
        clients[i] = ask();
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(pipeline()->queue_count, 0);
    for (int i = 4; i < 6; i++)
        expect_refusal(clients[i], 503, "Retry-After: 5\r\n", "no_resources_available",
                       "the server is stopping");
    for (int i = 0; i < 4; i++)
        assert_int_equal(stage.clients[clients[i]].count, 0); /* they may finish */
}

static void a_run_waits_so_long_and_no_longer(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.queue_timeout_ms = 5000;
    stage.config.keepalive_ms = 0;
    for (int i = 0; i < 4; i++)
        ask();
    uint32_t client = ask();
    stage_later(4999);
    stage_settle();
    assert_int_equal(pipeline()->queue_count, 1);
    stage_later(1);
    expect_refusal(client, 504, NULL, "\"failed\"", "\"type\":\"timeout\"");
    assert_int_equal(pipeline()->queue_count, 0);
}

static void a_pipeline_is_found_by_its_pointer_and_its_id(void **state)
{
    (void)state;
    assert_ptr_equal(runs_find_pipeline(&stage.server->runs, "me/numbers:v1"), pipeline());
    assert_ptr_equal(
        runs_find_pipeline(&stage.server->runs, "pipeline_00000000000000000000000000000001"),
        pipeline());
    assert_null(runs_find_pipeline(&stage.server->runs, "me/numbers"));
    assert_null(runs_find_pipeline(&stage.server->runs, ""));
}

#define PIPELINE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        PIPELINE_TEST(runs_go_to_the_worker_with_the_most_free_slots),
        PIPELINE_TEST(who_finds_no_slot_waits_and_is_served_in_order),
        PIPELINE_TEST(a_client_that_leaves_the_queue_leaves_a_whole_queue),
        PIPELINE_TEST(a_full_queue_refuses_and_says_when_to_come_again),
        PIPELINE_TEST(the_time_to_come_again_is_measured),
        PIPELINE_TEST(without_a_queue_a_free_slot_is_still_given),
        PIPELINE_TEST(a_pipeline_that_loads_is_not_there_yet),
        PIPELINE_TEST(a_pipeline_that_does_not_start_says_why),
        PIPELINE_TEST(who_waits_for_a_worker_that_comes_back_is_served),
        PIPELINE_TEST(nobody_waits_for_a_worker_that_fails_again_and_again),
        PIPELINE_TEST(who_comes_back_in_quarantine_gets_one_run_at_a_time_to_prove_itself),
        PIPELINE_TEST(a_run_that_fails_by_the_workers_own_word_proves_it_too),
        PIPELINE_TEST(a_trial_that_goes_wrong_is_over),
        PIPELINE_TEST(a_worker_that_is_only_ready_ends_the_quarantine_until_the_next_death),
        PIPELINE_TEST(the_time_of_a_trial_is_that_of_one_worker),
        PIPELINE_TEST(workers_that_take_turns_at_dying_are_quarantined_too),
        PIPELINE_TEST(all_workers_killed_at_once_are_no_reason_for_a_quarantine),
        PIPELINE_TEST(a_quarantined_pipeline_says_when_its_next_worker_comes),
        PIPELINE_TEST(without_a_quarantine_who_waits_goes_on_waiting),
        PIPELINE_TEST(a_pipeline_that_crashes_at_every_start_is_quarantined),
        PIPELINE_TEST(a_pipeline_that_says_why_it_does_not_start_is_failed_for_ever),
        PIPELINE_TEST(a_pipeline_that_was_ready_and_does_not_start_again_is_quarantined),
        PIPELINE_TEST(while_another_worker_is_ready_the_dead_one_is_not_missed),
        PIPELINE_TEST(a_worker_with_a_broken_request_ring_costs_no_run),
        PIPELINE_TEST(a_worker_without_room_is_left_out_until_it_has_some),
        PIPELINE_TEST(a_stopping_server_refuses_what_waits_and_what_comes),
        PIPELINE_TEST(a_run_waits_so_long_and_no_longer),
        PIPELINE_TEST(a_pipeline_is_found_by_its_pointer_and_its_id),
    };
    return cmocka_run_group_tests_name("pipeline", tests, descriptors_note, descriptors_compare);
}
