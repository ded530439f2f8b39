/* SPDX-License-Identifier: MIT */
/*
 * failure_note.h - why a worker does not load or start becomes known: in the log, and above.
 */
#ifndef DISPATCHER_FAILURE_NOTE_H
#define DISPATCHER_FAILURE_NOTE_H

#include "dispatcher/workers/failure.h"

struct fleet;
struct worker;

/* The worker's process has failed, and this is why; told once of one process. */
void failure_note(struct fleet *fleet, struct worker *worker, const struct worker_failure *failure);

/* Its first line, as far as there is room, becomes the worker's failure_words. */
void failure_words_keep(struct worker *worker, const struct worker_failure *failure);

#endif
