/* SPDX-License-Identifier: MIT */
/*
 * download.h - a part of a stored file that is read, a buffer at a time, by a thread.
 */
#ifndef DISPATCHER_DOWNLOAD_H
#define DISPATCHER_DOWNLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/files/files.h"
#include "millrace/check.h"

#define DOWNLOAD_BUFFER_BYTES (128u * 1024)

struct download;

/* Told in the loop, never from within a call. */
struct download_ops {
    /* There are so many bytes, until download_next(). */
    void (*ready)(void *owner, const char *bytes, size_t count);
    /* It cannot be read, and nothing more comes: -ENOENT, it is gone; or another -errno. */
    void (*failed)(void *owner, int rc);
};

/* Owned by whoever it tells, until download_end(). */
struct download {
    struct file *file; /* which it uses */
    const struct download_ops *ops;
    void *owner; /* NULL: nobody wants it any more */
    uint64_t at, left;
    int fd; /* -1: not opened yet */
    int rc;
    uint32_t ready_bytes;
    bool is_busy;
    char *buffer; /* owned */
    struct disk_job job;
};

/* Reads `bytes` of the file from `at` on, of which none may be missing, and the first of them at
 * once. NULL, and `rc`: -ENOBUFS, too many are read; -ENOMEM. */
struct download *download_begin(struct file *file, uint64_t at, uint64_t bytes,
                                const struct download_ops *ops, void *owner, int *rc);

/* What was ready was taken: reads what follows, if anything does. */
void download_next(struct download *download);

/* It is over, at whatever point. */
void download_end(struct download *download);

#endif
