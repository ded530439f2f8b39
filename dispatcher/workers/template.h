/* SPDX-License-Identifier: MIT */
/*
 * template.h - the process of a pool that its workers are copies of, where --preload says so.
 *
 * It has a place of its own, in which it is started, watched and replaced as a worker is
 * (worker_fsm.h), and in READY it makes copies in place of taking runs. It executes user code, and
 * what it says of its copies is believed only after a look. While it loads, workers wait for it;
 * where it cannot be copied, or does not load, they begin by themselves, as without it.
 *
 *     dispatcher                      template                    copy
 *     FORK, with the ends of a   -->  clone(CLONE_PARENT)
 *     channel and of pipes       <--  FORKED, its number
 *     a look: a child of ours,
 *     in the template's group
 *     GO, on its own channel     ------------------------------>  becomes the worker
 */
#ifndef DISPATCHER_TEMPLATE_H
#define DISPATCHER_TEMPLATE_H

#include <stdbool.h>

#include "dispatcher/workers/worker_fsm.h"

struct fleet;
struct message_forked;
struct worker;
struct worker_pool;

/* Starts it where it is wanted and nothing runs in its place. */
void template_start(struct fleet *fleet, struct worker_pool *pool);

/* Another process takes its place, which loads what the files are now. */
void template_renew(struct fleet *fleet, struct worker_pool *pool);

/* FORKED came from it. An event of it, WORKER_EV_COUNT for none; or MISBEHAVED, and `*wrong`, a
 * constant, says why. */
enum worker_event template_take(struct fleet *fleet, struct worker *self,
                                const struct message_forked *copy, const char **wrong);

/* A process in its place is about to be asked for. */
void template_begin(const struct fleet *fleet, struct worker *self);

/* It may be copied now. */
void template_ready(struct fleet *fleet, struct worker *self);

/* A copy of it became a worker. */
void template_served(struct worker_pool *pool);

/* Its process is gone, or was never there: workers that asked it ask again. Before the place is
 * started again. */
void template_ended(struct fleet *fleet, struct worker *self, const char *reason);

/* Its place is due. False: no other process is wanted in it, and what the last one left was looked
 * for once more. */
bool template_may_start(struct fleet *fleet, struct worker *self);

/* A worker whose process waits for its copy did so for too long. */
void template_overdue(struct fleet *fleet, struct worker *worker);

#endif
