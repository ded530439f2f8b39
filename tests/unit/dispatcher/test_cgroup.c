/* SPDX-License-Identifier: MIT */
/*
 * test_cgroup.c - control groups as far as files go: a folder stands for the kernel's.
 */
#include "dispatcher/workers/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MOUNTS                                                                                     \
    "22 1 0:20 / /proc rw - proc proc rw\n"                                                        \
    "30 23 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"

static char top[64];
static char reason[CGROUP_REASON_BYTES];

static int make(void **state)
{
    (void)state;
    snprintf(top, sizeof(top), "/tmp/test_cgroup.XXXXXX");
    reason[0] = '\0';
    return mkdtemp(top) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", top);
    return system(command);
}

/* ---- where it is --------------------------------------------------------------------------- */

static void folder_is(const char *mounts, const char *groups, const char *wanted)
{
    char folder[PATH_MAX];
    assert_int_equal(cgroup_folder(mounts, groups, folder), 0);
    assert_string_equal(folder, wanted);
}

static void the_group_is_below_what_is_mounted(void **state)
{
    (void)state;
    const char *all =
        MOUNTS "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 c rw\n";
    folder_is(all, "0::/system.slice/millrace.service\n",
              "/sys/fs/cgroup/system.slice/millrace.service");
    folder_is(all, "4:memory:/x\n0::/a\n", "/sys/fs/cgroup/a");
    folder_is(all, "0::/\n", "/sys/fs/cgroup");
    folder_is("31 23 0:27 / /unified rw - cgroup2 c rw\n", "0::/a", "/unified/a");
}

static void a_container_mounts_its_own_group(void **state)
{
    (void)state;
    const char *mounts = MOUNTS "31 23 0:27 /docker/7 /sys/fs/cgroup ro - cgroup2 c rw\n";
    folder_is(mounts, "0::/docker/7\n", "/sys/fs/cgroup");
    folder_is(mounts, "0::/docker/7/inner\n", "/sys/fs/cgroup/inner");
    char folder[PATH_MAX];
    assert_int_equal(cgroup_folder(mounts, "0::/docker/77\n", folder), -ENOENT);
    assert_int_equal(cgroup_folder(mounts, "0::/\n", folder), -ENOENT);
}

static void without_version_2_there_is_none(void **state)
{
    (void)state;
    char folder[PATH_MAX];
    assert_int_equal(cgroup_folder(MOUNTS, "0::/a\n", folder), -ENOENT);
    assert_int_equal(cgroup_folder("31 23 0:27 / /c rw - cgroup2 c rw\n", "4:memory:/a\n", folder),
                     -ENOENT);
    assert_int_equal(cgroup_folder("", "", folder), -ENOENT);
    assert_int_equal(cgroup_folder("31 23\n\n- cgroup2\n", "0::/a\n", folder), -ENOENT);
}

/* ---- what is in it ------------------------------------------------------------------------- */

