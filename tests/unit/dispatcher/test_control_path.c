/* SPDX-License-Identifier: MIT */
/*
 * test_control_path.c - the control socket is where systemd, root and users have such things.
 */
#include "dispatcher/config/control_path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define USER 4711u

/* What it is for a user; NULL: that variable is not set. */
static void check(unsigned user, const char *runtime, const char *of_user, const char *expected)
{
    int status;
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        char path[CONTROL_PATH_BYTES];
        int failed = runtime ? setenv("RUNTIME_DIRECTORY", runtime, 1) : 0;
        failed |= of_user ? setenv("XDG_RUNTIME_DIR", of_user, 1) : 0;
        failed |= user != geteuid() ? setuid(user) : 0;
        char reason[CLI_REASON_BYTES];
        int rc = failed ? -1 : control_path_default(path, reason);
        _exit(expected ? rc != 0 || strcmp(path, expected) != 0 : rc != -ENAMETOOLONG);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static unsigned plain_user(void)
{
    return geteuid() == 0 ? USER : geteuid();
}

static void systemd_says_where_it_is_and_only_its_first_folder_counts(void **state)
{
    (void)state;
    check(plain_user(), "/run/a:/run/b", "/run/user/1", "/run/a/control.sock");
    check(geteuid(), "/run/a", NULL, "/run/a/control.sock");
}

static void of_a_user_it_is_in_the_folder_of_the_session_or_in_one_of_its_own(void **state)
{
    (void)state;
    char expected[CONTROL_PATH_BYTES];
    check(plain_user(), NULL, "/run/user/1", "/run/user/1/millrace/control.sock");
    check(plain_user(), "", "/run/user/1", "/run/user/1/millrace/control.sock");
    snprintf(expected, sizeof expected, "/tmp/millrace-%u/control.sock", plain_user());
    check(plain_user(), NULL, "", expected);
    check(plain_user(), NULL, NULL, expected);
}

static void of_root_it_is_in_run(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    check(0, NULL, "/run/user/0", "/run/millrace/control.sock");
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
    (void)state;
    char folder[CONTROL_PATH_BYTES], expected[CONTROL_PATH_BYTES + 32];
    size_t longest = CONTROL_PATH_BYTES - sizeof "/control.sock";
    memset(folder, 'x', sizeof folder);
    folder[0] = '/';
    folder[longest] = '\0';
    snprintf(expected, sizeof expected, "%s/control.sock", folder);
    check(plain_user(), folder, NULL, expected);
    folder[longest] = 'x';
    folder[longest + 1] = '\0';
    check(plain_user(), folder, NULL, NULL);
}

int main(void)
{
    alarm(20);
    unsetenv("RUNTIME_DIRECTORY");
    unsetenv("XDG_RUNTIME_DIR");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(systemd_says_where_it_is_and_only_its_first_folder_counts),
        cmocka_unit_test(of_a_user_it_is_in_the_folder_of_the_session_or_in_one_of_its_own),
        cmocka_unit_test(of_root_it_is_in_run),
        cmocka_unit_test(a_path_that_no_socket_can_have_is_refused),
    };
    return cmocka_run_group_tests_name("control_path", tests, NULL, NULL);
}
