/* SPDX-License-Identifier: MIT */
/*
 * test_loading.c - a pipeline that loads for the first time, on the stage: what those are told who
 * come meanwhile, and what becomes of runs that wait for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_run.h"
#include "tests/unit/shm/ring_memory.h"

#define WAIT_BODY "{\"inputs\":[],\"wait_for_resources\":true}"
#define WRONG_BODY "{\"inputs\":[{\"type\":\"integer\",\"value\":1}],\"wait_for_resources\":true}"
#define ASYNC_WRONG_BODY                                                                           \
    "{\"inputs\":[{\"type\":\"integer\",\"value\":1}],\"wait_for_resources\":true,"                \
    "\"async_run\":true}"
#define QUEUE_COUNT 100u
#define FAILED_WHY "\x93\x05\xa3why\xc0" /* msgpack of FAILED: it does not start, since "why" */
#define CLIENT_COUNT 14u

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){
        .no_hello = true, .queue_count_max = CLIENT_COUNT - 1, .is_scaled = true});
    return 0;
}

static int two_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.no_hello = true, .worker_count = 2});
    return 0;
}

static int many_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){
        .no_hello = true, .queue_count_max = QUEUE_COUNT, .is_scaled = true});
    return 0;
}

static struct pipeline *pipeline(void)
{
    return stage.server->runs.pipelines[0];
}

static uint32_t ask(const char *path, const char *body)
{
    uint32_t client = stage_connect();
    stage_say(client, path, body, 1);
    stage_settle();
    return client;
}

static void say_progress_of(uint32_t index, uint32_t permille, const char *text)
{
    struct message_progress head = {.permille = permille};
    char body[sizeof head + 64];
    memcpy(body, &head, sizeof head);
    memcpy(body + sizeof head, text, strlen(text));
    stage_message(index, MESSAGE_PROGRESS, body, sizeof head + strlen(text));
    stage_settle();
}

static void say_progress(uint32_t permille, const char *text)
{
    say_progress_of(0, permille, text);
}

static void is_told(uint32_t client, unsigned status, const char *head, const char *text)
{
    assert_true(answer_to(client)->complete);
    assert_int_equal(answer.status, status);
    if (head)
        assert_non_null(strstr(answer.head_text, head));
    if (!strstr(answer.body, text))
        fail_msg("told %s", answer.body);
}

static void ends_well(uint32_t client)
{
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(client)->complete);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.line_count, 1);
    assert_non_null(strstr(answer.lines[0], NUMBER_OUTPUTS));
}

/* ---- who does not wait ---- */

static void who_comes_is_told_how_far_it_is_and_when_to_come_again(void **state)
{
    (void)state;
    stage_later(41000);
    is_told(ask(STREAM_PATH, RUN_BODY), 503, "Retry-After: 1\r\n",
            "\"message\":\"pipeline me/numbers:v1 is loading (41 s)\"");
    say_progress(620, "loading shard 5 of 8");
    is_told(ask(RESULT_PATH, RUN_BODY), 503, "Retry-After: 26\r\n",
            "\"message\":\"pipeline me/numbers:v1 is loading: 62 %, loading shard 5 of 8 (41 s)\"");
    assert_non_null(strstr(answer.body, "\"type\":\"pipeline_loading\""));
    assert_non_null(strstr(answer.body, "\"state\":\"no_resources_available\""));
    assert_int_equal(pipeline()->tally->refusals[REFUSAL_NOT_READY], 2);
}

static void starts_that_were_measured_say_when_to_come_again(void **state)
{
    (void)state;
    pipeline()->pool->start_ms = 30500;
    is_told(ask(STREAM_PATH, RUN_BODY), 503, "Retry-After: 31\r\n", "pipeline_loading");
    stage_later(20000);
    is_told(ask(STREAM_PATH, RUN_BODY), 503, "Retry-After: 11\r\n", "pipeline_loading");
    stage_later(20000);
    is_told(ask(STREAM_PATH, RUN_BODY), 503, "Retry-After: 1\r\n", "pipeline_loading");
    pipeline()->pool->start_ms = 3600 * 1000;
    is_told(ask(STREAM_PATH, RUN_BODY), 503, "Retry-After: 60\r\n", "pipeline_loading");
    say_progress(500, "");
    is_told(ask(STREAM_PATH, RUN_BODY), 503, "Retry-After: 41\r\n", "is loading: 50 % (40 s)");
}

