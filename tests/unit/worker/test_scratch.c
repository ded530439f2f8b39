/* SPDX-License-Identifier: MIT */
/* test_scratch.c - what a worker has left goes, whatever it is, and nothing else. */
#include "worker/confine/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];
static const struct user user;
static struct scratch scratch;
static bool is_raced; /* somebody changes what is being removed */

static void path_of(char *out, size_t room, const char *name)
{
    snprintf(out, room, "%s/%s", root, name);
}

static void make_folder(const char *name)
{
    char path[128];
    path_of(path, sizeof path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_file(const char *name)
{
    char path[128];
    path_of(path, sizeof path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const char *name)
{
    struct stat file;
    char path[128];
    path_of(path, sizeof path, name);
    return lstat(path, &file) == 0;
}

/* In the moment before something in it is removed, the folder becomes a link to one of others. */
static void race(void)
{
    char folder[128], aside[128], victims[128];
    if (!is_raced)
        return;
    path_of(folder, sizeof folder, "w0/folder");
    path_of(aside, sizeof aside, "w0/aside");
    path_of(victims, sizeof victims, "victims");
    if (access(folder, F_OK) == 0) {
        is_raced = false;
        assert_int_equal(rename(folder, aside), 0);
        assert_int_equal(symlink(victims, folder), 0);
    }
}

/* Whichever of them is called. */
int unlink(const char *path)
{
    race();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int fd, const char *path, int flags)
{
    if (strcmp(path, "file") == 0)
        race();
    return (int)syscall(SYS_unlinkat, fd, path, flags);
}

static int scene_open(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/millrace-scratch-XXXXXX");
    assert_non_null(mkdtemp(root));
    is_raced = false;
    return 0;
}

static int scene_close(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void expect_made(void)
{
    struct stat folder;
    assert_int_equal(scratch_make(&scratch, root, "w0", &user), 0);
    assert_int_equal(lstat(scratch.path, &folder), 0);
    assert_int_equal(folder.st_mode & 07777, 0700);
    assert_int_equal(folder.st_nlink, 2); /* no folder is in it */
    assert_string_equal(getenv("TMPDIR"), scratch.path);
}

static void it_is_made_and_made_empty(void **state)
{
    char path[128];
    (void)state;
    expect_made();
    make_folder("w0/a");
    make_folder("w0/a/b");
    make_file("w0/a/b/c");
    make_folder("w0/sealed");
    make_file("w0/sealed/d");
    path_of(path, sizeof path, "w0/sealed");
    assert_int_equal(chmod(path, 0), 0);
    make_file("victim");
    path_of(path, sizeof path, "w0/link");
    assert_int_equal(symlink("../victim", path), 0);
    expect_made();
    assert_false(is_there("w0/a") || is_there("w0/link") || is_there("w0/sealed"));
    assert_true(is_there("victim"));
}

static void a_folder_that_becomes_a_link_leads_nowhere(void **state)
{
    (void)state;
    expect_made();
    make_folder("victims");
    make_file("victims/file");
    make_folder("w0/folder");
    make_file("w0/folder/file");
    is_raced = true;
    expect_made();
    assert_false(is_raced);
    assert_true(is_there("victims/file"));
}

static void what_is_too_deep_is_put_aside(void **state)
{
    char aside[64];
    (void)state;
    expect_made();
    int fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
    expect_made();
    snprintf(aside, sizeof aside, "w0.left.%d", (int)getpid());
    assert_true(is_there(aside));
}

#define SCRATCH_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(it_is_made_and_made_empty),
        SCRATCH_TEST(a_folder_that_becomes_a_link_leads_nowhere),
        SCRATCH_TEST(what_is_too_deep_is_put_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
