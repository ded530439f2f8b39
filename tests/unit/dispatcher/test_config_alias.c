/* SPDX-License-Identifier: MIT */
/* test_config_alias.c - aliases of a file, and each way in which they can be wrong. */
#include "dispatcher/config/config_alias.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/taken_file.h"

#define PIPELINES "pipelines: {me/a:v1: a.so, me/b:v1: b.so}\naliases:\n"

static int take(const char *text)
{
    return take_as("f.yaml", text);
}

/* All that is wrong with these aliases, below PIPELINES, is this. */
static void refused(const char *aliases, const char *line)
{
    char text[8192];
    drop(NULL);
    make(NULL);
    snprintf(text, sizeof text, "%s%s", PIPELINES, aliases);
    assert_int_equal(take(text), -EINVAL);
    assert_string_equal(problems.items[0].line, line);
    assert_int_equal(problems.count, 1);
}

static void expect_target(const struct alias_config *alias, uint32_t number, const char *pointer,
                          uint32_t weight)
{
    assert_true(number < alias->target_count);
    assert_string_equal(alias->targets[number].pointer, pointer);
    assert_int_equal(alias->targets[number].weight, weight);
}

static void each_way_to_say_an_alias_is_taken(void **state)
{
    (void)state;
    setenv("SHARE", "7", 1);
    assert_int_equal(take("aliases: # before what they lead to\n"
                          "  me/one:x: me/a:v1\n"
                          "  me/two:x: {me/a:v1: 1000000, me/b:v1: 0}\n"
                          "  me/three:x: {to: me/b:v1, sticky: token}\n"
                          "  me/four:x: {to: {me/b:v1: '${SHARE}'}, sticky: header  X-User}\n"
                          "pipelines: {me/a:v1: a.so, me/b:v1: b.so}\n"),
                     0);
    const struct alias_config *aliases = values.config.aliases;
    assert_int_equal(values.config.alias_count, 4);
    assert_string_equal(aliases[0].pointer, "me/one:x");
    assert_int_equal(aliases[0].target_count, 1);
    expect_target(&aliases[0], 0, "me/a:v1", 1);
    assert_int_equal(aliases[0].sticky, ALIAS_STICKY_NOT);
    assert_int_equal(aliases[1].target_count, 2);
    expect_target(&aliases[1], 0, "me/a:v1", 1000000);
    expect_target(&aliases[1], 1, "me/b:v1", 0);
    expect_target(&aliases[2], 0, "me/b:v1", 1);
    assert_int_equal(aliases[2].sticky, ALIAS_STICKY_TOKEN);
    assert_null(aliases[2].header);
    expect_target(&aliases[3], 0, "me/b:v1", 7);
    assert_int_equal(aliases[3].sticky, ALIAS_STICKY_HEADER);
    assert_string_equal(aliases[3].header, "x-user");
    drop(NULL);
    make(NULL);
    assert_int_equal(take("aliases:\n"), 0);
    assert_int_equal(values.config.alias_count, 0);
}

static void what_the_command_line_serves_can_be_led_to(void **state)
{
    (void)state;
    char *items[] = {"me/c:v1=c.so", "d.so", "=wrong"};
    words.items = items;
    words.count = 3;
    assert_int_equal(take("aliases: {me/one:x: me/c:v1, me/two:x: local/d:v1}\n"), 0);
    refused("  me/one:x: me/c:v1\n",
            "f.yaml:3:13: aliases.me/one:x: unknown alias target \"me/c:v1\" (nearest: me/a:v1)");
    drop(NULL);
    make(NULL);
    words.items = items;
    words.count = 2;
    assert_int_equal(take("aliases: {me/c:v1: local/d:v1}\n"), -EINVAL);
    assert_string_equal(problems.items[0].line,
                        "f.yaml:1:11: aliases.me/c:v1: this is the pointer of a pipeline: an alias "
                        "needs another one");
}

static void what_is_no_alias_is_told_with_its_place(void **state)
{
    (void)state;
    drop(NULL);
    make(NULL);
    assert_int_equal(take("aliases: [me/a:v1]\n"), -EINVAL);
    assert_string_equal(problems.items[0].line,
                        "f.yaml:1:10: aliases: it is pointers and where they lead, like "
                        "me/chat:prod: me/chat:v2");
    refused("  one: me/a:v1\n", "f.yaml:3:3: aliases: 'one' is not a pointer like me/chat:prod");
    refused("  me/a:x:\n", "f.yaml:3:10: aliases.me/a:x: target has no value");
    refused("  me/a:x: [me/a:v1]\n",
            "f.yaml:3:11: aliases.me/a:x: it leads to one pipeline, like me/chat:v2, or to some "
            "with their weights, like {me/chat:v2: 90, me/chat:v3: 10}");
    refused("  me/a:x: {}\n", "f.yaml:3:11: aliases.me/a:x: it leads nowhere: it has no pipelines, "
                              "like me/chat:v2");
    refused("  me/a:x: a\n", "f.yaml:3:11: aliases.me/a:x: 'a' is not a pointer like me/chat:v2");
    refused("  me/a:x: {to: me/a:v1, stiky: token}\n",
            "f.yaml:3:25: aliases.me/a:x: unknown key \"stiky\" (nearest: sticky)");
    refused("  me/a:x: {sticky: token}\n",
            "f.yaml:3:3: aliases.me/a:x: it leads nowhere: it has no to, like to: me/chat:v2");
    refused("  me/a:x: {to: me/a:v1, me/b:v1: 1}\n",
            "f.yaml:3:25: aliases.me/a:x: unknown key \"me/b:v1\"");
    refused("  me/a:x: {to: me/a:v1, sticky: header X User}\n",
            "f.yaml:3:33: aliases.me/a:x: sticky 'header X User' is neither token nor the name of "
            "a header, like header X-User (of 64 letters at most)");
    refused("  me/a:x: {to: me/a:v1, sticky: 'header X-User:'}\n",
            "f.yaml:3:33: aliases.me/a:x: sticky 'header X-User:' is neither token nor the name of "
            "a header, like header X-User (of 64 letters at most)");
    refused("  me/a:x: me/a:v1\n  me/a:x: me/b:v1\n",
            "f.yaml:4:3: me/a:x is there twice: line 3 has it, too");
}

