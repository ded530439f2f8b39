/* SPDX-License-Identifier: MIT */
/*
 * worker_files.h - files that runs give out: what a worker says of them (FILE messages), and what
 * it is told (FILE records and PIPE messages; protocol.h).
 *
 * A worker sends no descriptors, and none would be taken: what is in a file comes through a pipe of
 * ours.
 */
#ifndef DISPATCHER_WORKER_FILES_H
#define DISPATCHER_WORKER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/workers/channel.h"
#include "millrace/check.h"

struct fleet;
struct worker;

/* A file that a run will give out. The name is as the worker said it. */
struct worker_file {
    uint32_t number; /* of the run's, from 0 */
    uint64_t bytes;
    const char *name;
    size_t name_bytes;
};

/* A FILE message: is told upwards, or belongs to a run that is over. What is wrong with it, a
 * constant; NULL: nothing. */
const char *worker_files_heard(struct fleet *fleet, struct worker *worker,
                               const struct channel_message *message);

/* What is in the file of this slot's run may be written to this descriptor, which stays the
 * caller's. 0; -EAGAIN: there is no room to say so now; -errno: it cannot be said. */
int worker_files_pipe(struct worker *worker, uint32_t slot_index, int fd) MUST_USE;

/* The file is kept, or (`reason`, one phrase) is not. Likewise 0 or -EAGAIN. */
int worker_files_ended(struct worker *worker, uint32_t slot_index, const char *reason) MUST_USE;

#endif
