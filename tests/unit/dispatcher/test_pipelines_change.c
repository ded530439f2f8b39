/* SPDX-License-Identifier: MIT */
/*
 * test_pipelines_change.c - pipelines come and go while the server runs, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/descriptors.h"
#include "tests/unit/dispatcher/allocs.h"
#include "tests/unit/dispatcher/fds.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_pipelines.h"
#include "tests/unit/dispatcher/stage_reading.h"

#define FIRST "{\"pipeline\":\"me/numbers:v1\",\"inputs\":[]}"
#define SECOND "{\"pipeline\":\"me/more-numbers:v1\",\"inputs\":[]}"

/* One worker of each, with two slots. */
static int both_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.pipeline_count = 2,
                                             .concurrency = 2,
                                             .queue_count_max = 4,
                                             .output_bytes_max = 8u * VALUE_BYTES_MAX});
}

static int single_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.concurrency = 2, .queue_count_max = 4});
}

static struct pipeline *pipeline(uint32_t index)
{
    mr_assert(index < runs()->pipeline_count);
    return runs()->pipelines[index];
}

static void expect_left(uint32_t pipeline_count)
{
    assert_null(runs()->leaving);
    assert_int_equal(runs()->pipeline_count, pipeline_count);
    assert_int_equal(fleet()->pool_count, pipeline_count);
    assert_int_equal(places_count(), pipeline_count);
    assert_int_equal(timers_of_others(), others);
}

static uint32_t ask(const char *body)
{
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, body, 1);
    return client;
}

static void expect_refused(uint32_t client, int status, const char *words)
{
    assert_true(answer_to(client)->complete);
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(answer.body, words));
}

static void expect_served(const char *body)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, body, 1);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
}

static size_t count_of(const char *text, const char *words)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    return count;
}

static const char *page(const char *path)
{
    char text[256];
    uint32_t client = stage_connect();
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    stage_say_bytes(client, text, strlen(text));
    stage_settle();
    const struct stage_client *its = &stage.clients[client];
    static char copy[256 * 1024];
    mr_assert(its->count < sizeof copy);
    memcpy(copy, its->bytes, its->count);
    copy[its->count] = '\0';
    stage_hang_up(client);
    stage_settle();
    return copy;
}

/* ---- they go -------------------------------------------------------------------------------- */

static void a_pipeline_without_runs_goes_with_its_workers(void **state)
{
    (void)state;
    pipeline_remove(pipeline(1));
    assert_int_equal(worker(1)->state, WORKER_STOPPING);
    assert_null(runs_find_pipeline(runs(), "me/more-numbers:v1"));
    expect_refused(ask(SECOND), 404, "Pipeline not found");
    workers_settle();
    expect_left(1);
    expect_served(FIRST);
    expect_served(RUN_BODY); /* it is the only one */
    assert_int_equal(stage.spawn_count, 2);
}

static void runs_that_wait_are_refused_and_those_that_run_end(void **state)
{
    (void)state;
    struct stage_run begun[2] = {stage_run_begin(STREAM_PATH, SECOND, 1),
                                 stage_run_begin(STREAM_PATH, SECOND, 1)};
    uint32_t waiting[2] = {ask(SECOND), ask(SECOND)};
    assert_int_equal(pipeline(1)->queue_count, 2);
    stage_hang_up(begun[1].client); /* it is cancelled, and does not end soon */
    stage_settle();
    pipeline_remove(pipeline(1));
    for (uint32_t i = 0; i < 2; i++) {
        expect_refused(waiting[i], 503, "the pipeline was removed");
        assert_non_null(strstr(answer.head_text, "Retry-After: 1\r\n"));
    }
    workers_settle();
    assert_int_equal(worker(1)->state, WORKER_RETIRING);
    assert_non_null(runs()->leaving);
    stage_run_number(&begun[0]);
    stage_run_end(&begun[0]);
    assert_true(answer_to(begun[0].client)->complete);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
    workers_settle();
    assert_non_null(runs()->leaving);
    stage_later(stage.config.options.cancel_grace_ms);
    workers_settle(); /* it was killed for the run that did not end */
    expect_left(1);
    assert_int_equal(runs()->count, 0);
}

