/* SPDX-License-Identifier: MIT */
/*
 * test_reload.c - another configuration takes the place of the one that is served, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "shm/descriptors.h"
#include "tests/unit/dispatcher/fds.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_pipelines.h"

#define FIRST "{\"pipeline\":\"me/numbers:v1\",\"inputs\":[]}"
#define SECOND "{\"pipeline\":\"me/more-numbers:v1\",\"inputs\":[]}"

static const struct stage_options usual = {
    .pipeline_count = 2, .concurrency = 1, .queue_count_max = 4};

static int both_open(void **state)
{
    (void)state;
    return pool_open(&usual);
}

static struct pipeline *pipeline(uint32_t index)
{
    mr_assert(index < runs()->pipeline_count);
    return runs()->pipelines[index];
}

/* What the stage was opened with, once more; it is to be changed, and given to reload(). */
static struct config *again(const struct stage_options *options)
{
    struct config *config = malloc(sizeof *config);
    struct config served = stage.config;
    mr_assert(config);
    stage_configure(options);
    *config = stage.config;
    stage.config = served;
    return config;
}

static void reload(struct config *next)
{
    reload_report_finish(&stage.server->reload.report);
    reload_take(stage.server, next);
    server_check(stage.server);
}

static uint32_t generation(void)
{
    return stage.server->config->holders->number;
}

static uint32_t ask(const char *body)
{
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, body, 1);
    return client;
}

static void expect_served(const char *body)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, body, 1);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
}

/* It is done; what comes and goes has come and gone. */
static void expect_done(uint32_t pipeline_count, uint32_t workers)
{
    workers_settle();
    assert_int_equal(stage.server->reload.state, RELOAD_IDLE);
    assert_null(runs()->coming);
    assert_null(runs()->leaving);
    assert_int_equal(runs()->pipeline_count, pipeline_count);
    assert_int_equal(places_count(), workers);
    assert_int_equal(timers_of_others(), others);
    server_check(stage.server);
}

static const struct reload_report *report(void)
{
    return &stage.server->reload.report;
}

static void is_another_file(struct config *next, uint32_t number)
{
    next->pipelines[number].digest.bytes[0]++;
}

/* ---- nothing, and limits ------------------------------------------------------------------- */

static void the_same_configuration_is_held_by_all_and_the_old_one_by_none(void **state)
{
    (void)state;
    struct worker *first = worker(0), *second = worker(1);
    reload(again(&usual));
    expect_done(2, 2);
    assert_int_equal(report()->counts[RELOAD_KEPT], 2);
    assert_int_equal(generation(), 2);
    assert_int_equal(stage.config.holders->count, 0);
    assert_int_equal(stage.server->config->holders->count, 3);
    assert_ptr_equal(worker(0), first);
    assert_ptr_equal(worker(1), second);
    assert_ptr_equal(pool()->config, &stage.server->config->pipelines[0]);
    for (uint32_t i = 0; i < 100; i++)
        reload(again(&usual));
    expect_done(2, 2);
    assert_int_equal(generation(), 102);
    assert_int_equal(stage.spawn_count, 2);
    expect_served(FIRST);
    expect_served(SECOND);
}

static void a_longer_queue_keeps_those_that_wait_in_their_order(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, FIRST, 1);
    for (uint32_t i = 0; i < 4; i++)
        ask(FIRST);
    assert_int_equal(pipeline(0)->queue_count, 4);
    struct config *next = again(&usual);
    next->pipelines[0].options.queue_count_max = 300;
    reload(next);
    assert_int_equal(report()->counts[RELOAD_CHANGED], 1);
    uint32_t position = 0;
    for (const struct run *at = pipeline(0)->queue_first; at; at = at->next)
        assert_int_equal(pipeline_queue_position(pipeline(0), at), position++);
    assert_int_equal(position, 4);
    ask(FIRST);
    assert_int_equal(pipeline(0)->queue_count, 5);
    next = again(&usual);
    next->pipelines[0].options.queue_count_max = 1;
    reload(next);
    assert_int_equal(pipeline(0)->queue_count, 5); /* who waits goes on waiting */
    assert_int_equal(answer_to(ask(FIRST))->status, 429);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(pipeline(0)->queue_count, 4);
}

