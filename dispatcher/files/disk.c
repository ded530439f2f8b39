/* SPDX-License-Identifier: MIT */
/* disk.c - threads that read jobs from one pipe and write them to another. */
#include "dispatcher/files/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/quiet_thread.h"

_Static_assert(DISK_JOB_COUNT_MAX * sizeof(struct disk_job *) <= DISK_PIPE_BYTES - 4096,
               "all there are, and a page of which a part was read");
_Static_assert(DISK_JOB_COUNT_MAX > INPUT_FILE_COUNT_MAX + 64 + 64 + 64 + 256,
               "transfers, intakes, removals, files put together, folders of runs");

#define STACK_BYTES (256u * 1024)
#define DONE_COUNT 64u /* taken together */
#define NICENESS 5     /* runs come first, and those that wait for a file soon after them */

void disk_init(struct disk *disk)
{
    *disk = (struct disk){.job_fds = {-1, -1}, .done_fds = {-1, -1}};
}

static void *disk_run(void *argument)
{
    const struct disk *disk = argument;
    struct disk_job *job;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    while (read(disk->job_fds[0], &job, sizeof job) == (ssize_t)sizeof job) {
        job->work(job);
        ssize_t count = write(disk->done_fds[1], &job, sizeof job);
        mr_assert(count == (ssize_t)sizeof job); /* it has room for all there are */
    }
    return NULL;
}

static int disk_threads_start(struct disk *disk)
{
    int rc = 0;
    for (uint32_t i = 0; i < DISK_THREAD_COUNT && rc == 0; i++) {
        rc = quiet_thread_start(&disk->threads[i], STACK_BYTES, disk_run, disk);
        disk->thread_count += rc == 0;
    }
    return rc;
}

/* A user who has many pipes gets smaller ones. */
static int disk_pipe_open(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) == -1)
        return -errno;
    if (fcntl(fds[0], F_GETPIPE_SZ) >= (int)DISK_PIPE_BYTES)
        return 0;
    return fcntl(fds[0], F_SETPIPE_SZ, DISK_PIPE_BYTES) == -1 ? -errno : 0;
}

int disk_open(struct disk *disk)
{
    int rc = disk_pipe_open(disk->job_fds);
    if (rc == 0)
        rc = disk_pipe_open(disk->done_fds);
    if (rc == 0 && fcntl(disk->done_fds[0], F_SETFL, O_NONBLOCK) == -1)
        rc = -errno;
    return rc == 0 ? disk_threads_start(disk) : rc;
}

void disk_start(struct disk *disk, struct uring *uring)
{
    uring_poll(uring, disk->done_fds[0], (struct uring_ref){.op = URING_DISK});
}

void disk_begin(struct disk *disk, struct disk_job *job)
{
    if (disk->is_over) {
        job->work(job);
        job->done(job);
        return;
    }
    mr_assert(disk->job_count < DISK_JOB_COUNT_MAX);
    disk->job_count++;
    ssize_t count = write(disk->job_fds[1], &job, sizeof job);
    mr_assert(count == (ssize_t)sizeof job); /* likewise */
}

/* False: there is nothing now. */
static bool disk_take(struct disk *disk)
{
    struct disk_job *jobs[DONE_COUNT];
    ssize_t bytes = read(disk->done_fds[0], jobs, sizeof jobs);
    if (bytes <= 0)
        return false;
    const uint32_t count = (uint32_t)((size_t)bytes / sizeof jobs[0]);
    mr_assert(count <= disk->job_count);
    disk->job_count -= count;
    for (uint32_t i = 0; i < count; i++)
        jobs[i]->done(jobs[i]);
    return count == DONE_COUNT;
}

void disk_on_done(struct disk *disk, struct uring *uring, const struct uring_event *event)
{
    for (uint32_t i = 0; i <= DISK_JOB_COUNT_MAX / DONE_COUNT && disk_take(disk); i++)
        ;
    if (!event->more)
        disk_start(disk, uring);
}

static void disk_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

bool disk_finish(struct disk *disk, uint32_t timeout_ms)
{
    struct timespec until;
    disk_close(&disk->job_fds[1]);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    for (; disk->thread_count > 0; disk->thread_count--)
        if (pthread_timedjoin_np(disk->threads[disk->thread_count - 1], NULL, &until) != 0)
            return false;
    disk->is_over = true;
    while (disk->done_fds[0] >= 0 && disk_take(disk))
        ;
    disk_close(&disk->job_fds[0]);
    disk_close(&disk->done_fds[0]);
    disk_close(&disk->done_fds[1]);
    return true;
}