static void what_a_weight_cannot_be_is_told_with_its_place(void **state)
{
    (void)state;
    refused("  me/a:x: {me/a:v1: 1000001}\n",
            "f.yaml:3:21: aliases.me/a:x: weight 1000001 is out of range, 0 to 1000000");
    refused("  me/a:x: {me/a:v1: -1}\n",
            "f.yaml:3:21: aliases.me/a:x: weight -1 is not a number (0 to 1000000)");
    refused("  me/a:x: {me/a:v1: 0.5}\n",
            "f.yaml:3:21: aliases.me/a:x: weight 0.5 is not a number (0 to 1000000)");
    refused("  me/a:x: {me/a:v1: }\n", "f.yaml:3:21: aliases.me/a:x: weight has no value");
    refused("  me/a:x: {me/a:v1: 0, me/b:v1: 0}\n",
            "f.yaml:3:11: aliases.me/a:x: it leads nowhere: one weight at least is above 0");
    refused("  me/a:x: {to: {me/a:v1: 1, 'me a': 1}}\n",
            "f.yaml:3:29: aliases.me/a:x: 'me a' is not a pointer like me/chat:v2");
}

static void where_an_alias_cannot_lead_is_told_with_its_place(void **state)
{
    (void)state;
    refused("  me/a:x: {me/a:v1: 90, me/b:v2: 10}\n",
            "f.yaml:3:25: aliases.me/a:x: unknown alias target \"me/b:v2\" (nearest: me/b:v1)");
    refused("  me/a:x: somebody/else:v9\n",
            "f.yaml:3:11: aliases.me/a:x: unknown alias target \"somebody/else:v9\"");
    refused("  me/a:x: me/a:v1\n  me/b:x: me/a:x\n",
            "f.yaml:4:11: aliases.me/b:x: me/a:x is an alias, too: name the pipelines that it "
            "leads to");
    refused("  me/a:v1: me/b:v1\n", "f.yaml:3:3: aliases.me/a:v1: this is the pointer of a "
                                    "pipeline: an alias needs another one");
    drop(NULL);
    make(NULL);
    /* The pipeline is wrong, and not where the alias leads. */
    assert_int_equal(take("pipelines: {me/a:v1: 'a.so:x y'}\naliases: {me/a:x: me/a:v1}\n"),
                     -EINVAL);
    assert_int_equal(problems.count, 1);
}

static void there_is_no_room_for_more_than_some(void **state)
{
    (void)state;
    char text[8192];
    size_t bytes = 0;
    for (uint32_t i = 0; i <= ALIAS_COUNT_MAX; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "  me/%u:x: me/a:v1\n", i);
    refused(text, "f.yaml:67:3: aliases.me/64:x: 64 aliases at most");
    bytes = (size_t)snprintf(text, sizeof text, "pipelines:\n");
    for (uint32_t i = 0; i <= ALIAS_TARGET_COUNT_MAX; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "  me/%u:v: a.so\n", i);
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "aliases:\n  me/a:x:\n");
    for (uint32_t i = 0; i <= ALIAS_TARGET_COUNT_MAX; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "    me/%u:v: 1\n", i);
    drop(NULL);
    make(NULL);
    assert_int_equal(take(text), -EINVAL);
    assert_string_equal(problems.items[0].line,
                        "f.yaml:21:5: aliases.me/a:x: it leads to 8 pipelines at most");
    bytes = 0;
    for (uint32_t i = 0; i <= ALIAS_HEADER_COUNT_MAX + 1; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes,
                                  "  me/%u:x: {to: me/a:v1, sticky: header X-%u}\n", i,
                                  i > 0 ? i - 1 : 0); /* the first two have the same */
    refused(text, "f.yaml:8:3: aliases: me/5:x has one header too many: aliases look at 4 "
                  "different ones at most");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_way_to_say_an_alias_is_taken, make, drop),
        cmocka_unit_test_setup_teardown(what_the_command_line_serves_can_be_led_to, make, drop),
        cmocka_unit_test_setup_teardown(what_is_no_alias_is_told_with_its_place, make, drop),
        cmocka_unit_test_setup_teardown(what_a_weight_cannot_be_is_told_with_its_place, make, drop),
        cmocka_unit_test_setup_teardown(where_an_alias_cannot_lead_is_told_with_its_place, make,
                                        drop),
        cmocka_unit_test_setup_teardown(there_is_no_room_for_more_than_some, make, drop),
    };
    return cmocka_run_group_tests_name("config_alias", tests, NULL, NULL);
}