static void a_run_keeps_the_limits_that_it_began_with(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, FIRST, 1);
    struct config *next = again(&usual);
    next->pipelines[0].options.first_chunk_timeout_ms = 1000;
    next->pipelines[0].options.progress_timeout_ms = 1000;
    next->pipelines[0].options.run_timeout_ms = 1000;
    reload(next);
    stage_later(2000);
    stage_settle();
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
    run = stage_run_begin(STREAM_PATH, FIRST, 1);
    stage_later(1001);
    stage_settle();
    assert_non_null(strstr(answer_to(run.client)->body, "no chunk came within 1 s"));
}

static void workers_and_a_spare_place_come_and_go(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct config *next = again(&usual);
        next->pipelines[0].options.workers = (struct cli_range){3, 3};
        next->pipelines[0].options.recycle_overlap = true;
        next->pipelines[0].options.recycle_run_count = 1000;
        reload(next);
        expect_done(2, 5);
        assert_int_equal(pool_ready_count(pool()), 3);
        assert_non_null(pool_spare(pool()));
        reload(again(&usual));
        expect_done(2, 2);
        assert_null(pool_spare(pool()));
    }
    assert_int_equal(worker_of(0)->index, 0);
    expect_served(FIRST);
}

static void a_spare_place_that_is_in_use_goes_when_it_is_not(void **state)
{
    (void)state;
    struct config *next = again(&usual);
    next->pipelines[0].options.recycle_overlap = true;
    next->pipelines[0].options.recycle_run_count = 1;
    reload(next);
    expect_done(2, 3);
    expect_served(FIRST); /* a successor is called */
    reload(again(&usual));
    assert_true(pool()->has_extra);
    assert_int_equal(places_count(), 3);
    expect_done(2, 2);
    expect_served(FIRST);
}

/* ---- other processes ----------------------------------------------------------------------- */

static void a_changed_pipeline_is_followed_when_the_new_one_is_ready(void **state)
{
    (void)state;
    struct pipeline *old = pipeline(0), *other = pipeline(1);
    struct stage_run run = stage_run_begin(STREAM_PATH, FIRST, 1);
    struct config *next = again(&usual);
    is_another_file(next, 0);
    reload(next);
    stage_settle();
    struct pipeline *coming = runs()->coming;
    assert_non_null(coming);
    assert_ptr_equal(pipeline(0), old);
    uint32_t waits = ask(FIRST);
    assert_int_equal(old->queue_count, 1);
    stage_hello(2);
    stage_settle();
    assert_ptr_equal(pipeline(0), coming);
    assert_int_equal(old->phase, PHASE_FOLLOWED);
    assert_ptr_equal(pipeline(1), other);
    assert_int_equal(report()->counts[RELOAD_REPLACED], 1);
    expect_served(FIRST); /* by the new one, while the old one's queue waits */
    assert_int_equal(old->queue_count, 1);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    workers_settle();
    assert_int_equal(old->phase, PHASE_LEAVING);
    assert_int_equal(known.begun_count, 1);
    stage_run_end(&known.begun[0]);
    assert_true(answer_to(waits)->complete);
    assert_int_equal(answer.status, 200);
    assert_int_equal(coming->tally->accepted_count, 3);
    assert_int_equal(coming->tally->ends[0], 3);
    expect_done(2, 2);
    assert_int_equal(coming->tally->holder_count, 1);
}

static void a_pipeline_that_fails_is_dropped_and_the_old_one_stays(void **state)
{
    (void)state;
    struct pipeline *old = pipeline(0);
    for (uint32_t i = 1; i < 4; i++) {
        struct config *next = again(&usual);
        is_another_file(next, 0);
        reload(next);
        stage_settle();
        assert_non_null(runs()->coming);
        stage_exit(2, CLD_EXITED, 3);
        stage_settle();
        expect_done(2, 2);
        assert_int_equal(report()->failed_count, 1);
        assert_ptr_equal(pipeline(0), old);
        assert_int_equal(stage.config.holders->count, 1);
        assert_int_equal(stage.server->api.reload_outcome.counts[false], i);
    }
    expect_served(FIRST);
    struct config *next = again(&usual);
    is_another_file(next, 0);
    reload(next);
    expect_done(2, 2);
    assert_int_equal(report()->counts[RELOAD_REPLACED], 1);
    assert_int_equal(stage.config.holders->count, 0);
}

