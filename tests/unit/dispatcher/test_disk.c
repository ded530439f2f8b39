/* SPDX-License-Identifier: MIT */
/*
 * test_disk.c - files appear whole or not at all, also where the file system has none without names
 * and whatever of it fails; threads do all that they were given before they end.
 */
#include "dispatcher/files/disk.h"

#include <dirent.h>
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

#include "dispatcher/files/disk_file.h"

#define ID "file_0123456789abcdef0123456789abcdef"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define JOB_COUNT 1000u

static char path[64];
static int folder = -1;
static bool has_nameless = true;
static int open_count_left = -1; /* opens that still succeed; -1: all */

/* In front of the C library's. */
int openat(int at, const char *name, int flags, ...);
int openat(int at, const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const int mode =
        (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, int) : 0;
    va_end(arguments);
    errno = EOPNOTSUPP;
    if (!has_nameless && (flags & O_TMPFILE) == O_TMPFILE)
        return -1;
    errno = ENOSPC;
    if (open_count_left == 0)
        return -1;
    open_count_left -= open_count_left > 0;
    return (int)syscall(SYS_openat, at, name, flags, mode);
}

static int scene_open(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/millrace-disk-XXXXXX");
    assert_non_null(mkdtemp(path));
    folder = disk_folder_open(path);
    assert_true(folder >= 0);
    has_nameless = true;
    open_count_left = -1;
    return 0;
}

/* Names in the folder, which are removed. */
static uint32_t sweep(void)
{
    uint32_t count = 0;
    DIR *names = opendir(path);
    for (const struct dirent *entry; (entry = readdir(names));)
        if (entry->d_name[0] != '.') {
            unlinkat(folder, entry->d_name, 0);
            count++;
        }
    closedir(names);
    return count;
}

static int scene_close(void **state)
{
    (void)state;
    sweep();
    close(folder);
    rmdir(path);
    return 0;
}

static int keep(const char *text, struct file_about *about)
{
    struct disk_file file;
    *about = (struct file_about){.id = ID, .name = "a.txt", .created_at = 1};
    disk_file_init(&file, folder, ID);
    int rc = *text ? disk_file_write(&file, text, strlen(text)) : 0;
    if (rc == 0)
        rc = disk_file_keep(&file, about);
    disk_file_drop(&file);
    assert_int_equal(file.fd, -1);
    return rc;
}

static uint32_t found_count, lost_count;

static void on_found(void *owner, const struct file_about *about)
{
    (void)owner;
    assert_string_equal(about->id, ID);
    found_count++;
}

static void on_lost(void *owner, const char *name, const char *reason)
{
    (void)owner, (void)name;
    assert_non_null(reason);
    lost_count++;
}

static void read_folder(uint32_t found, uint32_t lost)
{
    found_count = lost_count = 0;
    assert_int_equal(disk_folder_read(folder, on_found, on_lost, NULL), 0);
    assert_int_equal(found_count, found);
    assert_int_equal(lost_count, lost);
}

static void a_file_is_kept_under_its_name_with_its_hash(void **state)
{
    struct file_about about;
    char text[4];
    (void)state;
    for (int i = 0; i < 2; i++) {
        has_nameless = i == 0;
        assert_int_equal(keep("abc", &about), 0);
        assert_string_equal(about.sha256, ABC_HASH);
        assert_int_equal(about.bytes, 3);
        int fd = disk_file_open(folder, ID);
        assert_int_equal(read(fd, text, sizeof text), 3);
        close(fd);
        read_folder(1, 0);
        assert_int_equal(sweep(), 2);
        assert_int_equal(keep("", &about), 0);
        assert_string_equal(about.sha256, EMPTY_HASH);
        disk_file_remove(folder, ID);
        assert_int_equal(sweep(), 0);
    }
}

static void a_file_that_is_dropped_leaves_nothing(void **state)
{
    struct disk_file file;
    (void)state;
    for (int i = 0; i < 2; i++) {
        has_nameless = i == 0;
        disk_file_init(&file, folder, ID);
        assert_int_equal(disk_file_write(&file, "abc", 3), 0);
        disk_file_drop(&file);
        assert_int_equal(sweep(), 0);
    }
}

/* As if the server had been killed there. */
static void a_file_on_its_way_is_nothing_to_the_next_start(void **state)
{
    struct disk_file file;
    (void)state;
    has_nameless = false;
    disk_file_init(&file, folder, ID);
    assert_int_equal(disk_file_write(&file, "abc", 3), 0);
    read_folder(0, 1);
    assert_int_equal(sweep(), 0);
    disk_file_drop(&file);
}

static void whatever_fails_leaves_nothing(void **state)
{
    struct file_about about;
    (void)state;
    for (int i = 0; i < 4; i++) {
        has_nameless = i < 2;
        open_count_left = i % 2;
        assert_int_equal(keep("abc", &about), -ENOSPC);
        open_count_left = -1;
        assert_int_equal(sweep(), 0);
    }
}

