/* SPDX-License-Identifier: MIT */
/*
 * batch_run.c - a run that stands before a batched pipe.
 */
#include "worker/native/batch_run.h"

#include "shm/slot.h"

bool batch_run_is_cancelled(const struct batch_run *run)
{
    const struct job *job = run->execution.job;
    return slot_cancel_reason(job->slot, job->reply.generation) != CANCEL_NONE;
}
