/* SPDX-License-Identifier: MIT */
/*
 * test_confine.c - what a worker is told to give up is understood wholly, or not at all.
 */
#include "worker/confine/confine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "millrace/confine.h"

static struct confine confine;
static char reason[256];

static int parse(const char *lines)
{
    static char text[CONFINE_TEXT_BYTES_MAX];
    snprintf(text, sizeof text, "%s", lines);
    reason[0] = '\0';
    return confine_parse(&confine, text, reason, sizeof reason);
}

static void no_lines_give_up_nothing(void **state)
{
    (void)state;
    assert_int_equal(parse(""), 0);
    for (int kind = 0; kind < RLIMIT_KIND_COUNT; kind++)
        assert_false(confine.limits.is_set[kind]);
}

static void limits_are_a_soft_and_a_hard_number(void **state)
{
    (void)state;
    assert_int_equal(parse("nofile=64:1024\ndata=0:18446744073709551614\ncore=7:unlimited\n"), 0);
    assert_true(confine.limits.is_set[RLIMIT_KIND_NOFILE]);
    assert_int_equal(confine.limits.values[RLIMIT_KIND_NOFILE].rlim_cur, 64);
    assert_int_equal(confine.limits.values[RLIMIT_KIND_NOFILE].rlim_max, 1024);
    assert_int_equal(confine.limits.values[RLIMIT_KIND_DATA].rlim_max, UINT64_MAX - 1);
    assert_int_equal(confine.limits.values[RLIMIT_KIND_CORE].rlim_cur, 7);
    assert_true(confine.limits.values[RLIMIT_KIND_CORE].rlim_max == RLIM_INFINITY);
    assert_false(confine.limits.is_set[RLIMIT_KIND_NPROC]);
}

static void a_user_comes_with_group_and_groups(void **state)
{
    (void)state;
    assert_int_equal(parse("groups=5,0\nuid=4294967294\nhome=/a=b c\ngid=7\n"), 0);
    assert_true(confine.user.has_uid);
    assert_int_equal(confine.user.uid, UINT32_MAX - 1);
    assert_int_equal(confine.user.gid, 7);
    assert_int_equal(confine.user.group_count, 2);
    assert_int_equal(confine.user.groups[0], 5);
    assert_int_equal(confine.user.groups[1], 0);
    assert_string_equal(confine.user.home, "/a=b c");
    assert_int_equal(parse("home=/a\nhome=\n"), 0); /* the last one counts */
    assert_string_equal(confine.user.home, "");
}

static void files_and_ports_gather(void **state)
{
    (void)state;
    assert_int_equal(parse("read=/a\nrestrict=reading\nread=/b=c\nwrite=.\nconnect=65535\n"
                           "deny=network\n"),
                     0);
    assert_true(confine.isolation.restricts_reading);
    assert_false(confine.isolation.restricts_writing);
    assert_int_equal(confine.isolation.read_count, 2);
    assert_string_equal(confine.isolation.reads[1], "/b=c");
    assert_int_equal(confine.isolation.write_count, 1);
    assert_int_equal(confine.isolation.ports[0], 65535);
    assert_true(confine.filter.denies_network);
    assert_false(confine.filter.denies_machine);
}

static void is_refused(const char *lines, const char *why)
{
    assert_int_equal(parse(lines), -EINVAL);
    assert_string_equal(reason, why);
}

static void what_is_not_understood_is_refused(void **state)
{
    (void)state;
    is_refused("nofile", "'nofile' is not KEY=VALUE and a newline");
    is_refused("nofile=1:1", "'nofile=1:1' is not KEY=VALUE and a newline");
    is_refused("nofile=1:1\nelse\nx=\n", "'else\nx=\n' is not KEY=VALUE and a newline");
    is_refused("=1:1\n", "'=1:1' is not understood");
    is_refused("nofiles=1:1\n", "'nofiles=1:1' is not understood");
    is_refused("nofile=\n", "'nofile=' is not understood");
    is_refused("nofile=1\n", "'nofile=1' is not understood");
    is_refused("nofile=1:\n", "'nofile=1:' is not understood");
    is_refused("nofile=2:1\n", "'nofile=2:1' is not understood");
    is_refused("nofile=1:1:1\n", "'nofile=1:1:1' is not understood");
    is_refused("nofile=-1:1\n", "'nofile=-1:1' is not understood");
    is_refused("nofile= 1:1\n", "'nofile= 1:1' is not understood");
    is_refused("nofile=1:18446744073709551616\n",
               "'nofile=1:18446744073709551616' is not understood");
    is_refused("read=\n", "'read=' is not understood");
    is_refused("restrict=files\n", "'restrict=files' is not understood");
    is_refused("connect=0\n", "'connect=0' is not understood");
    is_refused("connect=65536\n", "'connect=65536' is not understood");
    is_refused("deny=all\n", "'deny=all' is not understood");
    is_refused("uid=0\ngid=1\ngroups=1\n", "'uid=0' is not understood");
    is_refused("uid=4294967295\ngid=1\ngroups=1\n", "'uid=4294967295' is not understood");
    is_refused("uid=1\ngid=\n", "'gid=' is not understood");
    is_refused("uid=1\ngid=1\ngroups=\n", "'groups=' is not understood");
    is_refused("uid=1\ngid=1\ngroups=1,x\n", "'groups=1,x' is not understood");
    is_refused("uid=1\ngid=1\n", "uid, gid and groups belong together");
    is_refused("gid=1\ngroups=1\n", "uid, gid and groups belong together");
    is_refused("nofile=unlimited:1\n", "'nofile=unlimited:1' is not understood");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_lines_give_up_nothing),
        cmocka_unit_test(limits_are_a_soft_and_a_hard_number),
        cmocka_unit_test(a_user_comes_with_group_and_groups),
        cmocka_unit_test(files_and_ports_gather),
        cmocka_unit_test(what_is_not_understood_is_refused),
    };
    return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
