/* SPDX-License-Identifier: MIT */
/*
 * engine_parts.h - what the files of the engine ask of each other.
 */
#ifndef WORKER_ENGINE_PARTS_H
#define WORKER_ENGINE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/engine.h"

/* Takes what came through the request ring, a bounded number of records. */
void engine_take_requests(struct engine *engine);

/* Makes ready the runs whose time has come, or holds them. */
void engine_take_due(struct engine *engine);

/* Makes ready the runs that were woken, and those whose descriptor is ready. */
void engine_take_woken(struct engine *engine);

/* Looks whether waiting runs were cancelled or may send again, at most `count_max` of them; while
 * no cancel came since all were looked at, at those that wait for their windows alone. Hosts of
 * driven runs are told. */
void engine_watch(struct engine *engine, uint32_t count_max);

/* True when nothing is unread but what due runs made, and that is enough. A head that is nonsense
 * is for the next claim to find. */
bool engine_is_ahead(const struct engine *engine);

/* Gives each run that is ready by now its turn. Behind the first `other_count` are those that were
 * due. */
void engine_step_ready(struct engine *engine, uint32_t other_count);

/* Sends the complete line that is open, or sets it aside until the window allows it. */
void engine_offer(struct engine *engine, struct job *job);

/* engine_files.c: the run, whose line waits, has files to be kept first. */
void engine_give_files(struct engine *engine, struct job *job);

/* A FILE record came; the pipe of a run in JOB_WINDOW has room; the run ends, or its line does. */
void engine_take_file(struct engine *engine, const struct record *meta, const void *payload);
void engine_go_on_writing(struct engine *engine, struct job *job);
void engine_drop_files(struct engine *engine, struct job *job);

/* Tells the host of a driven run, once, which ends it; nothing more of it is sent. */
void engine_tell_cancel(struct engine *engine, struct job *job);

/* Ends a run that is not driven as cancelled for `reason`; with the worker's error; or with that
 * one (NULL: it is complete): closes the iterators, gives memory and slot back, and sends the run's
 * last record. */
void engine_cancel(struct engine *engine, struct job *job, uint32_t reason);
void engine_fail(struct engine *engine, struct job *job);
void engine_end(struct engine *engine, struct job *job, const struct error *error);

/* A run waits for its window from now on, or no more. */
void engine_enter_window(struct engine *engine, struct job *job);
void engine_leave_window(struct engine *engine, const struct job *job);

/* Puts the run behind those that are ready. Part of every line, hence inline. */
static inline void engine_make_ready(struct engine *engine, struct job *job)
{
    struct engine_queue *ready = &engine->ready;
    mr_assert(ready->count < engine->slot_count);
    uint32_t place = ready->first + ready->count;
    if (place >= engine->slot_count)
        place -= engine->slot_count;
    ready->slots[place] = job->reply.slot;
    ready->count++;
    if (job->state == JOB_WINDOW)
        engine_leave_window(engine, job);
    job->state = JOB_READY;
}

#endif