static void two_servers_do_not_have_one_folder(void **state)
{
    (void)state;
    assert_int_equal(disk_folder_open(path), -EBUSY);
    assert_int_equal(chmod(path, 0770), 0);
    close(folder);
    assert_int_equal(disk_folder_open(path), -EPERM);
    assert_int_equal(chmod(path, 0755), 0);
    folder = disk_folder_open(path);
    assert_true(folder >= 0);
}

static void a_link_in_the_folder_leads_nowhere(void **state)
{
    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", folder, ID), 0);
    assert_true(disk_file_open(folder, ID) < 0);
    read_folder(0, 1);
    assert_int_equal(sweep(), 0);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

/* As a start after a change of places does, or one that was killed while it moved them. */
static void files_that_lie_in_the_folder_itself_are_moved(void **state)
{
    struct file_about about;
    struct stat file;
    (void)state;
    assert_int_equal(keep("abc", &about), 0);
    assert_int_equal(fchmodat(folder, ID, 0600, 0), 0);
    close(openat(folder, "part_0123456789abcdef0123456789abcdef", O_CREAT | O_WRONLY, 0600));
    close(openat(folder, "notes.txt", O_CREAT | O_WRONLY, 0600));
    int stored = disk_folder_enter(folder, "stored", 0700);
    assert_true(stored >= 0);
    assert_int_equal(renameat(folder, ID ".about", stored, ID ".about"), 0);
    assert_int_equal(disk_folder_move(folder, stored), 0);
    found_count = 0;
    assert_int_equal(disk_folder_read(stored, on_found, on_lost, NULL), 0);
    assert_int_equal(found_count, 1);
    assert_int_equal(fstatat(stored, ID, &file, 0), 0);
    assert_int_equal(file.st_mode & 0777, 0444);
    assert_int_equal(disk_folder_empty(stored), 0);
    close(stored);
    assert_int_equal(unlinkat(folder, "stored", AT_REMOVEDIR), 0);
    assert_int_equal(sweep(), 1);
}

static void a_folder_is_entered_with_its_mode_and_emptied_with_all_that_is_in_it(void **state)
{
    struct stat made;
    (void)state;
    assert_int_equal(symlinkat("/etc", folder, "runs"), 0);
    assert_true(disk_folder_enter(folder, "runs", 0711) < 0);
    sweep();
    const mode_t mask = umask(077);
    int runs = disk_folder_enter(folder, "runs", 0711);
    umask(mask);
    assert_true(runs >= 0);
    assert_int_equal(fstat(runs, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0711);
    assert_int_equal(mkdirat(runs, "a", 0700), 0);
    assert_int_equal(mkdirat(runs, "a/b", 0700), 0);
    close(openat(runs, "a/b/c", O_CREAT | O_WRONLY, 0400));
    assert_int_equal(symlinkat("/etc", runs, "a/etc"), 0);
    assert_int_equal(disk_folder_empty(runs), 0);
    close(runs);
    assert_int_equal(unlinkat(folder, "runs", AT_REMOVEDIR), 0);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static struct disk disk;
static struct work {
    struct disk_job job;
    uint32_t number;
    bool again;
} works[JOB_COUNT];
static uint32_t done_count;

static void on_work(struct disk_job *job)
{
    ((struct work *)job)->number++;
}

static void on_done(struct disk_job *job)
{
    struct work *work = (struct work *)job;
    done_count++;
    if (!work->again) {
        work->again = true;
        disk_begin(&disk, job);
    }
}

static void all_jobs_are_done_before_threads_end_and_what_they_lead_to(void **state)
{
    (void)state;
    disk_init(&disk);
    assert_int_equal(disk_open(&disk), 0);
    for (uint32_t i = 0; i < JOB_COUNT; i++) {
        works[i].job = (struct disk_job){on_work, on_done};
        disk_begin(&disk, &works[i].job);
    }
    assert_true(disk_finish(&disk, 30000));
    assert_int_equal(done_count, 2 * JOB_COUNT);
    for (uint32_t i = 0; i < JOB_COUNT; i++)
        assert_int_equal(works[i].number, 2);
}

#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        DISK_TEST(a_file_is_kept_under_its_name_with_its_hash),
        DISK_TEST(a_file_that_is_dropped_leaves_nothing),
        DISK_TEST(a_file_on_its_way_is_nothing_to_the_next_start),
        DISK_TEST(whatever_fails_leaves_nothing),
        DISK_TEST(two_servers_do_not_have_one_folder),
        DISK_TEST(a_link_in_the_folder_leads_nowhere),
        DISK_TEST(files_that_lie_in_the_folder_itself_are_moved),
        DISK_TEST(a_folder_is_entered_with_its_mode_and_emptied_with_all_that_is_in_it),
        cmocka_unit_test(all_jobs_are_done_before_threads_end_and_what_they_lead_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
