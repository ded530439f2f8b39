/* SPDX-License-Identifier: MIT */
/*
 * test_reload_aliases.c - aliases move when what they lead to is served, and no run is lost: on the
 * stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/descriptors.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_pipelines.h"
#include "tests/unit/dispatcher/stage_reader.h"
#include "tests/unit/dispatcher/stage_reading.h"

#define FIRST "me/numbers:v1"
#define SECOND "me/more-numbers:v1"
#define PROD "me/numbers:prod"
#define BODY(pointer) "{\"pipeline\":\"" pointer "\",\"inputs\":[]}"

static const struct stage_options one = {.concurrency = 1, .queue_count_max = 4};
static const struct stage_options two = {
    .pipeline_count = 2, .concurrency = 1, .queue_count_max = 4};

/* The pipelines of `options`, from the one of this number on, and an alias that leads to `target`;
 * NULL: none. */
static struct config *next_config(const struct stage_options *options, uint32_t from,
                                  const char *target)
{
    struct config *config = malloc(sizeof *config);
    struct config served = stage.config;
    mr_assert(config);
    stage_configure(options);
    *config = stage.config;
    stage.config = served;
    for (uint32_t i = 0; i < from; i++)
        pipeline_config_finish(&config->pipelines[i]);
    config->pipeline_count -= from;
    for (uint32_t i = 0; from > 0 && i < config->pipeline_count; i++)
        config->pipelines[i] = config->pipelines[from + i];
    if (target)
        config->aliases[config->alias_count++] = (struct alias_config){
            .pointer = PROD, .targets = {{.pointer = target, .weight = 1}}, .target_count = 1};
    return config;
}

static void reload(struct config *next)
{
    reload_report_finish(&stage.server->reload.report);
    reload_take(stage.server, next);
    server_check(stage.server);
}

static void settle(void)
{
    workers_settle();
    assert_int_equal(stage.server->reload.state, RELOAD_IDLE);
    server_check(stage.server);
}

/* One pipeline, and an alias that leads to it. */
static int open_one(void **state)
{
    (void)state;
    pool_open(&one);
    reload(next_config(&one, 0, FIRST));
    settle();
    return 0;
}

static const struct reload_report *report(void)
{
    return &stage.server->reload.report;
}

static const struct pipeline *served(const char *pointer)
{
    return runs_find_pipeline(runs(), pointer);
}

static uint32_t ask(const char *body)
{
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, body, 1);
    return client;
}

static void expect_led_to(const char *pointer)
{
    char line[128];
    struct stage_run run = stage_run_begin(STREAM_PATH, BODY(PROD), 1);
    assert_string_equal(stage_run_of(&run)->pipeline->config->pointer, pointer);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_int_equal(answer.status, 200);
    snprintf(line, sizeof line, "X-Millrace-Pipeline: %s", pointer);
    assert_non_null(strstr(answer.head_text, line));
}

static void an_alias_moves_without_a_touch_of_any_pipeline(void **state)
{
    (void)state;
    reload(next_config(&two, 0, FIRST));
    settle();
    assert_int_equal(report()->alias_count, 0);
    assert_int_equal(report()->counts[RELOAD_ADDED], 1);
    uint32_t spawn_count = stage.spawn_count;
    expect_led_to(FIRST);
    reload(next_config(&two, 0, SECOND));
    settle();
    assert_int_equal(report()->alias_count, 1);
    assert_int_equal(report()->counts[RELOAD_KEPT], 2);
    assert_int_equal(report()->failed_count, 0);
    assert_int_equal(stage.spawn_count, spawn_count);
    expect_led_to(SECOND);
    reload(next_config(&two, 0, NULL));
    settle();
    assert_int_equal(report()->alias_count, 1);
    assert_null(runs()->aliases.first);
    assert_int_equal(answer_to(ask(BODY(PROD)))->status, 404);
}

