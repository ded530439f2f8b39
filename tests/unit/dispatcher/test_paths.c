/* SPDX-License-Identifier: MIT */
/*
 * test_paths.c - of a path that is told to others the last part is left, and all else stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/text/paths.h"
#include "millrace/check.h"

static void check(const char *text, const char *expected)
{
    char in_place[256], aside[256];
    memset(aside, 'x', sizeof aside);
    paths_shorten(aside, text);
    assert_string_equal(aside, expected);
    memcpy(in_place, text, strlen(text) + 1);
    paths_shorten(in_place, in_place);
    assert_string_equal(in_place, expected);
}

static void folders_are_left_out_wherever_a_path_stands(void **state)
{
    (void)state;
    check("/srv/me/words.py: it has no pipeline", "words.py: it has no pipeline");
    check("cannot load: /srv/me/words.so: file too short", "cannot load: words.so: file too short");
    check("GraphError('pipe f (/srv/me/words.py:2) needs')",
          "GraphError('pipe f (words.py:2) needs')");
    check("('/srv/me/x.py', 2)", "('x.py', 2)");
    check("No such file: \"/a/b\"", "No such file: \"b\"");
    check("error:/a/b,/c/d;/e/f", "error:b,d;f");
    check("/a/b\n/c/d", "b\nd");
    check("PATH=/usr/bin:/bin", "PATH=bin:/bin");
    check("in /srv/me/ and /srv/", "in me/ and /srv/");
    check("/a//b", "b");
    check("/srv/d\xc3\xa9j\xc3\xa0/caf\xc3\xa9", "caf\xc3\xa9");
}

static void what_is_no_absolute_path_stays(void **state)
{
    (void)state;
    const char *const texts[] = {
        "",      "no path at all", "a/b and ./c/d", "http://host/a/b", "6 / 2 = 3", "/", "//",
        "a //b", "and/or/x",       "(/)",           "me/words:v1",     "'/'",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        check(texts[i], texts[i]);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_left_out_wherever_a_path_stands),
        cmocka_unit_test(what_is_no_absolute_path_stays),
    };
    return cmocka_run_group_tests_name("paths", tests, NULL, NULL);
}