static void of_two_that_load_the_one_is_shown_that_is_to_be_ready_first(void **state)
{
    (void)state;
    stage_later(10000);
    say_progress_of(0, MESSAGE_PROGRESS_UNKNOWN, "looking for a device");
    is_told(ask(STREAM_PATH, RUN_BODY), 503, NULL, "is loading: looking for a device (10 s)");
    say_progress_of(1, 100, "second");
    is_told(ask(STREAM_PATH, RUN_BODY), 503, NULL, "is loading: 10 %, second (10 s)");
    say_progress_of(0, 200, "first");
    is_told(ask(STREAM_PATH, RUN_BODY), 503, NULL, "is loading: 20 %, first (10 s)");
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_ptr_equal(pool_first_starting(pipeline()->pool), stage.server->fleet.workers[1]);
}

/* ---- who waits ---- */

static void who_waits_gets_its_output_when_it_is_loaded(void **state)
{
    (void)state;
    uint32_t clients[2] = {ask(STREAM_PATH, WAIT_BODY), ask(RESULT_PATH, WAIT_BODY)};
    assert_int_equal(pipeline()->queue_count, 2);
    assert_true(pipeline()->queue_first->is_unread);
    stage_later(3000);
    stage_hello(0);
    stage_settle();
    assert_int_equal(pipeline()->queue_count, 1);
    ends_well(clients[0]);
    struct stage_run run = {.client = clients[1]};
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    is_told(clients[1], 200, NULL, "\"outputs\":[{\"type\":\"array\",\"value\":[7]");
}

static void who_waits_hears_that_it_is_not_forgotten(void **state)
{
    (void)state;
    uint32_t client = ask(STREAM_PATH, WAIT_BODY);
    stage_later(stage.config.keepalive_ms);
    assert_int_equal(answer_to(client)->status, 200);
    assert_false(answer.complete);
    stage_hello(0);
    stage_settle();
    ends_well(client);
}

/* Nobody knew it before. */
static void who_waits_with_wrong_inputs_is_told_so_when_it_is_loaded(void **state)
{
    (void)state;
    uint32_t wrong = ask(RESULT_PATH, WRONG_BODY), right = ask(STREAM_PATH, WAIT_BODY);
    stage_hello(0);
    is_told(wrong, 400, NULL, "\"message\":\"the pipeline takes 0 inputs, got 1\"");
    assert_non_null(strstr(answer.body, "\"type\":\"input_error\""));
    ends_well(right);
    assert_int_equal(stage.server->runs.count, 0);
    assert_int_equal(stage.server->input.bytes, 0);
}

static void who_waits_for_inputs_that_are_known_is_told_at_once(void **state)
{
    (void)state;
    stage_hello(0);
    stage_settle();
    pipeline()->state = PIPELINE_LOADING;
    is_told(ask(RESULT_PATH, WRONG_BODY), 400, NULL, "input_error");
    pipeline()->state = PIPELINE_READY;
}

static void a_client_that_leaves_takes_its_run_and_the_load_goes_on(void **state)
{
    (void)state;
    uint32_t client = ask(STREAM_PATH, WAIT_BODY);
    stage_later(10000);
    stage_hang_up(client);
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
    assert_int_equal(stage.server->input.bytes, 0);
    stage_later(100000);
    assert_int_equal(stage.workers[0].kill_count, 0);
    assert_int_equal(pipeline()->state, PIPELINE_LOADING);
    uint32_t next = ask(STREAM_PATH, WAIT_BODY);
    stage_hello(0);
    stage_settle();
    assert_int_equal(stage.spawn_count, 1);
    ends_well(next);
}

static void who_waits_is_told_why_it_did_not_load(void **state)
{
    (void)state;
    uint32_t client = ask(STREAM_PATH, WAIT_BODY);
    stage_message(0, MESSAGE_FAILED, FAILED_WHY, 7);
    is_told(client, 500, NULL, "\"message\":\"why\"");
    assert_int_equal(pipeline()->state, PIPELINE_FAILED);
    is_told(ask(STREAM_PATH, WAIT_BODY), 500, NULL, "\"message\":\"why\"");
}

