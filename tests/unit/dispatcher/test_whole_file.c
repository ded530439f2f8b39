/* SPDX-License-Identifier: MIT */
/* test_whole_file.c - what is in a file, or in a pipe, and how long that is waited for. */
#include "dispatcher/text/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 50

static char *text;
static size_t bytes;

static int take(const char *path, size_t bytes_max)
{
    return whole_file_read_within(path, bytes_max, WAIT_MS, &text, &bytes);
}

static void taken(const char *path, const char *wanted)
{
    assert_int_equal(take(path, 100), 0);
    assert_int_equal(bytes, strlen(wanted));
    assert_memory_equal(text, wanted, bytes);
    free(text);
}

static void a_file_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    char path[] = "/tmp/millrace-whole-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    taken(path, "");
    assert_int_equal(write(fd, "0123456789", 10), 10);
    taken(path, "0123456789");
    assert_int_equal(take(path, 9), -EFBIG);
    close(fd);
    unlink(path);
    assert_int_equal(take(path, 100), -ENOENT);
    assert_int_equal(take("/", 100), -EISDIR);
    assert_int_equal(take("/dev/zero", 100), -EFBIG);
}

static void what_is_written_to_a_pipe_is_read_until_its_end(void **state)
{
    (void)state;
    char path[] = "/tmp/millrace-whole-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t writer = fork();
    if (writer == 0) {
        int out = open(path, O_WRONLY | O_CLOEXEC);
        _exit(write(out, "some ", 5) == 5 && write(out, "words", 5) == 5 ? 0 : 1);
    }
    assert_true(writer > 0);
    char *read_text;
    size_t read_bytes;
    assert_int_equal(whole_file_read(path, 100, &read_text, &read_bytes), 0);
    assert_int_equal(read_bytes, 10);
    assert_memory_equal(read_text, "some words", 10);
    free(read_text);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    unlink(path);
}

static void a_pipe_that_nobody_writes_to_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    char path[] = "/tmp/millrace-whole-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(take(path, 100), -ETIMEDOUT);
    unlink(path);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
        cmocka_unit_test(what_is_written_to_a_pipe_is_read_until_its_end),
        cmocka_unit_test(a_pipe_that_nobody_writes_to_is_not_waited_for_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
