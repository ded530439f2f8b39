/* SPDX-License-Identifier: MIT */
/*
 * start.h - a START record becomes a run's private request, from the ring or from a blob.
 */
#ifndef WORKER_START_H
#define WORKER_START_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"
#include "worker/engine/error.h"
#include "worker/engine/job.h"

/* A copy in the run's memory, with room for one byte more. */
struct start {
    uint8_t *data;
    size_t bytes;
    uint8_t *files; /* of FILES: the folder and the names; NULL: there are none */
    size_t files_bytes;
};

/* Copies the payload, which may be given back afterwards, and takes what comes beside it. 0,
 * -ENOMEM, -E2BIG, -EPROTO (the blob or the names of files did not come), or another errno of
 * reading it. */
int start_take(struct start *out, struct job *job, const struct record *meta, const void *payload,
               int socket) MUST_USE;

/* Fills the run's id and inputs. 0, or -EBADMSG, -ELOOP, -ENOMEM as
 * object_unpack. */
int start_read(const struct start *start, struct job *job) MUST_USE;

/* Says what a failure of the two above means. */
void start_explain(struct error *error, int rc);

#endif
