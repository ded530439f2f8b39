/* SPDX-License-Identifier: MIT */
/*
 * mps_end.h - NVIDIA's Multi-Process Service is asked to end a process's work on a GPU, before that
 * process is killed: without, the others that share the GPU by it may fail, too.
 *
 *     mps_end_begin ──► under way ──mps_end_look──► over: the process can be killed
 *
 * Its control program may hang, so another process (SCAN_MPS_WORD, mps_control.h) waits for it, and
 * MPS_END_MS_MAX at most. The owner looks every MPS_END_LOOK_MS. Nothing here waits, but
 * mps_end_begin() for the exec.
 */
#ifndef DISPATCHER_MPS_END_H
#define DISPATCHER_MPS_END_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/reactor/servant.h"
#include "millrace/check.h"

#define MPS_END_MS_MAX 2000u
#define MPS_END_LOOK_MS 10u

/* What the process is sent, as one packet; what it answers is one of the results below. */
struct mps_request {
    int32_t pid;           /* of whoever's work is to end */
    char folder[PATH_MAX]; /* with the pipe of the control daemon */
};

enum mps_result {
    MPS_ENDED = 0,
    MPS_NO_CLIENT,  /* it knows no such process */
    MPS_NO_CONTROL, /* its control program could not be asked */
    MPS_TIMEOUT,    /* nobody answered in time */
    MPS_RESULT_COUNT
};

/* Owned by who asks. */
struct mps_end {
    struct servant servant;
    uint64_t due_ms; /* 0: nothing is under way */
};

void mps_end_init(struct mps_end *end);

/* 0; -EBUSY: what is left of the last one is not gone; -errno. Then nobody is asked. */
int mps_end_begin(struct mps_end *end, pid_t pid, const char *folder, uint64_t now_ms) MUST_USE;

static inline bool mps_end_is_under_way(const struct mps_end *end)
{
    return end->due_ms != 0;
}

/* While it is under way: true when it is over, and how. */
bool mps_end_look(struct mps_end *end, uint64_t now_ms, enum mps_result *out);

/* Nobody waits for it any more. */
void mps_end_stop(struct mps_end *end);

/* "ended", "no_client", ... */
const char *mps_result_name(enum mps_result result);

#endif