/* One is added, the alias moves there, and the old one goes, all at once. */
static void an_alias_leads_to_the_old_one_until_the_new_one_is_ready(void **state)
{
    (void)state;
    const struct pipeline *old = served(FIRST);
    struct stage_run run = stage_run_begin(STREAM_PATH, BODY(PROD), 1);
    reload(next_config(&two, 1, SECOND));
    stage_settle();
    assert_non_null(runs()->coming);
    assert_ptr_equal(served(FIRST), old); /* it waits to be removed */
    uint32_t waits = ask(BODY(PROD)), direct = ask(BODY(FIRST));
    stage_settle();
    assert_int_equal(old->queue_count, 2);
    stage_hello(1);
    stage_settle();
    assert_null(served(FIRST));
    assert_int_equal(old->phase, PHASE_FOLLOWED);
    assert_int_equal(report()->counts[RELOAD_REMOVED], 1);
    assert_int_equal(answer_to(ask(BODY(FIRST)))->status, 404);
    expect_led_to(SECOND);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    for (uint32_t i = 0; i < 2; i++) { /* and those that waited are served, not refused */
        workers_settle();
        known_forget();
        assert_int_equal(known.begun_count, 1);
        stage_run_number(&known.begun[0]);
        stage_run_end(&known.begun[0]);
        stage_settle();
    }
    assert_int_equal(answer_to(waits)->status, 200);
    assert_int_equal(answer_to(direct)->status, 200);
    settle();
    assert_null(runs()->leaving);
    assert_int_equal(places_count(), 1);
}

static void an_alias_whose_new_pipeline_fails_stays_and_so_does_its_old_one(void **state)
{
    (void)state;
    const struct pipeline *old = served(FIRST);
    for (uint32_t i = 1; i <= 3; i++) {
        reload(next_config(&two, 1, SECOND));
        stage_settle();
        stage_exit(1, CLD_EXITED, 3);
        settle();
        assert_int_equal(report()->failed_count,
                         3); /* the pipeline, the alias, and what is not removed */
        assert_int_equal(report()->counts[RELOAD_REMOVED], 0);
        assert_int_equal(report()->alias_count, 0);
        assert_ptr_equal(served(FIRST), old);
        assert_null(served(SECOND));
        expect_led_to(FIRST);
        assert_int_equal(stage.server->api.reload_outcome.counts[false], i);
    }
    reload(next_config(&two, 1, SECOND)); /* now it starts */
    settle();
    assert_int_equal(report()->failed_count, 0);
    assert_int_equal(report()->counts[RELOAD_REMOVED], 1);
    assert_int_equal(runs()->pipeline_count, 1);
    expect_led_to(SECOND);
}

/* It would be the former version that gets the runs. */
static void an_alias_does_not_move_to_what_could_not_be_replaced(void **state)
{
    (void)state;
    reload(next_config(&two, 0, FIRST));
    settle();
    struct config *next = next_config(&two, 0, SECOND);
    next->pipelines[1].digest.bytes[0]++;
    reload(next);
    stage_settle();
    stage_exit(2, CLD_EXITED, 3);
    settle();
    assert_int_equal(report()->failed_count, 2);
    expect_led_to(FIRST);
    assert_int_equal(runs()->pipeline_count, 2);
}

static void a_pipeline_becomes_an_alias_and_an_alias_a_pipeline(void **state)
{
    (void)state;
    struct config *next = next_config(&two, 0, NULL);
    next->aliases[next->alias_count++] = (struct alias_config){
        .pointer = FIRST, .targets = {{.pointer = SECOND, .weight = 1}}, .target_count = 1};
    pipeline_config_finish(&next->pipelines[0]);
    next->pipelines[0] = next->pipelines[--next->pipeline_count];
    reload(next);
    stage_settle();
    assert_int_equal(answer_to(ask(BODY(PROD)))->status, 404); /* that one is not said any more */
    uint32_t direct = ask(BODY(FIRST));
    stage_settle();
    settle();
    assert_int_equal(known.begun_count, 1);
    stage_run_number(&known.begun[0]);
    stage_run_end(&known.begun[0]);
    assert_int_equal(answer_to(direct)->status, 200); /* by the pipeline that it was */
    settle();
    assert_int_equal(report()->counts[RELOAD_REMOVED], 1);
    assert_int_equal(runs()->pipeline_count, 1);
    struct stage_run run = stage_run_begin(STREAM_PATH, BODY(FIRST), 1);
    assert_string_equal(stage_run_of(&run)->pipeline->config->pointer, SECOND);
    stage_run_end(&run);
    reload(next_config(&two, 0, NULL));
    stage_settle();
    assert_non_null(aliases_find(&runs()->aliases, FIRST)); /* until the pipeline is served */
    settle();
    assert_null(runs()->aliases.first);
    run = stage_run_begin(STREAM_PATH, BODY(FIRST), 1);
    assert_string_equal(stage_run_of(&run)->pipeline->config->pointer, FIRST);
    stage_run_end(&run);
    settle();
}