static void an_asynchronous_run_ends_and_is_remembered(void **state)
{
    (void)state;
    struct stage_run run = {.client = stage_connect()};
    stage_say(run.client, RESULT_PATH,
              "{\"pipeline\":\"me/more-numbers:v1\",\"async_run\":true,\"inputs\":[]}", 1);
    assert_true(stage_run_take(&run));
    char id[RUN_ID_BYTES], path[128];
    memcpy(id, stage_run_of(&run)->id, sizeof id);
    snprintf(path, sizeof path, "/v4/runs/%s", id);
    pipeline_remove(pipeline(1));
    workers_settle();
    assert_non_null(
        strstr(page(path), "\"pipeline_id\":\"pipeline_00000000000000000000000000000002"));
    stage_run_number(&run);
    stage_run_end(&run);
    workers_settle();
    expect_left(1);
    const char *shown = page(path);
    assert_non_null(strstr(shown, "\"pipeline_id\":\"pipeline_00000000000000000000000000000002"));
    assert_non_null(strstr(shown, "\"completed\""));
}

/* Nobody starts it again, and nobody says that it is quarantined. */
static void in_whatever_state_its_workers_are_it_goes(void **state)
{
    for (uint32_t i = 0; i < 5; i++) {
        struct pipeline *second = pipeline(1);
        if (i == 0) {
            second->pool->places[0]->death_streak = stage.config.options.quarantine_after;
            stage_exit(1, CLD_KILLED, SIGSEGV);
            stage_settle();
            assert_int_equal(second->state, PIPELINE_QUARANTINED);
        } else if (i == 1) {
            stage_exit(1, CLD_KILLED, SIGSEGV);
            stage_settle();
            stage_later(WORKER_BACKOFF_MS_MAX);
            assert_int_equal(worker(1)->state, WORKER_STARTING);
        } else if (i == 2) {
            stage_exit(1, CLD_KILLED, SIGSEGV);
            stage_settle();
            stage.spawner_is_silent = true;
            stage_later(WORKER_BACKOFF_MS_MAX);
            assert_int_equal(worker(1)->state, WORKER_SPAWNING);
        } else if (i == 3) { /* on trial, until a time that does not come */
            worker(1)->death_streak = stage.config.options.quarantine_after;
            stage_exit(1, CLD_KILLED, SIGSEGV);
            stage_settle();
            stage_later(WORKER_BACKOFF_MS_MAX);
            workers_settle();
            assert_int_equal(second->state, PIPELINE_TRIAL);
        }
        enum pipeline_state before = second->state;
        uint32_t spawn_count = stage.spawn_count;
        pipeline_remove(second);
        assert_int_equal(second->state, before);
        if (i == 2)
            stage_spawner_speaks();
        workers_settle();
        stage_later(WORKER_BACKOFF_MS_MAX);
        expect_left(1);
        assert_int_equal(stage.spawn_count, spawn_count);
        scene_close(state);
        both_open(state);
    }
}

static void one_whose_worker_dies_while_it_goes_is_not_quarantined(void **state)
{
    (void)state;
    struct pipeline *second = pipeline(1);
    struct stage_run run = stage_run_begin(STREAM_PATH, SECOND, 1);
    worker(1)->death_streak = stage.config.options.quarantine_after;
    pipeline_remove(second);
    stage_exit(1, CLD_KILLED, SIGSEGV);
    stage_loop_pass();
    stage_settle();
    assert_non_null(strstr(answer_to(run.client)->body, "pipeline_error"));
    expect_left(1);
}

static void without_any_pipeline_nothing_is_found(void **state)
{
    (void)state;
    stage.server->start_is_said = false; /* nothing is to be said of none */
    pipeline_remove(pipeline(0));
    workers_settle();
    expect_left(0);
    assert_int_equal(stage.server->state, SERVER_SERVING);
    expect_refused(ask(RUN_BODY), 422, "field required");
    expect_refused(ask(FIRST), 404, "Pipeline not found");
    pipeline_add(0);
    workers_settle();
    expect_left(1);
    expect_served(FIRST);
}

/* ---- bodies that are being read ------------------------------------------------------------- */

