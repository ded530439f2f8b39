/* SPDX-License-Identifier: MIT */
/*
 * pipeline_health.h - whether a pipeline takes runs, and what it says when it does not: the actions
 * of pipeline_fsm.
 */
#ifndef DISPATCHER_PIPELINE_HEALTH_H
#define DISPATCHER_PIPELINE_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/protocol.h"

struct runs;
struct pipeline;
struct run;
struct run_failure;
struct run_rank;
struct worker;

/* There is no device for one of its workers, and why: it may come, so that is no failure. Where
 * there is none for any, those who would wait for one are told, unless they asked to wait. */
void pipeline_lacks_device(struct runs *runs, struct pipeline *pipeline, const char *text,
                           size_t count);

/* A worker is ready. */
void pipeline_served(struct runs *runs, struct pipeline *pipeline);

/* A worker brought a run to its end, well or not: it works. */
void pipeline_run_finished(struct runs *runs, struct pipeline *pipeline, struct worker *worker);

/* A worker died, or did not load or start; `reason` is for clients, unless it has said one
 * itself. */
void pipeline_worker_died(struct runs *runs, struct pipeline *pipeline, struct worker *worker,
                          enum error_type type, const char *reason);

/* None of its workers is wanted any more; or some are again. */
void pipeline_unwanted(struct runs *runs, struct pipeline *pipeline);
void pipeline_wanted(struct runs *runs, struct pipeline *pipeline);

/* Looks at all workers together, after anything happened to one of them. */
void pipeline_review(struct runs *runs, struct pipeline *pipeline);

/* The time of a trial may be over. */
void pipeline_on_timer(struct runs *runs, struct pipeline *pipeline);

/* Why a run could not start now, as what its client is told; false when it could or may wait, until
 * the pipeline is loaded only if `waits_for_load`. The texts live until the pipeline's next
 * event. */
bool pipeline_refuses(struct runs *runs, struct pipeline *pipeline, const struct run_rank *rank,
                      bool waits_for_load, struct run_failure *failure);

/* The same of a run that was accepted before, and only now has all that it needs. */
bool pipeline_refuses_accepted(struct runs *runs, struct pipeline *pipeline,
                               const struct run_rank *rank, struct run_failure *failure);

/* Where the queue is full and a slot is not free, the newest run of whoever has most in it fails,
 * so that this one has its place: for it was not refused. */
void pipeline_make_place(struct runs *runs, struct pipeline *pipeline, const struct run *run);

/* Likewise why one could not whose request can only be read once: before its pipeline is known. */
bool pipeline_refuses_unread(struct runs *runs, struct pipeline *pipeline,
                             struct run_failure *failure);

/* Keeps why a worker did not load, start or live, for clients; cut to the room there is. The
 * traceback of an earlier failure goes. */
void pipeline_note_failure(struct runs *runs, struct pipeline *pipeline, enum error_type type,
                           const char *text, size_t count);

/* Adds a copy of where that was; without memory it is left out. */
void pipeline_note_traceback(struct pipeline *pipeline, const char *text, size_t count);

#endif
