/* SPDX-License-Identifier: MIT */
/*
 * upload.h - a file that arrives: gathered in one of two buffers while a thread hashes and writes
 * the other.
 */
#ifndef DISPATCHER_UPLOAD_H
#define DISPATCHER_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/files/files.h"
#include "dispatcher/files/parts.h"
#include "millrace/check.h"

#define UPLOAD_BUFFER_BYTES (128u * 1024)

struct upload;

/* Told in the loop, never from within a call. */
struct upload_ops {
    void (*room)(void *owner); /* it takes more again */
    /* And the upload is over, and no more; the file is NULL when it was a part. */
    void (*kept)(void *owner, struct file *file);
    void (*failed)(void *owner, int rc); /* likewise; -ENOSPC, -EDQUOT or another -errno */
};

/* Owned by whoever it tells, until it has told its end or upload_drop(). */
struct upload {
    struct files *files;
    struct files_owner *token;
    const struct upload_ops *ops;
    void *owner;       /* NULL: nobody wants it any more */
    struct file *file; /* that it becomes; NULL: it becomes a part */
    struct parts *parts;
    struct part part; /* of these */
    uint64_t bytes;   /* reserved */
    bool is_full;     /* nothing may be added but what is on its way */
    bool is_complete; /* nothing more will be */
    bool is_over;     /* the disk has it, or has dropped it */
    int rc;

    uint32_t filling;   /* which buffer */
    uint32_t filled[2]; /* bytes in each */
    char *buffers;      /* owned; two of them */

    bool is_busy; /* with a thread: the other buffer, and what follows */
    struct disk_job job;
    struct disk_file disk;
};

/* Begins one for whoever has this token (NULL: none), of so many bytes (0: it is not known). NULL,
 * and `rc`: -ENOSPC, there is no room for it; -ENOBUFS, too many are on their way; -ENOMEM. */
struct upload *upload_begin(struct files *files, const char *token, uint64_t bytes,
                            const struct upload_ops *ops, void *owner, int *rc);

/* Likewise of the part of this number, whose tag upload->part has; -EMFILE: there are too many. It
 * fails as parts_add() does, too. */
struct upload *upload_begin_part(struct parts *parts, uint32_t number, uint64_t bytes,
                                 const struct upload_ops *ops, void *owner, int *rc);

/* Adds bytes; at most `UPLOAD_SLACK_BYTES` when it is full. 0; -EFBIG: it is larger than a file may
 * be; -ENOSPC. */
int upload_add(struct upload *upload, const char *bytes, size_t count) MUST_USE;
#define UPLOAD_SLACK_BYTES (32u * 1024)

/* It is complete, and has this name, unless it is a part. */
void upload_end(struct upload *upload, const char *name, size_t name_bytes);

/* Nobody wants it: nothing of it stays. */
void upload_drop(struct upload *upload);

#endif
