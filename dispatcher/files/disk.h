/* SPDX-License-Identifier: MIT */
/*
 * disk.h - threads that wait for disks, so that the loop does not: it hands them jobs, and hears
 * when they are done.
 *
 * A job is a pointer that goes through a pipe and comes back through another one; in between it,
 * and all that it points to, is the thread's. Nobody takes a lock. There are few threads, and they
 * are nice to those that serve runs.
 */
#ifndef DISPATCHER_DISK_H
#define DISPATCHER_DISK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/reactor/uring.h"
#include "millrace/check.h"

#define DISK_THREAD_COUNT 4u
/* With the threads at once. A pipe of four pages holds so many pointers, also when its first page
 * was read in part: whoever writes to it does not wait. */
#define DISK_JOB_COUNT_MAX 1536u
#define DISK_PIPE_BYTES 16384u

/* Lives in what it is for. */
struct disk_job {
    void (*work)(struct disk_job *job); /* in a thread */
    void (*done)(struct disk_job *job); /* in the loop, afterwards */
};

/* Owned by whoever has files; all fields are -1 or 0 until disk_open(). */
struct disk {
    int job_fds[2], done_fds[2]; /* to read from, to write to */
    pthread_t threads[DISK_THREAD_COUNT];
    uint32_t thread_count;
    uint32_t job_count; /* with them */
    bool is_over;       /* the threads have ended: jobs are done at once */
};

void disk_init(struct disk *disk);

/* Starts the threads, with all signals blocked. 0 or -errno; disk_finish() in any case. */
int disk_open(struct disk *disk) MUST_USE;

/* Listens for what is done. */
void disk_start(struct disk *disk, struct uring *uring);

/* Hands over a job; there are fewer than DISK_JOB_COUNT_MAX, since whoever has jobs bounds them. */
void disk_begin(struct disk *disk, struct disk_job *job);

/* Completions of URING_DISK: calls what is done. */
void disk_on_done(struct disk *disk, struct uring *uring, const struct uring_event *event);

/* Ends the threads, and calls what is done. False: one of them still waits for a disk after
 * `timeout_ms`, and uses what it was given. */
bool disk_finish(struct disk *disk, uint32_t timeout_ms);

#endif