static void a_body_that_was_understood_meanwhile_is_refused(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    int fd = expect_asked(READ_PACK);
    struct pipeline *first = pipeline(0);
    assert_int_equal(first->user_count, 1);
    pipeline_remove(first);
    workers_settle();
    assert_int_equal(places_count(), 0);
    assert_ptr_equal(runs()->leaving, first); /* its variables are being looked at */
    pack(fd, 100);
    close(fd);
    struct read_answer packed = answer_of_kind(READ_PACK);
    packed.bytes = 100;
    say(packed);
    server_check(stage.server);
    expect_answer(client, 503, "the pipeline was removed");
    expect_left(0);
    expect_nothing_held();
}

static void a_body_that_was_not_understood_yet_finds_it_no_more(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    pipeline_remove(pipeline(0));
    workers_settle();
    expect_left(0);
    struct read_answer said = answer_of_kind(READ_BODY);
    said.has_pipeline = true;
    snprintf(said.pipeline, sizeof said.pipeline, "me/numbers:v1");
    say(said);
    server_check(stage.server);
    expect_answer(client, 404, "Pipeline not found");
    expect_nothing_held();
}

static void a_client_that_leaves_meanwhile_lets_it_go(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    close(expect_asked(READ_PACK));
    pipeline_remove(pipeline(0));
    workers_settle();
    assert_non_null(runs()->leaving);
    stage_hang_up(client);
    stage_settle();
    expect_left(0);
}

static void a_reader_that_dies_meanwhile_lets_it_go(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    close(expect_asked(READ_PACK));
    pipeline_remove(pipeline(0));
    workers_settle();
    stage_reader_gone();
    expect_answer(client, 500, "The request was not read");
    expect_left(0);
}

/* ---- they come ------------------------------------------------------------------------------ */

static void one_comes_under_the_pointer_of_one_that_goes(void **state)
{
    (void)state;
    struct stage_run old = stage_run_begin(STREAM_PATH, SECOND, 1);
    struct pipeline *leaving = pipeline(1);
    pipeline_remove(leaving);
    struct pipeline *added = pipeline_add(1);
    assert_ptr_equal(runs_find_pipeline(runs(), "me/more-numbers:v1"), added);
    workers_settle();
    assert_ptr_equal(runs()->leaving, leaving);
    expect_served(SECOND);
    assert_int_equal(added->tally->accepted_count, 1);
    const char *metrics = page("/metrics");
    assert_int_equal(
        count_of(metrics, "millrace_runs_accepted_total{pipeline=\"me/more-numbers:v1\"}"), 1);
    assert_int_equal(
        count_of(metrics, "millrace_ring_used_bytes{pipeline=\"me/more-numbers:v1\",worker=\"0\"}"),
        1);
    assert_int_equal(count_of(page("/status"), "me/more-numbers:v1"), 1);
    assert_int_equal(count_of(page("/v4/pipelines"), "me/more-numbers:v1"), 1);
    stage_run_number(&old);
    stage_run_end(&old);
    workers_settle();
    assert_true(answer_to(old.client)->complete);
    expect_left(2);
    expect_served(SECOND);
}

static void what_counts_never_falls(void **state)
{
    (void)state;
    expect_served(SECOND);
    const char *name = "\nmillrace_doorbells_total ";
    worker(1)->bell_count = 7;
    uint64_t before = strtoull(strstr(page("/metrics"), name) + strlen(name), NULL, 10);
    assert_true(before >= 7);
    pipeline_remove(pipeline(1));
    workers_settle();
    assert_null(worker(1));
    assert_true(strtoull(strstr(page("/metrics"), name) + strlen(name), NULL, 10) >= before);
}

static void each_has_its_part_of_the_memory_for_values(void **state)
{
    (void)state;
    struct unfinished_share *share = &pipeline(0)->pool->unfinished;
    uint64_t bytes_max = stage.config.output_bytes_max;
    assert_int_equal(share->bytes_max, bytes_max / 2);
    pipeline_remove(pipeline(1));
    workers_settle();
    assert_int_equal(share->bytes_max, bytes_max);
    pipeline_add(1);
    assert_int_equal(share->bytes_max, bytes_max / 2);
    assert_int_equal(pipeline(1)->pool->unfinished.bytes_max, bytes_max / 2);
}

