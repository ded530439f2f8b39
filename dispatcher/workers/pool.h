/* SPDX-License-Identifier: MIT */
/*
 * pool.h - the workers of one pipeline: how many there are, and how that changes.
 *
 * Pools are made and resized while the server runs. A place that is not wanted any more takes no
 * new runs, finishes those it has, and is given back when its process is gone (supervisor.c).
 */
#ifndef DISPATCHER_POOL_H
#define DISPATCHER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/workers/cgroup.h"
#include "dispatcher/workers/fleet.h"
#include "millrace/check.h"

/* When one of these pipelines limits its workers' memory, moves this process into a group of its
 * own: before it has children, which would be left behind. 0, or -errno with one line in
 * `reason`. */
int pool_groups_prepare(struct fleet *fleet, char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* A pool with places for so many workers, and a spare one if `config` wants that, none of them
 * started. `config` and `owner` are borrowed and live as long as the pool. 0, -ENOMEM, -ENOSPC:
 * there are no more users for workers (--worker-user own), or -errno of a control group; with one
 * line in `reason`. */
int pool_create(struct fleet *fleet, const struct pipeline_config *config, uint32_t worker_count,
                void *owner, struct worker_pool **out, char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* Of a pool whose places are all vacant, or after the loop: what is left of processes is given
 * back, and nothing is waited for. */
void pool_destroy(struct worker_pool *pool);

/* Workers 0 to `worker_count` - 1 are wanted from now on, with 0 none: places are added for those
 * that have none, those of higher numbers are marked as surplus. One that was surplus and has not
 * gone yet is wanted again, so there are never more places than were ever wanted at once. New ones
 * are not started, surplus ones not asked to go: supervisor_resize() does it. Results as of
 * pool_create(); on error nothing has changed, and with fewer workers there is none. */
int pool_resize(struct worker_pool *pool, uint32_t worker_count,
                char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* The most workers that there can be for want of more users (--worker-user own). */
uint32_t pool_user_room(const struct worker_pool *pool);

/* Whether its template is wanted, where it has one: what is to follow as of pool_resize(). */
void pool_template_want(struct worker_pool *pool, bool is_wanted);

/* None of its places is wanted any more, nor will be. What is to follow as of pool_resize(). */
void pool_leave(struct worker_pool *pool);

/* The pool is one of another configuration from now on, which starts the same processes: it has so
 * many workers, and a spare place if that wants one. Results and what is to follow as of
 * pool_resize(). */
int pool_move(struct worker_pool *pool, const struct pipeline_config *config, uint32_t worker_count,
              char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* Gives the places back that are not wanted and whose processes are gone. True: others are left
 * whose processes are not. */
bool pool_trim(struct worker_pool *pool);

/* The place in which a successor can start beside a worker; NULL: there is none now. */
struct worker *pool_spare(const struct worker_pool *pool);

/* One more spare place, in a pool that has none; results as of pool_create(). It goes when nobody
 * is in it, outside of events; false: it is in use. */
int pool_extra_add(struct worker_pool *pool, char reason[CGROUP_REASON_BYTES]) MUST_USE;
bool pool_extra_remove(struct worker_pool *pool);

/* How many take runs. */
uint32_t pool_ready_count(const struct worker_pool *pool);

/* When a worker has proved itself by nothing but being ready; UINT64_MAX: it is not ready. */
uint64_t pool_proof_ms(const struct worker *worker);

/* Whether nothing is in any of its places, nor in that of its template: their memory is free. */
bool pool_is_vacant(const struct worker_pool *pool);

/* Runs that its workers have. */
uint32_t pool_active_count(const struct worker_pool *pool);

/* Whether all that are wanted do. */
bool pool_is_complete(const struct worker_pool *pool);

/* How many of those that are wanted are not there yet, or again. */
uint32_t pool_absent_count(const struct worker_pool *pool);

/* Whether there is no device for any of its workers. */
bool pool_lacks_devices(const struct worker_pool *pool);

/* Whether a process of one that is wanted is on its way. */
bool pool_is_starting(const struct worker_pool *pool);

/* Of those that are wanted and start, the one that is to be ready first as far as they say, or else
 * the one that began first; NULL: none starts. */
const struct worker *pool_first_starting(const struct worker_pool *pool);

/* A process took so long to be ready, and has said how many runs it takes. */
void pool_note_ready(struct worker *worker, uint64_t took_ms);

/* Nothing is in the place, and nothing of what was there is read any more. */
bool pool_place_is_vacant(const struct worker *worker);

/* Every invariant of the pool and its places. */
void pool_check(const struct worker_pool *pool);

#endif
