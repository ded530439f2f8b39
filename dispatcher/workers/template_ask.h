/* SPDX-License-Identifier: MIT */
/*
 * template_ask.h - a worker asks the template of its pool (template.h) for a process.
 */
#ifndef DISPATCHER_TEMPLATE_ASK_H
#define DISPATCHER_TEMPLATE_ASK_H

#include "millrace/check.h"

struct worker;
struct worker_spawn_options;

/* Copies that are asked for and not there yet, at most. */
#define TEMPLATE_ASKED_COUNT_MAX 4u

/* A process in a worker's place has ended, and worker->end says why: one that was a copy, and did
 * not become ready by itself, is followed by one that is none. */
void template_note_end(struct worker *worker);

/* How a worker's process is to begin now. */
enum template_advice {
    TEMPLATE_NONE = 0, /* by itself */
    TEMPLATE_COPY,
    TEMPLATE_WAIT /* the place is asked again when the template is ready, or is no use */
};

enum template_advice template_advise(const struct worker *worker);

/* What its process is started with beside what a worker is. */
void template_say(const struct worker *self, struct worker_spawn_options *options);

/* Asks for a copy that becomes the process of this worker. 0 or -errno, as spawner_ask(). Never
 * waits. */
int template_ask(struct worker *worker, const struct worker_spawn_options *options) MUST_USE;

#endif