static void again_and_again_takes_no_more_than_once(void **state)
{
    (void)state;
    pipeline_remove(pipeline(1));
    workers_settle();
    int fd_count = fds_count();
    for (uint32_t i = 0; i < 1000; i++) {
        struct pipeline *added = pipeline_add(1);
        if (i % 3 > 0)
            stage_loop_pass();
        if (i % 3 > 1)
            workers_settle();
        pipeline_remove(added);
        if (i % 2 > 0)
            workers_settle();
    }
    workers_settle();
    expect_left(1);
    assert_int_equal(fds_count(), fd_count);
    assert_true(fleet()->worker_count <= 3);
    assert_int_equal(runs()->slab_count, 1);
}

/* A configuration of its own, with the second pipeline under a pointer of its own. */
static const struct config *next_config(struct config_hold *hold)
{
    struct config config;
    char reason[CLI_REASON_BYTES];
    config_init(&config);
    config.options = stage.config.options;
    mr_assert(config_add_pipeline(&config, "me/next:v1=numbers.so", reason) == 0);
    mr_assert(config_hand_over(&config, 2, hold, "test") == 0);
    return hold->config;
}

static void each_holds_on_to_the_configuration_that_it_was_made_from(void **state)
{
    (void)state;
    char text[256], reason[RUNS_REASON_BYTES];
    struct config_hold hold;
    struct pipeline *added;
    const struct config *next = next_config(&hold);
    config_holders_format(&stage.config, text, sizeof text);
    assert_string_equal(text, "server, pipeline me/numbers:v1, pipeline me/more-numbers:v1");
    assert_int_equal(runs_add_pipeline(runs(), next, 0, &added, reason), 0);
    supervisor_resize(fleet(), added->pool);
    workers_settle();
    pipeline_remove(pipeline(1));
    workers_settle();
    config_holders_format(&stage.config, text, sizeof text);
    assert_string_equal(text, "server, pipeline me/numbers:v1");
    config_holders_format(next, text, sizeof text);
    assert_string_equal(text, "test, pipeline me/next:v1");
    struct stage_run run =
        stage_run_begin(STREAM_PATH, "{\"pipeline\":\"me/next:v1\",\"inputs\":[]}", 1);
    pipeline_remove(added);
    config_let_go(&hold, NULL);
    workers_settle();
    config_holders_format(next, text, sizeof text); /* its run goes on */
    assert_string_equal(text, "pipeline me/next:v1");
    stage_run_number(&run);
    stage_run_end(&run);
    workers_settle();
    assert_non_null(strstr(answer_to(run.client)->body, NUMBER_OUTPUTS));
    expect_left(1);
}

/* ---- what there is not enough of ------------------------------------------------------------ */

static void expect_one_untouched(void)
{
    server_check(stage.server);
    expect_left(1);
}

static void without_memory_for_it_nothing_comes(void **state)
{
    (void)state;
    int rc = -ENOMEM;
    unsigned count = 0;
    pipeline_remove(pipeline(1));
    workers_settle();
    stage.config.pipelines[1].options.workers = (struct cli_range){3, 3};
    stage.config.pipelines[1].options.recycle_overlap = true;
    stage.config.pipelines[1].options.queue_count_max = 2 * RUN_SLAB_COUNT;
    stage.config.pipelines[1].options.reply_ring_bytes = 4u << 20;
    while (rc != 0) {
        struct pipeline *added = NULL;
        char reason[RUNS_REASON_BYTES];
        mr_assert(count < 200);
        allocs_left = count++;
        rc = runs_add_pipeline(runs(), &stage.config, 1, &added, reason);
        allocs_left = UINT_MAX;
        if (rc == 0)
            supervisor_resize(fleet(), added->pool);
        else
            assert_string_equal(reason, "not enough memory");
        assert_int_equal(rc, rc == 0 ? 0 : -ENOMEM);
        if (rc < 0)
            expect_one_untouched();
    }
    assert_true(count > 20);
    workers_settle();
    assert_int_equal(runs()->slab_count, 3);
    /* Each run that there is can be found. */
    uint32_t place_count = runs()->slab_count * RUN_SLAB_COUNT;
    assert_int_equal(runs()->index.place_count, place_count);
    expect_served(SECOND);
}

