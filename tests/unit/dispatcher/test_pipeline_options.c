/* SPDX-License-Identifier: MIT */
/*
 * test_pipeline_options.c - what is said of pipelines, for all or for one, becomes theirs.
 */
#include "dispatcher/config/pipeline_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/config.h"
#include "tests/unit/dispatcher/allocs.h"

static struct config config;
static char reason[CLI_REASON_BYTES];
#define A (&config.pipelines[0])
#define B (&config.pipelines[1])
#define PYTHON (&config.pipelines[2])

static int make(void **state)
{
    (void)state;
    config_init(&config);
    return config_add_pipeline(&config, "me/a:v1=a.so", reason) +
           config_add_pipeline(&config, "me/b:v1=b.so", reason) +
           config_add_pipeline(&config, "me/p:v1=p.py", reason);
}

static int drop(void **state)
{
    (void)state;
    config_finish(&config);
    return 0;
}

static const struct cli_option *row(const char *name)
{
    const struct cli_option *option = cli_find(&serve_command, name);
    assert_non_null(option);
    return option;
}

static int take(const char *name, const char *text)
{
    return said_take(&config.said, row(name), text, reason);
}

static void say(const char *name, const char *text)
{
    assert_int_equal(take(name, text), 0);
}

/* Either at once, or when all of it is looked at. */
static void is_refused(const char *name, const char *text, const char *why)
{
    int rc = take(name, text);
    assert_int_equal(rc < 0 ? rc : pipeline_options_fill(&config, reason), -EINVAL);
    assert_string_equal(reason, why);
    said_finish(&config.said);
}

static void fill(void)
{
    assert_int_equal(pipeline_options_fill(&config, reason), 0);
}

static void an_option_is_for_all_or_for_one_in_any_order(void **state)
{
    (void)state;
    say("workers", "me/b:v1=3");
    say("workers", "2");
    say("queue-timeout", "7s");
    say("queue-timeout", "me/a:v1=0");
    say("window", "me/p:v1=1m");
    fill();
    assert_int_equal(A->options.workers.max, 2);
    assert_int_equal(B->options.workers.max, 3);
    assert_int_equal(PYTHON->options.workers.max, 2);
    assert_int_equal(A->options.queue_timeout_ms, 0);
    assert_int_equal(B->options.queue_timeout_ms, 7000);
    assert_int_equal(B->options.window_bytes, RUN_WINDOW_BYTES);
    assert_int_equal(PYTHON->options.window_bytes, 1 << 20);
}

/* Of the whole table. */
/* One that it is not without a word. */
static const char *other_choice(const struct cli_option *option)
{
    uint32_t now;
    memcpy(&now, (const char *)PYTHON + option->offset, sizeof now);
    return option->choices[now == 1 ? 0 : 1];
}

static void what_is_said_for_one_pipeline_changes_no_other(void **state)
{
    (void)state;
    uint32_t tried = 0;
    for (size_t i = 0; i < serve_command.option_count; i++) {
        const struct cli_option *option = &serve_command.options[i];
        char text[64];
        if (!option->by_pipeline || option->kind == CLI_LIST)
            continue;
        char number[CLI_NUMBER_TEXT_BYTES];
        if (option->kind == CLI_TEXT)
            snprintf(text, sizeof text, "me/p:v1=%s",
                     option->is_list_of_json                 ? "[]"
                     : strcmp(option->name, "tenant") == 0   ? "field"
                     : strcmp(option->name, "affinity") == 0 ? "prefix 64"
                     : option->check                         ? "auto"
                                                             : "x");
        else if (option->kind == CLI_FLAG)
            snprintf(text, sizeof text, "me/p:v1");
        else if (option->kind == CLI_CHOICE)
            snprintf(text, sizeof text, "me/p:v1=%s", other_choice(option));
        else
            cli_format(option->kind, option->max, number),
                snprintf(text, sizeof text, "me/p:v1=%s", number);
        struct pipeline_config before[3];
        memcpy(before, config.pipelines, sizeof before);
        say(option->name, text);
        assert_int_equal(said_apply(&config.said, "me/a:v1", A, reason), 0);
        assert_int_equal(said_apply(&config.said, "me/b:v1", B, reason), 0);
        assert_memory_equal(config.pipelines, before, 2 * sizeof before[0]);
        assert_int_equal(said_apply(&config.said, "me/p:v1", PYTHON, reason), 0);
        const char *was = (const char *)&before[2], *is = (const char *)PYTHON;
        assert_memory_not_equal(is + option->offset, was + option->offset, option->bytes);
        memset((char *)&before[2] + option->offset, 0, option->bytes);
        memset((char *)PYTHON + option->offset, 0, option->bytes);
        assert_memory_equal(PYTHON, &before[2], sizeof before[2]);
        said_finish(&config.said);
        tried++;
    }
    assert_in_range(tried, 26, 100);
}

