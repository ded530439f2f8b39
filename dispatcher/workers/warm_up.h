/* SPDX-License-Identifier: MIT */
/*
 * warm_up.h - the run that a process begins with, before it takes those of clients.
 *
 * It is nobody's: it has a slot and no run, so that nothing of it comes to those who own runs. What
 * it yields is thrown away here.
 */
#ifndef DISPATCHER_WARM_UP_H
#define DISPATCHER_WARM_UP_H

#include <stdbool.h>

#include "millrace/check.h"

struct fleet;
struct record;
struct worker;

/* Whether the inputs of the pool's warm-up, if it has one, are such as it takes, which is known.
 * Else that is the worker's failure, and told as such. */
bool warm_up_fits(struct fleet *fleet, struct worker *worker);

/* Gives the worker its warm-up. 0; -ENOENT: its pipeline has none; -EAGAIN: it cannot hear, and its
 * end comes soon; other errors are its failure, and told as such. */
int warm_up_begin(struct fleet *fleet, struct worker *worker) MUST_USE;

/* A record of a slot that has no run, as drain.c has it. Returns what is wrong with it, or NULL.
 * Cold: records of runs, beside which the call stands, pay nothing for it. */
__attribute__((cold)) const char *warm_up_take(struct fleet *fleet, struct worker *worker,
                                               const struct record *record, const void *payload);

/* It is told to end now. */
void warm_up_cut(struct fleet *fleet, struct worker *worker);

#endif
