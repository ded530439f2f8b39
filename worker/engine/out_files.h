/* SPDX-License-Identifier: MIT */
/*
 * out_files.h - files among the values of a run, on their way to the dispatcher (protocol.h).
 *
 *   given ── told (FILE) ── written (to the pipe of PIPE) ── kept
 *
 * One after the other. The line that has them waits until all are kept; other runs go on.
 */
#ifndef WORKER_OUT_FILES_H
#define WORKER_OUT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"
#include "millrace/protocol.h"
#include "worker/engine/error.h"
#include "worker/engine/value.h"

/* That one line can wait for. */
#define OUT_FILE_COUNT_MAX 64u
#define OUT_FILE_REASON_BYTES 512u

struct out_file;
struct reply_job;

/* Of one run. Zero: it has none. */
struct out_files {
    struct out_file *first, *last; /* that are not kept yet; owned */
    uint32_t count;                /* of them */
    uint32_t given_count;          /* ever: the number of the next */
    bool is_told;                  /* the first one */
    int pipe;                      /* owned; of the first one, while `is_written_to` */
    bool is_written_to;
    bool is_refused; /* one of them: the run is to fail, and `reason` says why */
    char *reason;    /* owned; NULL: no memory for it, or nothing is wrong */
};

/* Writes a file as the value. `fd` is its own from now on, and the last part of `name` (NULL: it
 * has none) what clients see; `what`, a constant, is what failures say of it besides (NULL:
 * nothing). MR_ITEM, or the value's failure. */
int out_files_give(struct out_files *files, struct mr_value *value, int fd, const char *name,
                   const char *what);

/* Goes on with what waits: tells of the first file, or writes to its pipe what fits. True: that is
 * full, and more is to be written. */
bool out_files_go_on(struct out_files *files, const struct reply_job *job, int socket) MUST_USE;

/* A FILE record came. 0; -EPROTO: it cannot be. */
int out_files_hear(struct out_files *files, const struct record *meta, const void *payload,
                   int socket) MUST_USE;

/* The pipe of a FILE record of a run that is over is closed. */
int out_files_ignore(const struct record *meta, int socket) MUST_USE;

/* They cannot be given out: the run has to fail. */
void out_files_give_up(struct out_files *files, const char *why);

/* Why the run has to fail. */
void out_files_explain(const struct out_files *files, struct error *error);

/* Nothing more is wanted. */
void out_files_finish(struct out_files *files);

#endif
