/* SPDX-License-Identifier: MIT */
/*
 * read_job.h - a large body on its way through the reader.
 */
#ifndef DISPATCHER_READ_JOB_H
#define DISPATCHER_READ_JOB_H

#include <stdint.h>

#include "dispatcher/reactor/body.h"
#include "dispatcher/runs/run.h"

struct variables;

enum read_job_state {
    READ_JOB_NONE = 0,
    READ_JOB_WAITING, /* for the reader */
    READ_JOB_PARSING, /* the reader has it; one job at a time is here or below */
    READ_JOB_PACKING,
    READ_JOB_STATE_COUNT
};

/* Owned by whoever begins it. */
struct read_job {
    enum read_job_state state;
    struct read_job *next, *previous; /* of those that wait at its level */
    uint8_t level;
    uint64_t rank_ms; /* who is asked first */
    uint64_t due_ms;  /* when it is refused without having been read; UINT64_MAX: never */

    struct body body;       /* what is to be read; owned */
    uint32_t timeout_ms;    /* it may wait so long; 0: for ever */
    struct run_birth birth; /* of the run it becomes, which began when the body was complete */
    const struct variables *variables; /* of its pipeline, from PACKING on; borrowed */
};

#endif
