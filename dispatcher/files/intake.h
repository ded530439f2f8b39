/* SPDX-License-Identifier: MIT */
/*
 * intake.h - a file that a process of this machine writes into a pipe, as workers do with what
 * pipelines give out: a thread reads, hashes and writes it.
 *
 *     intake_begin ── ready ── kept
 *           │           └───── failed
 *           └─ no more than INTAKE_COUNT_MAX at once: the others wait for their pipe
 *
 * Who has pipes already gets another one as long as that are fewer than are free: so some are left
 * for others, however long he keeps his.
 *
 * Whoever writes is not trusted: of the pipe we have both ends first, ours never blocks, and no
 * more is taken than was said. It is kept without waiting for the disk (fsync): after a power cut
 * the newest may be missing.
 */
#ifndef DISPATCHER_INTAKE_H
#define DISPATCHER_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/files/files.h"
#include "dispatcher/reactor/uring.h"

struct intake;

struct intake_ops {
    /* What is in the file may be written to `fd`, which is the owner's from now on. Maybe from
     * within intake_begin(); never of a file without a byte. */
    void (*ready)(void *owner, int fd);
    /* It is over, and no more; told in the loop, never from within a call. */
    void (*kept)(void *owner, struct file *file);
    /* Likewise: -ENODATA, the pipe was closed too early; -ENOSPC, -EDQUOT or another -errno. */
    void (*failed)(void *owner, int rc);
};

/* What there is to come, and of whom. */
struct intake_options {
    const char *token;  /* whose file it will be; "" or NULL: there are none */
    const void *writer; /* who writes it, as far as that is one with who writes others */
    const char *name;   /* as somebody said it */
    size_t name_bytes;
    uint64_t bytes;
};

/* Owned by whoever it tells, until it has told its end or intake_drop(). */
struct intake {
    struct files *files;
    struct files_owner *token;
    const struct intake_ops *ops;
    const void *writer;             /* of options */
    void *owner;                    /* NULL: nobody wants it any more */
    struct file *file;              /* that it becomes */
    struct intake *next, *previous; /* of those that wait for a pipe */
    uint64_t bytes;                 /* reserved */
    uint32_t place;                 /* in files->intakes; INTAKE_COUNT_MAX: it has none yet */
    uint32_t generation;            /* of it there */
    int fd;                         /* to read from; -1: none */
    int rc;
    bool is_polled; /* what comes is told */
    bool has_more;  /* something came while a thread read */
    bool is_busy;   /* with a thread */
    bool is_kept;   /* on the disk */
    struct disk_job job;
    struct disk_file disk;
};

/* Begins one. NULL, and `rc`: -EFBIG, it is larger than a file may be; -ENOSPC, there is no room
 * for it; -EMFILE, -ENFILE, there is no descriptor for it; -ENOMEM. */
struct intake *intake_begin(struct files *files, const struct intake_options *options,
                            const struct intake_ops *ops, void *owner, int *rc);

/* Nobody wants it: nothing of it stays. */
void intake_drop(struct intake *intake);

/* Completions of URING_INTAKE. */
void intake_on_readable(struct files *files, const struct uring_event *event);

#endif