static void without_a_pointer_the_last_one_wins_and_with_it_there_is_one(void **state)
{
    (void)state;
    say("workers", "2");
    say("workers", "4");
    say("workers", "me/b:v1=3");
    is_refused("workers", "me/b:v1=3", "--workers is said twice for me/b:v1");
    say("workers", "4");
    say("workers", "5");
    say("concurrency", "me/b:v1=3");
    fill();
    assert_int_equal(B->options.workers.max, 5);
    say("allow-read", "me/b:v1=/a");
    say("allow-read", "me/b:v1=/b"); /* which add up */
    fill();
}

static void a_wrong_value_is_said_with_its_pipeline(void **state)
{
    (void)state;
    is_refused("workers", "0", "--workers 0 is never any; 0-1 is none or one");
    is_refused("workers", "me/b:v1=0", "me/b:v1: --workers 0 is never any; 0-1 is none or one");
    is_refused("workers",
               "me/b:v1=", "me/b:v1: --workers  is not a number, or two like 1-8 (0 to 256)");
    is_refused("workers", "me/b=3", "--workers me/b=3 is not a number, or two like 1-8 (0 to 256)");
    is_refused("run-timeout", "me/b:v1=10",
               "me/b:v1: --run-timeout 10 is not a time like 500ms, 10s or 2m (0 to 24h)");
    is_refused("python", "me/p:v1=", "me/p:v1: --python needs a value that is not empty");
    is_refused("allow-read", "me/p:v1=", "me/p:v1: --allow-read needs a value that is not empty");
    is_refused("seccomp", "me/a:v1=of", "me/a:v1: --seccomp of is none of default, strict, off");
}

static void a_pipeline_that_is_not_served_is_refused_with_the_nearest(void **state)
{
    (void)state;
    is_refused("workers", "me/c:v1=2",
               "--workers: no pipeline me/c:v1 is served (nearest: me/a:v1)");
    is_refused("workers", "you/words:v1=2", "--workers: no pipeline you/words:v1 is served");
    is_refused("python-threads", "me/p:v2",
               "--python-threads: no pipeline me/p:v2 is served (nearest: me/p:v1)");
    is_refused("allow-write", "me/c:v2=/tmp",
               "--allow-write: no pipeline me/c:v2 is served (nearest: me/a:v1)");
}

/* A pointer has a colon, begins with a letter or digit, and ends at the first '='. */
static void a_path_may_have_an_equals_sign(void **state)
{
    (void)state;
    say("python", "/srv/a:b=c/bin/python");
    fill();
    assert_string_equal(PYTHON->python, "/srv/a:b=c/bin/python");
    said_finish(&config.said);
    say("python", "./srv/a:b=c");
    fill();
    assert_string_equal(PYTHON->python, "./srv/a:b=c");
    said_finish(&config.said);
    say("python", "srv=a:b=c");
    fill();
    assert_string_equal(PYTHON->python, "srv=a:b=c");
    say("python", "me/p:v1=me/p:v1=x");
    fill();
    assert_string_equal(PYTHON->python, "me/p:v1=x");
    said_finish(&config.said);
    is_refused("python", "srv/a:b=c", "--python: no pipeline srv/a:b is served");
}

static void a_flag_takes_a_pointer_after_an_equals_sign(void **state)
{
    (void)state;
    say("recycle-runs", "10");
    say("recycle-overlap", NULL);
    say("recycle-overlap", "me/b:v1=off");
    say("python-threads", "me/p:v1");
    fill();
    assert_true(A->options.recycle_overlap);
    assert_false(B->options.recycle_overlap);
    assert_true(PYTHON->options.python_threads);
    assert_false(A->options.python_threads);
    assert_int_equal(config_place_count(&config), 2 + 1 + 2 + 1);
    is_refused("recycle-overlap", "yes", "--recycle-overlap yes is neither on nor off");
    is_refused("recycle-overlap", "me/b:v1=", "me/b:v1: --recycle-overlap  is neither on nor off");
    say("recycle-overlap", "me/b:v1");
    is_refused("recycle-overlap", "me/b:v1=off", "--recycle-overlap is said twice for me/b:v1");
}

static void an_overlap_of_what_never_happens_is_refused(void **state)
{
    (void)state;
    const char *why = "--recycle-overlap says how workers are replaced; --recycle-runs or "
                      "--recycle-memory says when, and neither is there";
    is_refused("recycle-overlap", NULL, why);
    say("recycle-runs", "me/a:v1=5");
    say("recycle-overlap", "on");
    fill();
    assert_true(A->options.recycle_overlap);
    assert_false(B->options.recycle_overlap); /* no place for what never comes */
    char text[256];
    snprintf(text, sizeof text, "me/b:v1: %s", why);
    is_refused("recycle-overlap", "me/b:v1", text);
}

