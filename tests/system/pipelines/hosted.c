/* SPDX-License-Identifier: MIT */
/*
 * hosted.c - a model that uses memory of a device, for system tests: while its process lives, a
 * file of its number in HOSTED_FOLDER says how many MiB, HOSTED_MIB, and is locked.
 *
 * Each that comes adds up those that are locked; where they are more than HOSTED_MIB_MAX, the file
 * "overcommitted" says so. The input is how many milliseconds a run takes, the output the number of
 * the process. A start takes HOSTED_START_MS and an end HOSTED_END_MS; while there is the file
 * HOSTED_DIES, it ends in the middle of a start.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <millrace/pipeline.h>

static int folder_fd;

static long hosted_number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

/* What a file says, if its process lives; a file that nobody locks is removed. */
static long hosted_mib_of(const char *name)
{
    char text[32] = "";
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder_fd, name, 0);
    else if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    close(fd);
    return strtol(text, NULL, 10);
}

static long hosted_sum(void)
{
    long sum = 0;
    DIR *folder = fdopendir(dup(folder_fd));
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            sum += hosted_mib_of(entry->d_name);
    if (folder)
        closedir(folder);
    return sum;
}

static void hosted_complain(long sum)
{
    int fd = openat(folder_fd, "overcommitted", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dprintf(fd, "%ld MiB of %ld when %d came\n", sum, hosted_number("HOSTED_MIB_MAX"), getpid());
    close(fd);
}

static void hosted_wait(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void hosted_leave(void)
{
    hosted_wait(hosted_number("HOSTED_END_MS"));
}

/* The file that is locked stays open until the process is gone. */
static int hosted_come(struct mr_call *call)
{
    atexit(hosted_leave);
    char name[32];
    folder_fd = open(getenv("HOSTED_FOLDER"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int turn = openat(folder_fd, "turn", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (turn == -1 || flock(turn, LOCK_EX) == -1)
        return mr_fail(call, MR_ERROR_STARTUP, "no folder for the test");
    snprintf(name, sizeof name, "%d", (int)getpid());
    int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    dprintf(fd, "%ld\n", hosted_number("HOSTED_MIB"));
    flock(fd, LOCK_EX);
    long sum = hosted_sum();
    if (sum > hosted_number("HOSTED_MIB_MAX"))
        hosted_complain(sum);
    close(turn);
    hosted_wait(hosted_number("HOSTED_START_MS"));
    if (getenv("HOSTED_DIES") && access(getenv("HOSTED_DIES"), F_OK) == 0)
        abort();
    return 0;
}

static int hosted_run(struct mr_call *call)
{
    hosted_wait((long)mr_arg_integer(call, 0));
    return mr_value_stringf(mr_return(call), "%d", (int)getpid());
}

MR_PIPELINE(hosted)
{
    mr_on_startup(builder, hosted_come);
    mr_variable ms = mr_input(builder, MR_INTEGER, .title = "ms");
    mr_output(builder, mr_pipe(builder, hosted_run, MR_STRING, ms));
}