static void an_alias_stays_if_the_pipeline_of_its_pointer_fails(void **state)
{
    (void)state;
    struct config *next = next_config(&two, 0, NULL);
    char *pointer = strdup(PROD);
    mr_assert(pointer);
    free(next->pipelines[1].pointer);
    next->pipelines[1].pointer = pointer;
    reload(next);
    stage_settle();
    stage_exit(1, CLD_EXITED, 3);
    settle();
    assert_int_equal(report()->failed_count, 1);
    expect_led_to(FIRST);
}

/* The body of a request is read while the alias that it names moves and its old pipeline goes. */
static void a_body_that_is_being_read_is_for_the_pipeline_it_was_led_to(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    stage_settle();
    expect_body(MANY_BYTES);
    struct read_answer said = answer_of_kind(READ_BODY);
    said.has_pipeline = true;
    snprintf(said.pipeline, sizeof said.pipeline, "%s", PROD);
    say(said);
    stage_settle();
    int fd = expect_asked(READ_PACK);
    const struct pipeline *old = served(FIRST);
    assert_int_equal(old->coming_count, 1);
    reload(next_config(&two, 1, SECOND));
    settle();
    assert_null(served(FIRST));
    assert_ptr_equal(runs()->leaving, old);
    reload(next_config(&two, 1, NULL)); /* and now the alias is gone, too */
    settle();
    assert_int_equal(runs()->aliases.served_count, 0);
    pack(fd, 10);
    close(fd);
    struct read_answer packed = answer_of_kind(READ_PACK);
    packed.bytes = 10;
    say(packed);
    workers_settle();
    assert_int_equal(known.begun_count, 1);
    assert_string_equal(stage_run_of(&known.begun[0])->alias->pointer, PROD);
    stage_run_number(&known.begun[0]);
    stage_run_end(&known.begun[0]);
    assert_int_equal(answer_to(client)->status, 200);
    assert_non_null(strstr(answer.head_text, "X-Millrace-Pipeline: " FIRST));
    settle();
    assert_null(runs()->leaving);
    assert_null(runs()->aliases.first);
}

/* Nothing is lost of what came by an alias when the server ends in between. */
static void memory_is_given_back_in_the_middle(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, BODY(PROD), 1);
    ask(BODY(PROD));
    reload(next_config(&two, 1, SECOND));
    stage_settle();
    (void)run;
}

#define ALIASES_TEST(name) cmocka_unit_test_setup_teardown(name, open_one, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        ALIASES_TEST(an_alias_moves_without_a_touch_of_any_pipeline),
        ALIASES_TEST(an_alias_leads_to_the_old_one_until_the_new_one_is_ready),
        ALIASES_TEST(an_alias_whose_new_pipeline_fails_stays_and_so_does_its_old_one),
        ALIASES_TEST(an_alias_does_not_move_to_what_could_not_be_replaced),
        ALIASES_TEST(a_pipeline_becomes_an_alias_and_an_alias_a_pipeline),
        ALIASES_TEST(an_alias_stays_if_the_pipeline_of_its_pointer_fails),
        ALIASES_TEST(a_body_that_is_being_read_is_for_the_pipeline_it_was_led_to),
        ALIASES_TEST(memory_is_given_back_in_the_middle),
    };
    return cmocka_run_group_tests_name("reload_aliases", tests, NULL, NULL);
}
