/* SPDX-License-Identifier: MIT */
/*
 * spawning.h - the loop and its spawner: answers become events of workers, and a spawner that ends
 * or hangs is replaced.
 */
#ifndef DISPATCHER_SPAWNING_H
#define DISPATCHER_SPAWNING_H

#include <stdbool.h>
#include <stddef.h>

struct fleet;
struct uring_event;
struct worker;

/* Hears a spawner that was just opened. */
void spawning_hear(struct fleet *fleet);

/* Whether a start can be asked for now. While there is no spawner and none is coming it can, and
 * fails with the reason. */
bool spawning_may_start(const struct fleet *fleet);

/* All answers that are there. False: no more will come. */
bool spawning_take_answers(struct fleet *fleet);

/* Its answers are taken, it is killed if it lives, starts that are not answered are asked for
 * again, and a new one is opened when it is gone. */
void spawning_lost(struct fleet *fleet, const char *reason);

/* A completion; or another spawner may be opened. */
void spawning_on_spawner(struct fleet *fleet, const struct uring_event *event);
void spawning_on_timer(struct fleet *fleet);

/* Which limit it may be that lets no process be started with `error` (-errno); "" when none. */
const char *start_error_hint(int error);

/* Says in the log why a worker does not start, ever more seldom where that stays the same. */
void start_failure_say(struct fleet *fleet, const struct worker *worker, const char *reason);

/* No process came of a start: a sentence, "the worker process cannot be started: ...", with the
 * hint. Where it was for want of what all workers and the server share, it is nobody's failure: the
 * worker is marked as short. `error` is a negative errno. */
void start_error_note(struct worker *worker, int error, char *text, size_t text_bytes);

#endif
