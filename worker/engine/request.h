/* SPDX-License-Identifier: MIT */
/*
 * request.h - a START record becomes a run's private request, from the ring or from a blob.
 */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"
#include "worker/engine/failure.h"
#include "worker/engine/run.h"

/* A copy in the run's memory, with room for one byte more. */
struct request {
    uint8_t *bytes;
    size_t count;
};

/* Copies the payload, which may be given back afterwards. 0, -ENOMEM, -E2BIG, -EPROTO (the blob did
 * not come), or another errno of reading it. */
int request_take(struct request *out, struct run *run, const struct record *meta,
                 const void *payload, int socket) MUST_USE;

/* Fills the run's id and inputs. 0, or as run_read_request. */
int request_read(const struct request *request, struct run *run) MUST_USE;

/* Says what a failure of the two above means. */
void request_explain(struct failure *failure, int rc);

#endif