static void what_is_for_python_is_for_python_pipelines(void **state)
{
    (void)state;
    is_refused("python", "me/a:v1=python3",
               "--python is for Python pipelines, and me/a:v1 is none");
    is_refused("python-threads", "me/a:v1",
               "--python-threads is for Python pipelines, and me/a:v1 is none");
    say("python", "python3");
    say("python-threads", NULL);
    fill();
    config_finish(&config);
    config_init(&config);
    assert_int_equal(config_add_pipeline(&config, "me/a:v1=a.so", reason), 0);
    say("python", "python3");
    fill();
    is_refused("python-threads", NULL,
               "--python-threads is for Python pipelines, and none is served");
}

static void what_all_together_need_is_the_sum_of_what_each_says(void **state)
{
    (void)state;
    say("workers", "me/b:v1=5");
    say("concurrency", "me/b:v1=2500");
    say("queue", "10");
    say("queue", "me/a:v1=0");
    say("recycle-runs", "me/b:v1=1");
    say("recycle-overlap", "me/b:v1");
    fill();
    assert_int_equal(config_complete(&config, 1 << 20, reason), 0);
    assert_int_equal(config.run_count_max, (1 + 0 + 1) + (5 * 2500 + 10 + 1) + (1 + 10 + 1));
    assert_int_equal(config_place_count(&config), 1 + 6 + 1 + 1);
    assert_int_equal(A->options.request_ring_bytes, REQUEST_RING_BYTES);
    assert_int_equal(B->options.request_ring_bytes, 2u << 20);
    assert_int_equal(config_complete(&config, 64 + 8 * 10, reason), -EINVAL);
    assert_non_null(strstr(reason, "8 workers and "));
}

static void without_memory_nothing_is_taken(void **state)
{
    (void)state;
    say("workers", "2");
    allocs_left = 0;
    int rc = take("workers", "3");
    allocs_left = UINT_MAX;
    assert_int_equal(rc, -ENOMEM);
    assert_string_equal(reason, "no memory");
    fill();
    assert_int_equal(A->options.workers.max, 2);
}

static void who_says_how_large_batches_are_has_so_many_runs_at_once(void **state)
{
    (void)state;
    say("batch-max", "me/a:v1=16");
    say("batch-max", "8");
    say("concurrency", "me/b:v1=4");
    say("batch-wait", "me/p:v1=7ms");
    fill();
    assert_int_equal(A->options.concurrency, 16);
    assert_int_equal(B->options.concurrency, 4);
    assert_int_equal(PYTHON->options.concurrency, 8);
    assert_int_equal(B->options.batch_count_max, 8);
    assert_int_equal(B->options.batch_wait_ms, BATCH_WAIT_MS);
    assert_int_equal(PYTHON->options.batch_wait_ms, 7);
    assert_true(A->options.batch_is_asked);
    assert_false(B->options.batch_is_asked);
    assert_true(PYTHON->options.batch_is_asked);
}

static void who_says_nothing_of_batches_has_one_run_at_once(void **state)
{
    (void)state;
    say("batch-wait", "5ms");
    fill();
    assert_int_equal(A->options.concurrency, 1);
    assert_int_equal(A->options.batch_count_max, BATCH_COUNT_MAX);
    assert_false(A->options.batch_is_asked);
}

#define OPTIONS_TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(an_option_is_for_all_or_for_one_in_any_order),
        OPTIONS_TEST(what_is_said_for_one_pipeline_changes_no_other),
        OPTIONS_TEST(without_a_pointer_the_last_one_wins_and_with_it_there_is_one),
        OPTIONS_TEST(a_wrong_value_is_said_with_its_pipeline),
        OPTIONS_TEST(a_pipeline_that_is_not_served_is_refused_with_the_nearest),
        OPTIONS_TEST(a_path_may_have_an_equals_sign),
        OPTIONS_TEST(a_flag_takes_a_pointer_after_an_equals_sign),
        OPTIONS_TEST(an_overlap_of_what_never_happens_is_refused),
        OPTIONS_TEST(what_is_for_python_is_for_python_pipelines),
        OPTIONS_TEST(what_all_together_need_is_the_sum_of_what_each_says),
        OPTIONS_TEST(who_says_how_large_batches_are_has_so_many_runs_at_once),
        OPTIONS_TEST(who_says_nothing_of_batches_has_one_run_at_once),
        OPTIONS_TEST(without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests_name("pipeline_options", tests, NULL, NULL);
}
