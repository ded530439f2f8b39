/* SPDX-License-Identifier: MIT */
/* test_rank_source.c - what is said of tenants, keys and classes of tokens. */
#include "dispatcher/config/rank_source.h"

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
#include "dispatcher/config/pipeline_options.h"
#include "dispatcher/config/token_class.h"
#include "dispatcher/text/run_class.h"

static struct config config;
static char reason[CLI_REASON_BYTES];

static int scene_open(void **state)
{
    (void)state;
    config_init(&config);
    return config_add_pipeline(&config, "me/a:v1=a.so", reason) +
           config_add_pipeline(&config, "me/b:v1=b.so", reason);
}

static int scene_close(void **state)
{
    (void)state;
    config_finish(&config);
    return 0;
}

static int say(const char *name, const char *text)
{
    return said_take(&config.said, cli_find(&serve_command, name), text, reason);
}

static void said(const char *name, const char *text)
{
    assert_int_equal(say(name, text), 0);
}

static void each_pipeline_has_its_sources(void **state)
{
    (void)state;
    said("schedule", "me/a:v1=fair");
    said("tenant", "me/a:v1=header X-Tenant");
    said("affinity", "prefix 65536");
    said("affinity", "me/a:v1=header x-TENANT");
    assert_int_equal(pipeline_options_fill(&config, reason), 0);
    const struct pipeline_config *a = &config.pipelines[0], *b = &config.pipelines[1];
    assert_int_equal(a->tenant_by.kind, RANK_BY_HEADER);
    assert_int_equal(a->affinity_by.kind, RANK_BY_HEADER);
    assert_int_equal(a->affinity_by.header, a->tenant_by.header);
    assert_int_equal(config.rank_headers.count, 1);
    assert_string_equal(config.rank_headers.items[0].text, "x-tenant");
    assert_int_equal(b->tenant_by.kind, RANK_BY_TOKEN);
    assert_int_equal(b->affinity_by.kind, RANK_BY_PREFIX);
    assert_int_equal(b->affinity_by.prefix_bytes, 65536);
    assert_true(config.has_classes);
}

static void without_a_word_nothing_is_looked_at(void **state)
{
    (void)state;
    assert_int_equal(pipeline_options_fill(&config, reason), 0);
    assert_int_equal(config.pipelines[0].affinity_by.kind, RANK_BY_NOTHING);
    assert_int_equal(config.rank_headers.count, 0);
    assert_false(config.has_classes);
}

static void tenants_are_for_fair_schedules(void **state)
{
    (void)state;
    said("tenant", "field");
    assert_int_equal(pipeline_options_fill(&config, reason), -EINVAL);
    assert_string_equal(reason, "--tenant is for --schedule fair, and no pipeline has that");
    said("schedule", "me/a:v1=fair");
    assert_int_equal(pipeline_options_fill(&config, reason), 0);
    said("tenant", "me/b:v1=field");
    assert_int_equal(pipeline_options_fill(&config, reason), -EINVAL);
    assert_string_equal(reason, "--tenant is for --schedule fair, and me/b:v1 is fifo");
}

static void what_is_no_source_is_refused(void **state)
{
    (void)state;
    static const char *const tenants[] = {"",           "tokens",     "header",   "header ",
                                          "header a b", "header a:b", "prefix 5", "none"};
    static const char *const keys[] = {"",         "token",     "prefix",       "prefix 0",
                                       "prefix x", "prefix 1k", "prefix 65537", "prefix -1"};
    char longest[100] = "header ";
    for (size_t i = 0; i < sizeof tenants / sizeof tenants[0]; i++)
        assert_int_equal(say("tenant", tenants[i]), -EINVAL);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(say("affinity", keys[i]), -EINVAL);
    memset(longest + strlen(longest), 'x', RANK_HEADER_BYTES_MAX);
    said("affinity", longest);
    longest[strlen(longest)] = 'x';
    assert_int_equal(say("affinity", longest), -EINVAL);
}

