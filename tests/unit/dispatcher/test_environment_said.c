/* SPDX-License-Identifier: MIT */
/*
 * test_environment_said.c - --env and --env-file become variables of pipelines, or what is wrong is
 * said without showing a value.
 */
#include "dispatcher/config/environment_said.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/pipeline_options.h"

static struct config config;
static char reason[CLI_REASON_BYTES];
static char path[] = "/tmp/test_environment_said.XXXXXX";
#define A (&config.pipelines[0].environment)
#define B (&config.pipelines[1].environment)

static int make(void **state)
{
    (void)state;
    config_init(&config);
    return config_add_pipeline(&config, "me/a:v1=a.so", reason) +
           config_add_pipeline(&config, "me/b:v1=b.so", reason);
}

static int drop(void **state)
{
    (void)state;
    config_finish(&config);
    return 0;
}

static int take(const char *name, const char *text)
{
    const struct cli_option *option = cli_find(&serve_command, name);
    assert_non_null(option);
    return said_take(&config.said, option, text, reason);
}

static void say(const char *name, const char *text)
{
    assert_int_equal(take(name, text), 0);
}

static void fill(void)
{
    assert_int_equal(pipeline_options_fill(&config, reason), 0);
}

/* By itself, or with all else that is said. */
static void is_refused(const char *name, const char *text, const char *why)
{
    int rc = take(name, text);
    if (rc == 0)
        rc = pipeline_options_fill(&config, reason);
    assert_int_equal(rc, -EINVAL);
    assert_string_equal(reason, why);
    said_finish(&config.said);
}

