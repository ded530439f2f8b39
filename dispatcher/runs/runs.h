/* SPDX-License-Identifier: MIT */
/*
 * runs.h - all runs and the pipelines they belong to: the state of this room.
 *
 * It gives runs to workers (workers/), hears of them through fleet_ops, which it implements, and
 * tells where their output goes through sink_ops.
 */
#ifndef DISPATCHER_RUNS_H
#define DISPATCHER_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/runs/alias.h"
#include "dispatcher/runs/history.h"
#include "dispatcher/runs/id_index.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/runs/run_end.h"
#include "dispatcher/runs/unread.h"
#include "dispatcher/workers/cgroup.h"
#include "dispatcher/workers/fleet.h"
#include "millrace/check.h"

#define RUN_SLAB_COUNT 256u
#define TOKEN_SERIES_MAX 64u

/* Owned by the server. */
struct runs {
    const struct config *config;
    struct reactor *reactor;
    struct fleet *fleet;
    struct input_memory *input;        /* what runs that wait hold is counted there */
    const struct given_ops *given_ops; /* who keeps files that they give out */
    void *given_owner;
    const struct unread_ops *unread_ops; /* who reads requests that were kept */
    void *unread_owner;

    struct run **slabs; /* slab_count of RUN_SLAB_COUNT runs; owned */
    uint32_t slab_count;
    struct run *free;
    uint32_t count;        /* in use */
    uint32_t count_max;    /* there may be so many */
    struct run **newest;   /* of each owner, of those that are queued or active; owned */
    struct id_index index; /* of them */

    struct pipeline **pipelines; /* pipeline_count of them; owned */
    uint32_t pipeline_count;
    struct pipeline *coming;  /* those whose workers are being started; owned */
    struct pipeline *leaving; /* those that are served no more and are not gone yet; owned */
    uint32_t queue_count;     /* runs that wait, of all of them */
    struct aliases aliases;   /* all that they lead to is served */
    struct history history;

    /* Runs by their end, of the first tokens of the configuration each, and of all others. */
    uint64_t token_ends[TOKEN_SERIES_MAX + 1][RUN_END_KIND_COUNT];
    uint64_t completed_count; /* that --log-runs may have asked for, for every Nth */

    struct rank_secret rank_secret; /* of the hashes by which runs are scheduled */

    bool is_drained;        /* by its operator: no new runs until that is over */
    bool stop_is_announced; /* others are told to go elsewhere; new runs are taken */
    bool is_draining;       /* no new runs */
    bool is_stopping;       /* workers go because they are told to */
};

/* The run of this index, which there is. */
static inline struct run *runs_at(const struct runs *runs, uint32_t index)
{
    return &runs->slabs[index / RUN_SLAB_COUNT][index % RUN_SLAB_COUNT];
}

#define RUNS_REASON_BYTES CGROUP_REASON_BYTES

/* What it works with; all borrowed for as long as the runs live. */
struct runs_options {
    const struct config *config;
    struct reactor *reactor;
    struct fleet *fleet;
    struct input_memory *input;
    const struct given_ops *given_ops; /* who keeps files that they give out */
    void *given_owner;
    const struct unread_ops *unread_ops; /* who reads requests that were kept */
    void *unread_owner;
};

/* No pipelines yet. 0 or -ENOMEM; runs_finish() in either case. */
int runs_init(struct runs *runs, const struct runs_options *options) MUST_USE;

/* Gives everything back, the pools of workers too; nothing may be with the kernel any more. */
void runs_finish(struct runs *runs);

/* ---- pipelines ----------------------------------------------------------------------------- */

/* The pipeline of this number in a configuration, which it holds on to. Its workers are to be
 * started (supervisor_start(), supervisor_resize()). 0, or -errno as of pool_create(), with one
 * line in `reason`. */
int runs_add_pipeline(struct runs *runs, const struct config *config, uint32_t number,
                      struct pipeline **out, char reason[RUNS_REASON_BYTES]) MUST_USE;

/* Likewise, but nobody can call it yet: it is one of those that are coming. */
int runs_prepare_pipeline(struct runs *runs, const struct config *config, uint32_t number,
                          struct pipeline **out, char reason[RUNS_REASON_BYTES]) MUST_USE;

/* One that was coming is a pipeline from now on. Where there is one of its pointer, that has no new
 * runs any more: those that it took finish on its own workers, also those that wait or are being
 * read, then runs_sweep() frees it. What was counted of it goes on. */
void runs_serve_pipeline(struct runs *runs, struct pipeline *pipeline);

