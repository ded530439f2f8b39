/* SPDX-License-Identifier: MIT */
/* test_oom.c - where kills for memory are counted, and when the count says something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "dispatcher/workers/oom.h"

static void assert_path(const char *cgroups, const char *expected)
{
    char path[PATH_MAX];
    assert_true(oom_path(cgroups, path, sizeof(path)));
    assert_string_equal(path, expected);
}

static void version_2_counts_in_memory_events(void **state)
{
    (void)state;
    assert_path("0::/system.slice/millrace.service\n",
                "/sys/fs/cgroup/system.slice/millrace.service/memory.events");
    assert_path("0::/\n", "/sys/fs/cgroup//memory.events");
}

static void version_1_counts_in_oom_control(void **state)
{
    (void)state;
    assert_path("9:pids:/a\n4:memory:/docker/7\n0::/\n",
                "/sys/fs/cgroup/memory/docker/7/memory.oom_control");
    assert_path("0::/x\n4:memory:/y\n", "/sys/fs/cgroup/memory/y/memory.oom_control");
}

static void without_a_group_for_memory_nothing_is_counted(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_false(oom_path("", path, sizeof(path)));
    assert_false(oom_path("\n:\nnonsense\n3:cpu:/a\n", path, sizeof(path)));
    assert_false(oom_path("0::/a-path-that-does-not-fit\n", path, 16));
}

static void count_set(const char *path, unsigned count)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "low 0\nmax 12\noom 7\noom_kill %u\noom_group_kill 0\n", count);
    fclose(file);
}

static void only_a_count_that_grew_says_something(void **state)
{
    (void)state;
    struct oom_watch watch = {0};
    snprintf(watch.path, sizeof(watch.path), "/tmp/test_oom.%d", (int)getpid());
    assert_false(oom_watch_look(&watch)); /* no such file */
    count_set(watch.path, 0);
    assert_false(oom_watch_look(&watch));
    count_set(watch.path, 1);
    assert_true(oom_watch_look(&watch));
    assert_false(oom_watch_look(&watch));
    count_set(watch.path, 3);
    assert_true(oom_watch_look(&watch));
    unlink(watch.path);
    assert_false(oom_watch_look(&watch));
}

static void what_was_counted_before_the_start_is_not_news(void **state)
{
    (void)state;
    struct oom_watch watch;
    oom_watch_init(&watch);
    assert_false(oom_watch_look(&watch));
}

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_counts_in_memory_events),
        cmocka_unit_test(version_1_counts_in_oom_control),
        cmocka_unit_test(without_a_group_for_memory_nothing_is_counted),
        cmocka_unit_test(only_a_count_that_grew_says_something),
        cmocka_unit_test(what_was_counted_before_the_start_is_not_news),
    };
    return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}
