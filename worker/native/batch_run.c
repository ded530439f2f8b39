/* SPDX-License-Identifier: MIT */
/*
 * batch_run.c - lists of runs.
 */
#include "worker/native/batch_run.h"

#include "shm/slot.h"

void batch_run_take_out(struct batch_run *run)
{
    struct batch_list *list = run->list;
    if (!list)
        return;
    if (run->before)
        run->before->behind = run->behind;
    else
        list->first = run->behind;
    if (run->behind)
        run->behind->before = run->before;
    else
        list->last = run->before;
    list->count--;
    run->list = NULL;
    run->before = run->behind = NULL;
}

void batch_run_move(struct batch_run *run, struct batch_list *list)
{
    batch_run_take_out(run);
    run->list = list;
    run->before = list->last;
    if (list->last)
        list->last->behind = run;
    else
        list->first = run;
    list->last = run;
    list->count++;
}

bool batch_run_is_cancelled(const struct batch_run *run)
{
    const struct job *job = run->execution.job;
    return slot_cancel_reason(job->slot, job->reply.generation) != CANCEL_NONE;
}
