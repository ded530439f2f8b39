/* SPDX-License-Identifier: MIT */
/*
 * read_job.h - a connection's large body on its way through the reader.
 */
#ifndef DISPATCHER_READ_JOB_H
#define DISPATCHER_READ_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/runs/run.h"

struct conn;

enum read_job_state {
    READ_JOB_WAITING = 0, /* for the reader */
    READ_JOB_PARSING,     /* the reader has it; one connection at a time is here or below */
    READ_JOB_PACKING,
    READ_JOB_STATE_COUNT
};

/* Owned by its connection. */
struct read_job {
    enum read_job_state state;
    struct conn *next, *previous; /* of those that wait at its level */
    uint8_t level;
    uint64_t rank_ms; /* who is asked first */
    uint64_t due_ms;  /* when it is answered without having been read; UINT64_MAX: never */

    /* Of the run that it becomes, which began when the body was complete. */
    enum run_mode mode;
    double created_at;
    uint64_t created_ms;
    char run_id[RUN_ID_BYTES];

    /* From PACKING on, what the envelope says. */
    uint32_t pipeline_index;
    bool async_run, final_line;
};

#endif