static void one_is_removed_and_another_one_is_added(void **state)
{
    (void)state;
    struct config *next = again(&(struct stage_options){.queue_count_max = 4});
    reload(next);
    expect_done(1, 1);
    assert_int_equal(report()->counts[RELOAD_REMOVED], 1);
    assert_null(runs_find_pipeline(runs(), "me/more-numbers:v1"));
    reload(again(&usual));
    stage_settle();
    assert_null(runs_find_pipeline(runs(), "me/more-numbers:v1"));
    expect_done(2, 2);
    assert_int_equal(report()->counts[RELOAD_ADDED], 1);
    expect_served(SECOND);
}

static void who_follows_is_followed_itself(void **state)
{
    (void)state;
    struct stage_run first = stage_run_begin(STREAM_PATH, FIRST, 1);
    struct config *next = again(&usual);
    is_another_file(next, 0);
    reload(next);
    workers_settle();
    struct stage_run second = stage_run_begin(STREAM_PATH, FIRST, 1);
    reload(again(&usual));
    workers_settle();
    assert_int_equal(pipelines_leaving(), 2);
    assert_int_equal(pipeline(0)->tally->holder_count, 3);
    expect_served(FIRST);
    stage_run_end(&second);
    stage_run_end(&first);
    expect_done(2, 2);
    assert_int_equal(pipeline(0)->tally->ends[0], 3);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void what_needs_another_start_changes_nothing(void **state)
{
    (void)state;
    struct config *next = again(&usual);
    next->own_users.count = 1;
    reload(next);
    assert_int_equal(generation(), 1);
    assert_int_equal(stage.server->reload.state, RELOAD_IDLE);
    assert_int_equal(stage.server->api.reload_outcome.counts[false], 1);
    next = again(&usual);
    next->pipelines[0].confinement.memory_bytes_max = 1u << 30;
    reload(next);
    expect_done(2, 2);
    assert_int_equal(report()->failed_count, 1);
    assert_int_equal(report()->counts[RELOAD_KEPT], 1);
    expect_served(FIRST);
}

static void a_server_that_stops_starts_nothing_more(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, SECOND, 1);
    struct config *next = again(&usual);
    is_another_file(next, 0);
    reload(next);
    stage_settle();
    server_stop(stage.server);
    stage_settle();
    assert_null(runs()->coming);
    assert_int_equal(stage.server->reload.state, RELOAD_IDLE);
    stage_run_number(&run);
    stage_run_end(&run);
    for (uint32_t i = 0; i < 10 && stage.server->state != SERVER_STOPPED; i++) {
        workers_obey();
        workers_greet();
        stage_settle();
    }
    assert_int_equal(stage.server->state, SERVER_STOPPED);
}

static void descriptors_and_memory_are_given_back_in_the_middle(void **state)
{
    scene_close(state);
    int fd_count = fds_count();
    both_open(state);
    struct config *next = again(&usual);
    is_another_file(next, 0);
    reload(next);
    stage_settle();
    scene_close(state);
    assert_int_equal(fds_count(), fd_count);
    both_open(state);
}

#define RELOAD_TEST(name) cmocka_unit_test_setup_teardown(name, both_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        RELOAD_TEST(the_same_configuration_is_held_by_all_and_the_old_one_by_none),
        RELOAD_TEST(a_longer_queue_keeps_those_that_wait_in_their_order),
        RELOAD_TEST(a_run_keeps_the_limits_that_it_began_with),
        RELOAD_TEST(workers_and_a_spare_place_come_and_go),
        RELOAD_TEST(a_spare_place_that_is_in_use_goes_when_it_is_not),
        RELOAD_TEST(a_changed_pipeline_is_followed_when_the_new_one_is_ready),
        RELOAD_TEST(a_pipeline_that_fails_is_dropped_and_the_old_one_stays),
        RELOAD_TEST(one_is_removed_and_another_one_is_added),
        RELOAD_TEST(who_follows_is_followed_itself),
        RELOAD_TEST(what_needs_another_start_changes_nothing),
        RELOAD_TEST(a_server_that_stops_starts_nothing_more),
        RELOAD_TEST(descriptors_and_memory_are_given_back_in_the_middle),
    };
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