static void there_are_so_many_headers(void **state)
{
    (void)state;
    char text[64], sayings[RANK_HEADER_COUNT_MAX + 1][64];
    for (uint32_t i = 2; i <= RANK_HEADER_COUNT_MAX; i++) {
        snprintf(text, sizeof text, "me/%c:v1=%c.so", 'a' + i, 'a' + i);
        assert_int_equal(config_add_pipeline(&config, text, reason), 0);
    }
    for (uint32_t i = 0; i <= RANK_HEADER_COUNT_MAX; i++) {
        snprintf(sayings[i], sizeof sayings[i], "me/%c:v1=header X-%u", 'a' + i, i);
        said("affinity", sayings[i]);
    }
    assert_int_equal(pipeline_options_fill(&config, reason), -EINVAL);
    assert_string_equal(reason, "header X-4 is one too many: --tenant and --affinity look at 4 "
                                "different ones at most");
}

/* ---- classes ------------------------------------------------------------------------------- */

static void classes_are_words_or_digits(void **state)
{
    (void)state;
    uint32_t class;
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++) {
        char digit = (char)('0' + i);
        const char *name = run_class_name(i);
        assert_int_equal(run_class_read(&digit, 1, &class), 0);
        assert_int_equal(class, i);
        assert_int_equal(run_class_read(name, strlen(name), &class), 0);
        assert_int_equal(class, i);
    }
    static const char *const wrong[] = {"",   "10",    "-1",     "00",
                                        " 1", "Batch", "batch ", "interactiv"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(run_class_read(wrong[i], strlen(wrong[i]), &class), -EINVAL);
}

static void tokens_are(const char *const *names, size_t count)
{
    config.tokens.entries = calloc(count, sizeof *config.tokens.entries);
    for (; config.tokens.count < count; config.tokens.count++)
        config.tokens.entries[config.tokens.count].name = strdup(names[config.tokens.count]);
}

static int classes_are(const char *first, const char *second)
{
    config.token_classes = (struct cli_list){.items = {first, second}, .count = second ? 2 : 1};
    return token_classes_fill(&config, reason);
}

static void a_token_has_the_class_that_is_said_of_it_or_of_all_others(void **state)
{
    (void)state;
    tokens_are((const char *const[]){"alice", "nightly"}, 2);
    assert_int_equal(token_classes_fill(&config, reason), 0);
    assert_int_equal(config.tokens.entries[0].class, RUN_CLASS_INTERACTIVE);
    assert_int_equal(config.others_class, RUN_CLASS_NONE);
    assert_int_equal(classes_are("nightly=batch", NULL), 0);
    assert_int_equal(config.tokens.entries[0].class, RUN_CLASS_INTERACTIVE);
    assert_int_equal(config.tokens.entries[1].class, RUN_CLASS_BATCH);
    assert_int_equal(classes_are("nightly=9", "*=0"), 0);
    assert_int_equal(config.tokens.entries[0].class, 0);
    assert_int_equal(config.tokens.entries[1].class, 9);
    assert_int_equal(config.others_class, 0);
    assert_int_equal(classes_are("bob=9", NULL), -EINVAL);
    assert_string_equal(reason, "--token-class bob: there is no token of this name");
}

static void what_is_no_class_of_a_token_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",       "a",     "=1",   "a=",   "a=10",
                                        "a=fast", "a b=1", "**=1", "a=1=2"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(token_class_check(wrong[i], reason), -EINVAL);
    assert_int_equal(token_class_check("me@example.org=interactive", reason), 0);
}

#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        SCENE_TEST(each_pipeline_has_its_sources),
        SCENE_TEST(without_a_word_nothing_is_looked_at),
        SCENE_TEST(tenants_are_for_fair_schedules),
        SCENE_TEST(what_is_no_source_is_refused),
        SCENE_TEST(there_are_so_many_headers),
        SCENE_TEST(classes_are_words_or_digits),
        SCENE_TEST(a_token_has_the_class_that_is_said_of_it_or_of_all_others),
        SCENE_TEST(what_is_no_class_of_a_token_is_refused),
    };
    return cmocka_run_group_tests_name("rank_source", tests, NULL, NULL);
}
