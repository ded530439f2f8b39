/* SPDX-License-Identifier: MIT */
/* evil_files.c - the files of other processes in /proc, and files that others must open. */
#include "evil.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    return fd == -1 ? -errno : SAID(close(fd));
}

static int open_flags(const char *mode)
{
    return *mode == 'w' ? O_WRONLY : O_RDONLY;
}

/* proc NAME r|w TARGET: opening is what the kernel checks, or it would at the first byte. */
static int proc_open(struct evil *evil)
{
    char path[256];
    uint64_t words[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)evil_process(evil, 3),
             evil_word(evil, 1, "mem"));
    const char *mode = evil_word(evil, 2, "r");
    int fd = open(path, open_flags(mode) | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1)
        return -errno;
    /* Some say only then that they are not for everyone. */
    long count = *mode == 'r' ? read(fd, words, sizeof(words[0])) : 0;
    if (count == -1 && errno == EISDIR) {
        do
            count = syscall(SYS_getdents64, fd, words, sizeof(words));
        while (count > 0);
    }
    bool is_refused = count == -1 && (errno == EPERM || errno == EACCES || errno == ESRCH);
    int rc = is_refused ? -errno : 0;
    close(fd);
    return rc;
}

/* Likewise of its first thread. */
static int proc_open_thread(struct evil *evil)
{
    char path[256];
    pid_t pid = evil_process(evil, 3);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)pid,
             evil_word(evil, 1, "mem"));
    return opened(path, open_flags(evil_word(evil, 2, "r")));
}

/* In earnest: the first that the kernel ends when memory runs out. */
static int choose_for_oom(struct evil *evil)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)evil_process(evil, 1));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = write(fd, "1000", 4) == 4 ? 0 : -errno;
    close(fd);
    return rc;
}

/* ---- files that others must open ------------------------------------------------------------- */

static int held = -1;

static int file_hold(const char *path)
{
    if (held != -1)
        close(held);
    held = open(path, O_RDONLY | O_CLOEXEC);
    return held == -1 ? -errno : 0;
}

static int lease_take(struct evil *evil)
{
    int rc = file_hold(evil_word(evil, 1, "/dev/null"));
    return rc == 0 ? SAID(fcntl(held, F_SETLEASE, F_WRLCK)) : rc;
}

static int lock_take(struct evil *evil)
{
    int rc = file_hold(evil_word(evil, 1, "/dev/null"));
    return rc == 0 ? SAID(flock(held, LOCK_EX | LOCK_NB)) : rc;
}

static int folder_watch(struct evil *evil)
{
    int rc = file_hold(evil_word(evil, 1, "/tmp"));
    return rc == 0 ? SAID(fcntl(held, F_NOTIFY, DN_ACCESS | DN_MULTISHOT)) : rc;
}

static int file_watch(struct evil *evil)
{
    int fd = inotify_init1(IN_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = SAID(inotify_add_watch(fd, evil_word(evil, 1, "/tmp"), IN_ALL_EVENTS));
    close(fd);
    return rc;
}

static int file_open(struct evil *evil)
{
    return opened(evil_word(evil, 1, "/dev/null"), open_flags(evil_word(evil, 2, "r")));
}

/* Whoever owns a file may shut it to everybody, himself included. */
static int file_shut(struct evil *evil)
{
    return SAID(chmod(evil_word(evil, 1, "/dev/null"), 0));
}

const struct attack evil_files[] = {
    {"proc", proc_open, "opens a file of the target in /proc"},
    {"proc-thread", proc_open_thread, "opens a file of the target's first thread in /proc"},
    {"oom-choose", choose_for_oom, "has the kernel end the target first when memory runs out"},
    {"lease", lease_take, "a lease on a file: whoever opens it waits"},
    {"flock", lock_take, "a lock on a file"},
    {"dnotify", folder_watch, "signals when others use a folder"},
    {"inotify", file_watch, "news of what others do with a file"},
    {"open", file_open, "opens a file"},
    {"chmod", file_shut, "takes the rights to a file away"},
    {NULL, NULL, NULL},
};