static void file_make(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void folder_make(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static bool is_there(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    return access(path, F_OK) == 0;
}

static void file_is(const char *name, const char *wanted)
{
    char path[256], text[128] = "";
    snprintf(path, sizeof(path), "%s/%s", top, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_string_equal(text, wanted);
}

/* Names as the server makes them, which the kernel would fill with files. */
static const char *own(const char *rest)
{
    static char names[4][64];
    static unsigned next;
    char *name = names[next++ % 4];
    snprintf(name, sizeof(names[0]), "millrace-%d%s", (int)getpid(), rest);
    return name;
}

static void the_server_moves_out_of_the_way_of_its_workers(void **state)
{
    (void)state;
    file_make("cgroup.controllers", "cpuset cpu memory pids\n");
    file_make("cgroup.subtree_control", "cpu\n");
    folder_make(own(""));
    file_make(own("/cgroup.procs"), "");
    assert_int_equal(cgroup_prepare(top, reason), 0);
    file_is(own("/cgroup.procs"), "0");
    file_is("cgroup.subtree_control", "+memory");
}

static void a_group_that_is_divided_already_is_taken_as_it_is(void **state)
{
    (void)state;
    file_make("cgroup.controllers", "memory\n");
    file_make("cgroup.subtree_control", "pids memory\n");
    assert_int_equal(cgroup_prepare(top, reason), 0);
    file_is("cgroup.subtree_control", "pids memory\n");
    assert_false(is_there(own("")));
}

static void what_cannot_limit_memory_says_how_it_could(void **state)
{
    (void)state;
    static const char advice[] =
        "Delegate=memory in its unit, or systemd-run --scope -p Delegate=yes";
    char wanted[256];
    file_make("cgroup.controllers", "cpu memory_not pids\n");
    assert_int_equal(cgroup_prepare(top, reason), -ENOTSUP);
    snprintf(wanted, sizeof(wanted), "the control group %s cannot limit memory (%s)", top, advice);
    assert_string_equal(reason, wanted);
    file_make("cgroup.controllers", "memory\n");
    assert_int_equal(cgroup_prepare(top, reason), -ENOENT); /* no cgroup.procs */
    snprintf(wanted, sizeof(wanted),
             "the control group %s is not ours to divide: No such file or directory (%s)", top,
             advice);
    assert_string_equal(reason, wanted);
}

static pid_t dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void groups_of_dead_servers_are_removed(void **state)
{
    (void)state;
    char dead[64], full[96];
    snprintf(dead, sizeof(dead), "millrace-%d-0-0", (int)dead_pid());
    snprintf(full, sizeof(full), "millrace-%d", (int)dead_pid());
    file_make("cgroup.controllers", "memory\n");
    file_make("cgroup.subtree_control", "memory\n");
    folder_make(dead);
    folder_make(full);
    folder_make("millrace-1-0-0");
    folder_make("millrace-x");
    folder_make("other");
    char inner[160];
    snprintf(inner, sizeof(inner), "%s/inner", full);
    folder_make(inner);
    assert_int_equal(cgroup_prepare(top, reason), 0);
    assert_false(is_there(dead));
    assert_true(is_there(full));
    assert_true(is_there("millrace-1-0-0"));
    assert_true(is_there("millrace-x"));
    assert_true(is_there("other"));
}

static void a_group_has_its_limits_and_counts_its_kills(void **state)
{
    (void)state;
    struct cgroup *group;
    folder_make("w");
    file_make("w/memory.max", "max\n");
    file_make("w/memory.oom.group", "0\n");
    file_make("w/cgroup.kill", "");
    file_make("w/memory.events", "low 0\noom 1\noom_kill 3\noom_group_kill 1\n");
    assert_int_equal(cgroup_create(&group, top, "w", 5u << 20, reason), 0);
    file_is("w/memory.max", "5242880");
    file_is("w/memory.oom.group", "1\n");
    assert_false(is_there("w/memory.swap.max")); /* there is no swap */
    assert_false(cgroup_has_killed(group));
    file_make("w/memory.events", "low 0\noom 1\noom_kill 5\noom_group_kill 2\n");
    assert_true(cgroup_has_killed(group));
    assert_false(cgroup_has_killed(group));
    cgroup_kill(group);
    file_is("w/cgroup.kill", "1");
    cgroup_destroy(group);
    file_make("w/memory.swap.max", "max\n");
    assert_int_equal(cgroup_create(&group, top, "w", 5u << 20, reason), 0);
    file_is("w/memory.swap.max", "0ax\n");
    cgroup_destroy(group);
    cgroup_destroy(NULL);
}

static void a_group_without_its_files_is_an_error_and_is_removed(void **state)
{
    (void)state;
    struct cgroup *group = NULL;
    char wanted[256];
    assert_int_equal(cgroup_create(&group, top, "w", 1, reason), -ENOENT);
    assert_null(group);
    snprintf(wanted, sizeof(wanted), "the control group %s/w: No such file or directory", top);
    assert_string_equal(reason, wanted);
    assert_false(is_there("w"));
}

#define CGROUP_TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        CGROUP_TEST(the_group_is_below_what_is_mounted),
        CGROUP_TEST(a_container_mounts_its_own_group),
        CGROUP_TEST(without_version_2_there_is_none),
        CGROUP_TEST(the_server_moves_out_of_the_way_of_its_workers),
        CGROUP_TEST(a_group_that_is_divided_already_is_taken_as_it_is),
        CGROUP_TEST(what_cannot_limit_memory_says_how_it_could),
        CGROUP_TEST(groups_of_dead_servers_are_removed),
        CGROUP_TEST(a_group_has_its_limits_and_counts_its_kills),
        CGROUP_TEST(a_group_without_its_files_is_an_error_and_is_removed),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