static void without_a_user_for_its_worker_it_does_not_come(void **state)
{
    (void)state;
    struct pipeline *added;
    char reason[RUNS_REASON_BYTES];
    pipeline_remove(pipeline(1));
    workers_settle();
    stage.config.pipelines[1].confinement.owner = OWNER_EACH;
    stage.config.own_users = (struct own_users){.first = 70000, .count = 1};
    assert_int_equal(runs_add_pipeline(runs(), &stage.config, 1, &added, reason), -ENOSPC);
    assert_string_equal(reason, "there are only 1 users for workers");
    expect_one_untouched();
    stage.config.own_users.count = 2;
    pipeline_add(1);
    workers_settle();
    expect_served(SECOND);
}

static void there_is_a_run_for_each_that_can_run_or_wait(void **state)
{
    (void)state;
    uint32_t of_each = 2 + 1 + 4; /* slots, one that is refused, a queue */
    assert_int_equal(runs()->count_max, 2 * of_each);
    struct stage_run run = stage_run_begin(STREAM_PATH, SECOND, 1);
    pipeline_remove(pipeline(1));
    struct pipeline *added = pipeline_add(1);
    assert_int_equal(runs()->count_max, 2 * of_each + 2 + 1); /* what goes has no queue */
    stage_run_end(&run);
    workers_settle();
    pipeline_remove(added);
    workers_settle();
    pipeline_add(1);
    assert_int_equal(runs()->count_max, 2 * of_each + 2 + 1);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void a_server_that_stops_waits_for_those_that_go(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, SECOND, 1);
    pipeline_remove(pipeline(1));
    server_stop(stage.server);
    stage_settle();
    pipeline_remove(pipeline(0));
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_DRAINING);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPING);
    struct pipeline *late = pipeline_add(0);
    stage_settle();
    assert_int_equal(late->pool->places[0]->state, WORKER_EMPTY);
    for (uint32_t i = 0; i < 10 && stage.server->state != SERVER_STOPPED; i++) {
        workers_obey();
        stage_settle();
    }
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.spawn_count, 2);
}

static void a_server_that_does_not_wait_gives_all_of_it_back(void **state)
{
    scene_close(state);
    int fd_count = fds_count();
    both_open(state);
    (void)stage_run_begin(STREAM_PATH, SECOND, 1);
    (void)ask(FIRST);
    pipeline_remove(pipeline(1));
    pipeline_add(1);
    scene_close(state);
    assert_int_equal(fds_count(), fd_count);
    both_open(state);
}

#define ON(scene, name) cmocka_unit_test_setup_teardown(name, scene##_open, scene_close)

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        ON(both, a_pipeline_without_runs_goes_with_its_workers),
        ON(both, runs_that_wait_are_refused_and_those_that_run_end),
        ON(both, an_asynchronous_run_ends_and_is_remembered),
        ON(both, in_whatever_state_its_workers_are_it_goes),
        ON(both, one_whose_worker_dies_while_it_goes_is_not_quarantined),
        ON(single, without_any_pipeline_nothing_is_found),
        ON(single, a_body_that_was_understood_meanwhile_is_refused),
        ON(single, a_body_that_was_not_understood_yet_finds_it_no_more),
        ON(single, a_client_that_leaves_meanwhile_lets_it_go),
        ON(single, a_reader_that_dies_meanwhile_lets_it_go),
        ON(both, one_comes_under_the_pointer_of_one_that_goes),
        ON(both, what_counts_never_falls),
        ON(both, each_has_its_part_of_the_memory_for_values),
        ON(both, again_and_again_takes_no_more_than_once),
        ON(both, each_holds_on_to_the_configuration_that_it_was_made_from),
        ON(both, without_memory_for_it_nothing_comes),
        ON(both, without_a_user_for_its_worker_it_does_not_come),
        ON(both, there_is_a_run_for_each_that_can_run_or_wait),
        ON(both, a_server_that_stops_waits_for_those_that_go),
        ON(both, a_server_that_does_not_wait_gives_all_of_it_back),
    };
    return cmocka_run_group_tests_name("pipelines_change", tests, NULL, NULL);
}