static void who_waits_is_told_where_the_load_stopped(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.queue_timeout_ms = 0;
    uint32_t client = ask(RESULT_PATH, WAIT_BODY);
    say_progress(620, "loading shard 5 of 8");
    stage_later(stage.config.pipelines[0].options.start_timeout_ms);
    assert_int_equal(stage.workers[0].kill_count, 1);
    stage_exit(0, CLD_KILLED, WORKER_SIGNAL_WHERE);
    is_told(client, 500, NULL,
            "it was not ready in time: no progress for 600 s, at 62 %, loading shard 5 of 8");
}

static void who_may_not_wait_so_long_is_told_how_far_it_is(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.queue_timeout_ms = 5000;
    uint32_t client = ask(STREAM_PATH, WAIT_BODY);
    say_progress(250, "");
    stage_later(5000);
    is_told(client, 503, "Retry-After: ",
            "the run waited 5 s for a worker, its limit; it never started; the pipeline is being "
            "started: 25 % (5 s)");
    assert_non_null(strstr(answer.body, "\"type\":\"pipeline_loading\""));
    assert_int_equal(pipeline()->state, PIPELINE_LOADING);
}

static void no_more_wait_than_the_queue_holds(void **state)
{
    (void)state;
    uint32_t clients[CLIENT_COUNT];
    pipeline()->pool->start_ms = 7500;
    for (uint32_t i = 0; i < CLIENT_COUNT; i++)
        clients[i] = ask(STREAM_PATH, WAIT_BODY);
    is_told(clients[CLIENT_COUNT - 1], 429, "Retry-After: 8\r\n", "the queue of this pipeline");
    stage_hello(0);
    stage_settle();
    for (uint32_t i = 0; i < CLIENT_COUNT - 1; i++)
        ends_well(clients[i]);
}

/* Their clients do not wait for them. */
static void of_many_that_are_kept_a_few_are_read_in_a_pass(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    for (uint32_t i = 0; i < QUEUE_COUNT; i++) {
        stage_say(client, RESULT_PATH, ASYNC_WRONG_BODY, 1);
        stage_settle();
    }
    assert_int_equal(pipeline()->queue_count, QUEUE_COUNT);
    runs_check(&stage.server->runs);
    stage_hello(0);
    for (uint32_t pass = 0, before = QUEUE_COUNT; before > 0; pass++) {
        stage_pass();
        assert_in_range(before - pipeline()->queue_count, 0, 2 * 16); /* scheduled twice at most */
        before = pipeline()->queue_count;
        assert_true(pass < QUEUE_COUNT);
    }
    assert_int_equal(stage.server->runs.count, 0);
    assert_int_equal(stage.server->input.bytes, 0);
}

#define LOADING_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        LOADING_TEST(who_comes_is_told_how_far_it_is_and_when_to_come_again),
        LOADING_TEST(starts_that_were_measured_say_when_to_come_again),
        cmocka_unit_test_setup_teardown(of_two_that_load_the_one_is_shown_that_is_to_be_ready_first,
                                        two_open, scene_close),
        LOADING_TEST(who_waits_gets_its_output_when_it_is_loaded),
        LOADING_TEST(who_waits_hears_that_it_is_not_forgotten),
        LOADING_TEST(who_waits_with_wrong_inputs_is_told_so_when_it_is_loaded),
        LOADING_TEST(who_waits_for_inputs_that_are_known_is_told_at_once),
        LOADING_TEST(a_client_that_leaves_takes_its_run_and_the_load_goes_on),
        LOADING_TEST(who_waits_is_told_why_it_did_not_load),
        LOADING_TEST(who_waits_is_told_where_the_load_stopped),
        LOADING_TEST(who_may_not_wait_so_long_is_told_how_far_it_is),
        LOADING_TEST(no_more_wait_than_the_queue_holds),
        cmocka_unit_test_setup_teardown(of_many_that_are_kept_a_few_are_read_in_a_pass, many_open,
                                        scene_close),
    };
    return cmocka_run_group_tests_name("loading", tests, descriptors_note, descriptors_compare);
}