/* One that was coming is not wanted. */
void runs_drop_pipeline(struct runs *runs, struct pipeline *pipeline);

/* It is none of the pipelines any more, and another one may have its pointer. Runs that wait are
 * refused, also those whose bodies are being read, running ones finish; then its workers go, and
 * runs_sweep() frees it. */
void runs_remove_pipeline(struct runs *runs, struct pipeline *pipeline);

/* Likewise, but all runs that it took finish, also those that wait or are being read: an alias that
 * led to it leads to another one from now on. */
void runs_retire_pipeline(struct runs *runs, struct pipeline *pipeline);

/* From now on it is as the pipeline of this number in another configuration, which it holds on to
 * instead: the same processes would be started for both (pipeline_change()). There are as many
 * workers as before, if its bounds allow that; more are started, surplus ones finish their runs. 0;
 * or -errno as of pool_create(), with one line in `reason`: it is as before. */
int runs_move_pipeline(struct runs *runs, struct pipeline *pipeline, const struct config *config,
                       uint32_t number, char reason[RUNS_REASON_BYTES]) MUST_USE;

/* pipeline_yield.c: a pipeline that is told so (--reload-after) makes room for one that is to
 * follow it. False: it has nothing to give. */
bool runs_yield_pipeline(struct pipeline *pipeline);

/* Once a pass and outside of events: whether it has, and all its processes are gone. */
bool runs_has_yielded(struct runs *runs, struct pipeline *pipeline);

/* Nobody follows it: it serves again. */
void runs_take_back_pipeline(struct runs *runs, struct pipeline *pipeline);

/* Runs can belong to so many owners. 0 or -ENOMEM. */
int runs_reserve_owners(struct runs *runs, uint32_t owner_count) MUST_USE;

/* All processes of workers, or those of one pipeline, are replaced one after the other; the log and
 * fleet->renewal say how that goes. 0, or -ENOMEM. */
int runs_renew(struct runs *runs, const struct pipeline *pipeline) MUST_USE;

/* A pipeline, or (NULL) all of them, takes no new runs for as long as its operator wants; those it
 * has taken go on. */
void runs_drain(struct runs *runs, struct pipeline *pipeline, bool does_drain);
bool pipeline_is_drained(const struct runs *runs, const struct pipeline *pipeline);

/* While runs->leaving, once a pass and outside of events: frees pipelines that were removed and
 * have neither runs nor workers any more. */
void runs_sweep(struct runs *runs);

/* As many workers as its runs need within these bounds, the greater one 1 to WORKER_COUNT_MAX, from
 * now on and until it is moved (runs_move_pipeline()); new ones are started, surplus ones finish
 * their runs. Those that there are beyond what the configuration allows may lack descriptors or
 * users. 0, -EINVAL, or -errno as of pool_create(): nothing has changed. Of pipeline_scale.c. */
int runs_scale_pipeline(struct runs *runs, struct pipeline *pipeline, uint32_t min, uint32_t max,
                        char reason[RUNS_REASON_BYTES]) MUST_USE;

/* By id or pointer; NULL when there is none. */
struct pipeline *runs_find_pipeline(const struct runs *runs, const char *name);

/* ---- in a pass ----------------------------------------------------------------------------- */

/* Queued runs get free slots. */
void runs_schedule(struct runs *runs);

/* Whether one that waits could be offered now. */
bool runs_can_offer(struct runs *runs);

/* While workers wait for memory of devices: who can start does, and others go where somebody waits
 * for their room. Of pipeline_room.c. */
void runs_make_room(struct runs *runs);

/* Room for the runs of all pipelines, and for `more` that can run and `more_queued` that can wait,
 * so that none of them is refused for want of it. What is not needed any more is kept for the next
 * ones. 0 or -ENOMEM. Of runs_reserve.c. */
int runs_reserve(struct runs *runs, uint64_t more, uint64_t more_queued) MUST_USE;

/* Places for workers of a pipeline, for all of whose runs there is room. */
uint64_t runs_places(const struct pipeline *pipeline);

/* And for those on the one worker more that there is while all of them are replaced. */
int runs_reserve_renewal(struct runs *runs) MUST_USE;

/* For the end of the server: also those whose files are not there yet; and those that workers
 * have. */
void runs_cancel_queued(struct runs *runs, const struct run_failure *failure);
void runs_cancel_active(struct runs *runs, const struct run_failure *failure);

/* The longest time that any pipeline gives a cancelled run to end. */
uint32_t runs_cancel_grace_ms(const struct runs *runs);

/* Every invariant, also of the pools of workers. */
void runs_check(const struct runs *runs);

#endif
