/* SPDX-License-Identifier: MIT */
/*
 * test_confinement.c - options that say what workers give up become lines for those workers.
 */
#include "dispatcher/cli/confinement.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/cli/config.h"

static struct config config;
static struct confinement_options options;
static char reason[CONFINEMENT_REASON_BYTES];

/* Two pipelines, me/a:v1 and me/b:v1. */
static int make(void **state)
{
    (void)state;
    options = (struct confinement_options){0};
    reason[0] = '\0';
    config_init(&config);
    struct rlimit limit = {.rlim_cur = 1500, .rlim_max = 1500};
    return config_add_pipeline(&config, "me/a:v1=a.so", reason) +
           config_add_pipeline(&config, "me/b:v1=b.so", reason) + setrlimit(RLIMIT_NOFILE, &limit);
}

static int drop(void **state)
{
    (void)state;
    config_finish(&config);
    return 0;
}

static void say(struct cli_list *list, const char *item)
{
    list->items[list->count++] = item;
}

static void text_is(uint32_t pipeline, const char *wanted)
{
    char *text;
    assert_int_equal(confinement_write(&config.pipelines[pipeline].confinement, &text, reason), 0);
    assert_string_equal(text, wanted);
    free(text);
}

/* The filter of system calls comes last, and only where the kernel has some. */
#define FILTER "deny=machine\n"

static void is_refused(struct cli_list *list, const char *item, const char *why)
{
    list->items[0] = item;
    list->count = 1;
    assert_int_equal(confinement_parse(&config, &options, reason), -EINVAL);
    assert_string_equal(reason, why);
    list->count = 0;
}

static void without_options_only_the_raised_limit_is_put_back(void **state)
{
    (void)state;
    assert_int_equal(confinement_parse(&config, &options, reason), 0);
    text_is(0, "nofile=1024:1500\n" FILTER);
    struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    text_is(1, "nofile=100:100\n" FILTER);
}

static void an_option_is_for_all_pipelines_or_for_the_one_it_names(void **state)
{
    (void)state;
    say(&options.nofile, "me/b:v1=70");
    say(&options.nofile, "64");
    say(&options.nofile, "65");
    say(&options.core, "me/a:v1=0");
    say(&options.core, "me/b:v1=inherit");
    say(&options.core, "unlimited");
    say(&options.data, "2g");
    say(&options.nproc, "me/b:v1=3");
    say(&options.nproc, "me/b:v1=4");
    assert_int_equal(confinement_parse(&config, &options, reason), 0);
    text_is(0, "nofile=65:65\ncore=0:0\ndata=2147483648:2147483648\n" FILTER);
    text_is(1, "nofile=70:70\ndata=2147483648:2147483648\nnproc=4:4\n" FILTER);
}

static void system_calls_are_denied_by_profile(void **state)
{
    (void)state;
    say(&options.seccomp, "off");
    say(&options.seccomp, "me/b:v1=strict");
    say(&options.network, "me/a:v1=none");
    assert_int_equal(confinement_parse(&config, &options, reason), 0);
    text_is(0, "nofile=1024:1500\ndeny=network\n");
    text_is(1, "nofile=1024:1500\ndeny=machine\ndeny=others\n");
    say(&options.seccomp, "me/b:v1=default");
    say(&options.network, "none");
    say(&options.network, "me/a:v1=all");
    assert_int_equal(confinement_parse(&config, &options, reason), 0);
    text_is(0, "nofile=1024:1500\n");
    text_is(1, "nofile=1024:1500\ndeny=machine\ndeny=network\n");
    is_refused(&options.network, "443", "--network 443 is none of all, none");
}