static void write_file(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void value_is(const struct environment *environment, const char *name, const char *wanted)
{
    const char *value = environment_own_value(environment, name);
    if (!wanted)
        assert_null(value);
    else
        assert_string_equal(value ? value : "(none)", wanted);
}

static void a_variable_is_for_all_or_for_one(void **state)
{
    (void)state;
    say("env", "me/a:v1=X=one");
    say("env", "X=both");
    say("env", "Y=a=b:c/d");
    say("env", "Z=");
    say("env", "me/b:v1=Z= two words\nand a line \xff");
    fill();
    value_is(A, "X", "one");
    value_is(B, "X", "both");
    value_is(A, "Y", "a=b:c/d");
    value_is(A, "Z", "");
    value_is(B, "Z", " two words\nand a line \xff");
    assert_int_equal(B->count, 3);
}

static void a_name_alone_passes_on_what_this_process_has(void **state)
{
    (void)state;
    setenv("MR_TEST_TOKEN", "s=3cret", 1);
    setenv("MR_TEST_EMPTY", "", 1);
    say("env", "MR_TEST_TOKEN");
    say("env", "me/b:v1=MR_TEST_EMPTY");
    fill();
    value_is(A, "MR_TEST_TOKEN", "s=3cret");
    value_is(A, "MR_TEST_EMPTY", NULL);
    value_is(B, "MR_TEST_EMPTY", "");
    said_finish(&config.said);
    unsetenv("MR_TEST_TOKEN");
    unsetenv("MR_TEST_EMPTY");
    is_refused("env", "MR_TEST_TOKEN",
               "--env MR_TEST_TOKEN: this server has no such variable (MR_TEST_TOKEN= is an empty "
               "one)");
}

static void of_several_the_nearest_word_counts(void **state)
{
    (void)state;
    static const char text[] = "X=file\nY=file\nZ=file\n";
    char of_b[64];
    write_file(text, sizeof text - 1);
    snprintf(of_b, sizeof of_b, "me/b:v1=%s", path);
    say("env", "me/b:v1=X=its");
    say("env", "X=word");
    say("env", "Y=older");
    say("env", "Y=word");
    say("env-file", path);
    say("env-file", of_b);
    fill();
    value_is(A, "X", "word");
    value_is(A, "Y", "word");
    value_is(A, "Z", "file");
    value_is(B, "X", "its");
    value_is(B, "Y", "file"); /* its own file goes before a word for all */
}

static void a_file_has_lines_as_they_stand(void **state)
{
    (void)state;
    static const char text[] =
        "\xef\xbb\xbf# a comment\n\n   \n  # another\nA=1\n  B= \"two\" $A # x \n"
        "C=\r\nD=\xff\xc3\xa4\n_e9==\nLAST=no newline";
    write_file(text, sizeof text - 1);
    say("env-file", path);
    fill();
    value_is(A, "A", "1");
    value_is(A, "B", " \"two\" $A # x ");
    value_is(A, "C", "");
    value_is(A, "D", "\xff\xc3\xa4");
    value_is(A, "_e9", "=");
    value_is(A, "LAST", "no newline");
    assert_int_equal(A->count, 6);
}

static void a_file_is_refused(const char *text, size_t bytes, const char *why)
{
    char whole[256];
    write_file(text, bytes);
    snprintf(whole, sizeof whole, "--env-file %s:%s", path, why);
    is_refused("env-file", path, whole);
    assert_int_equal(A->count, 0);
}

#define FILE_IS_REFUSED(text, why) a_file_is_refused(text, sizeof(text) - 1, why)

static void a_bad_line_is_said_with_its_number_and_no_word_of_it(void **state)
{
    (void)state;
    static const char form[] = "it is not NAME=VALUE (a name has letters, digits and _)";
    char why[128];
    snprintf(why, sizeof why, "2: %s", form);
    FILE_IS_REFUSED("A=1\nsecret\n", why);
    FILE_IS_REFUSED("A=1\nexport B=secret", why);
    FILE_IS_REFUSED("# x\n\"B\"=secret", why);
    FILE_IS_REFUSED("\nsec/ret+==\n", why);
    FILE_IS_REFUSED("\n=secret\n", why);
    FILE_IS_REFUSED("A=1\nB=sec\0ret\n", "2: it has a NUL byte");
    FILE_IS_REFUSED("A=1\n\nA=2\n", "3: the variable A is given twice");
    FILE_IS_REFUSED("MILLRACE_X=1", "1: names that begin with MILLRACE_ are the server's own");
}

static void a_file_that_is_none_or_has_no_end_is_refused(void **state)
{
    (void)state;
    is_refused("env-file", "/nowhere/x", "--env-file /nowhere/x: No such file or directory");
    is_refused("env-file", "me/a:v1=/tmp", "--env-file /tmp: Is a directory");
    is_refused("env-file", "/dev/zero", "--env-file /dev/zero: it is larger than 262144 bytes");
    say("env-file", "/dev/null");
    fill();
    assert_int_equal(A->count, 0);
}

static void what_is_wrong_with_a_word_is_said_without_its_value(void **state)
{
    (void)state;
    is_refused("env", "9A=secret",
               "--env: it is not NAME=VALUE (a name has letters, digits and _)");
    is_refused("env", "A.B=secret",
               "--env A: it is not NAME=VALUE (a name has letters, digits and _)");
    is_refused("env", "MILLRACE_WORKER_INDEX=1",
               "--env MILLRACE_WORKER_INDEX: names that begin with MILLRACE_ are the server's own");
    is_refused("env", "me/c:v1=A=secret",
               "--env: no pipeline me/c:v1 is served (nearest: me/a:v1)");
    say("env", "me/a:v1=A=1");
    is_refused("env", "me/a:v1=A=secret", "--env A is said twice for me/a:v1");
    static char item[ENVIRONMENT_BYTES_MAX + 1];
    memset(item, 'x', sizeof item - 1);
    memcpy(item, "A=", 2);
    is_refused("env", item, "--env A: the variables of a pipeline have 65536 bytes at most");
    item[40000] = '\0';
    say("env", item);
    char other[40001];
    memcpy(other, item, sizeof other);
    other[0] = 'B';
    is_refused("env", other,
               "me/a:v1: --env: the variables of a pipeline have 65536 bytes at most");
}

#define SAID_TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

static int file_make(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd == -1 ? -1 : close(fd);
}

static int file_drop(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        SAID_TEST(a_variable_is_for_all_or_for_one),
        SAID_TEST(a_name_alone_passes_on_what_this_process_has),
        SAID_TEST(of_several_the_nearest_word_counts),
        SAID_TEST(a_file_has_lines_as_they_stand),
        SAID_TEST(a_bad_line_is_said_with_its_number_and_no_word_of_it),
        SAID_TEST(a_file_that_is_none_or_has_no_end_is_refused),
        SAID_TEST(what_is_wrong_with_a_word_is_said_without_its_value),
    };
    return cmocka_run_group_tests_name("environment_said", tests, file_make, file_drop);
}