static void what_is_wrong_is_said_with_its_option(void **state)
{
    (void)state;
    is_refused(&options.nofile, "63", "--worker-nofile 63 is out of range, 64 to 1073741824");
    is_refused(&options.nofile, "me/a:v1=x",
               "--worker-nofile x is not a number (64 to 1073741824)");
    is_refused(&options.nofile, "me/c:v1=64",
               "--worker-nofile me/c:v1=64: no pipeline me/c:v1 is served");
    is_refused(&options.core, "me=0", "--worker-core me=0 is none of inherit, 0, unlimited");
    is_refused(&options.data, "1m", "--worker-data 1m is out of range, 16m to 1048576g");
    is_refused(&options.nproc, "0", "--worker-nproc 0 is out of range, 1 to 1073741824");
}

static void a_user_is_looked_up_with_all_his_groups(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root may change users\n");
        skip();
    }
    say(&options.user, "4321:1234");
    say(&options.user, "me/b:v1=daemon");
    assert_int_equal(confinement_parse(&config, &options, reason), 0);
    text_is(0, "nofile=1024:1500\nuid=4321\ngid=1234\ngroups=1234\n" FILTER);
    text_is(1, "nofile=1024:1500\nuid=1\ngid=1\ngroups=1\nhome=/usr/sbin\n" FILTER);
}

static void user_is_refused(const char *user, const char *why)
{
    char *text = NULL;
    config.pipelines[0].confinement.user_text = user;
    assert_int_equal(confinement_write(&config.pipelines[0].confinement, &text, reason), -EINVAL);
    assert_null(text);
    assert_string_equal(reason, why);
}

static void a_user_who_cannot_be_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        user_is_refused("daemon", "--worker-user daemon: only root can do that, with CAP_SETUID, "
                                  "CAP_SETGID and CAP_KILL");
        return;
    }
    user_is_refused("root", "--worker-user root: that is root");
    user_is_refused("0:1", "--worker-user 0:1: that is root");
    user_is_refused("no-one", "--worker-user no-one: there is no user no-one");
    user_is_refused("no-one:1", "--worker-user no-one:1: there is no user no-one");
    user_is_refused("4321", "--worker-user 4321: there is no user 4321, so its group must be said");
    user_is_refused("4294967295:1", "--worker-user 4294967295:1: there is no user 4294967295");
    user_is_refused("daemon:no-group", "--worker-user daemon:no-group: there is no group no-group");
    user_is_refused("daemon:", "--worker-user daemon:: it is NAME or NAME:GROUP");
    user_is_refused(":1", "--worker-user :1: it is NAME or NAME:GROUP");
    assert_int_equal(seteuid(1), 0);
    user_is_refused("daemon", "--worker-user daemon: only root can do that, with CAP_SETUID, "
                              "CAP_SETGID and CAP_KILL");
    assert_int_equal(seteuid(0), 0);
}

static void more_descriptors_than_the_server_has_are_refused(void **state)
{
    (void)state;
    say(&options.nofile, "me/b:v1=1501");
    assert_int_equal(confinement_parse(&config, &options, reason), 0);
    char *text = NULL;
    assert_int_equal(confinement_write(&config.pipelines[1].confinement, &text, reason), -EINVAL);
    assert_null(text);
    assert_string_equal(reason, "--worker-nofile 1501 is more than the hard limit of the server, "
                                "1500 (ulimit -Hn, LimitNOFILE=)");
    config.pipelines[1].confinement.nofile_max = 1500;
    text_is(1, "nofile=1500:1500\n" FILTER);
}

#define CONFINEMENT_TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFINEMENT_TEST(an_option_is_for_all_pipelines_or_for_the_one_it_names),
        CONFINEMENT_TEST(system_calls_are_denied_by_profile),
        CONFINEMENT_TEST(what_is_wrong_is_said_with_its_option),
        CONFINEMENT_TEST(a_user_is_looked_up_with_all_his_groups),
        CONFINEMENT_TEST(a_user_who_cannot_be_is_refused),
        CONFINEMENT_TEST(more_descriptors_than_the_server_has_are_refused),
        CONFINEMENT_TEST(without_options_only_the_raised_limit_is_put_back), /* lowers it */
    };
    return cmocka_run_group_tests_name("confinement", tests, NULL, NULL);
}
