/* SPDX-License-Identifier: MIT */
/*
 * pipeline.h - one served pipeline: its variables, its workers, its bounded queue.
 *
 * pipeline_health.h says whether it takes runs.
 */
#ifndef DISPATCHER_PIPELINE_H
#define DISPATCHER_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/config_hold.h"
#include "dispatcher/runs/pipeline_fsm.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/runs/scaling.h"
#include "dispatcher/runs/tally.h"
#include "dispatcher/runs/tickets.h"

struct affinity;
struct runs;
struct worker_pool;

#define SERVICE_COUNT_MAX 16u

/* From before its first run to after its last. */
enum pipeline_phase {
    PHASE_SERVED = 0,
    PHASE_COMING,   /* it is not among the pipelines yet: its workers are started */
    PHASE_FOLLOWED, /* another one has its pointer; runs that it took and that wait go on */
    PHASE_LEAVING,  /* it takes no runs: what it has ends, and then it goes */
    PHASE_COUNT
};

/* Owned by the runs. */
struct pipeline {
    const struct pipeline_config *config; /* of the configuration it was made from, */
    struct config_hold hold;              /* which stays as long as it */
    struct worker_pool *pool;             /* its workers; the fleet's */
    enum pipeline_phase phase;
    struct pipeline *next; /* of those that are not served */
    uint32_t user_count;   /* who refers to it: runs, and requests that are being read */
    uint32_t coming_count; /* the latter, and runs whose files are brought: it will queue them */
    enum pipeline_state state;
    bool is_drained;    /* by its operator: no new runs until that is over */
    bool is_yielding;   /* no new runs: it makes room for one that is to follow it */
    bool starts_after;  /* COMING: it waits for that room */
    struct timer timer; /* of a trial */

    struct scaling scaling; /* how many workers it should have; the pool has as many as it wants */
    struct timer scale_timer; /* when that is looked at */
    uint32_t device_room;     /* for workers, when that was counted last; 0: never */
    bool scale_is_watched;    /* that is because of runs that wait */
    bool scale_is_asked;      /* one came that could not, and there was no worker */
    uint64_t asked_ms;        /* when one came last that was refused for want of one; 0: never */

    struct run *queue_first, *queue_last;
    uint32_t queue_count;
    struct tickets tickets; /* for positions in it */

    struct fair_queue *fair;   /* those that wait, in turns; owned; NULL: it never was fair */
    struct affinity *affinity; /* owned; NULL: no run preferred a worker yet */

    /* The last reason why a worker did not load or start; "" when one is fine. */
    enum error_type failure_type;
    char failure[ERROR_MESSAGE_BYTES_MAX];
    char told[ERROR_MESSAGE_BYTES_MAX];          /* the same for clients, who may not see folders */
    char refusal[ERROR_MESSAGE_BYTES_MAX + 256]; /* what clients are told of it meanwhile */
    char *traceback;                             /* that came with it; owned; NULL: none */
    size_t traceback_count;

    uint64_t collected_bytes; /* that results of its runs hold before they are whole */

    double service_ms;      /* moving average of a run's time on a slot, however it ended */
    uint32_t service_count; /* of runs in it, up to SERVICE_COUNT_MAX */
    struct tally *tally;    /* owned together with those it follows */
};

/* Those that wait go to workers, in turns, while there are free slots. */
void pipeline_schedule(struct runs *runs, struct pipeline *pipeline);

/* A run waits although a slot is free and its request now fits the worker's ring. */
bool pipeline_can_offer(struct runs *runs, struct pipeline *pipeline);

void pipeline_enqueue(struct runs *runs, struct run *run);
void pipeline_dequeue(struct runs *runs, struct run *run);

/* How many runs in the queue are before this one, which is in it; of a fair schedule at most, and
 * of its tenant and class only. */
uint32_t pipeline_queue_position(const struct pipeline *pipeline, const struct run *run);

/* A run got its slot, and gave it back: what it waited and what it took is counted. */
void pipeline_note_start(const struct runs *runs, const struct run *run);
void pipeline_note_end(const struct runs *runs, struct run *run);

/* Seconds after which a place in the queue may be free, from the measured service time: 1 .. 60. */
uint32_t pipeline_retry_after_s(const struct pipeline *pipeline);

/* A run would not have to wait. */
bool pipeline_has_slot(struct runs *runs, struct pipeline *pipeline);

/* ---- pipeline_pick.c: which run is next, and where it goes ----------------------------------- */

bool pipeline_is_fair(const struct pipeline *pipeline);

/* Whose place in its turns it is. */
struct run *pipeline_run_of(struct fair_item *item);

/* The time of the pass. */
uint64_t pipeline_now_us(const struct runs *runs);

/* The one whose turn it is; NULL: none waits. */
struct run *pipeline_next(const struct runs *runs, const struct pipeline *pipeline);

/* Likewise of some that wait the one for the next slot, and in `worker` the one that is to have it:
 * the least loaded one before, which has a slot. */
struct run *pipeline_pick(const struct runs *runs, const struct pipeline *pipeline,
                          struct worker **worker);

/* Of one that has an affinity: the worker has it now, and what it would find again is there. */
void pipeline_note_pick(const struct runs *runs, const struct pipeline *pipeline,
                        const struct run *run, const struct worker *worker);

/* The run has its payload, in which its key may be, or its request, which nobody has read yet. */
void pipeline_rank_payload(const struct runs *runs, struct run *run);

/* What the options of this configuration need, also for runs that wait already; it stays. 0 or
 * -ENOMEM. */
int pipeline_pick_prepare(const struct runs *runs, struct pipeline *pipeline,
                          const struct pipeline_config *config) MUST_USE;
void pipeline_pick_finish(struct pipeline *pipeline);

/* ---- pipeline_scale.c: how many workers it has ---------------------------------------------- */

/* What the configuration says, as far as its devices have room. */
struct scaling_bounds pipeline_bounds(const struct runs *runs,
                                      const struct pipeline_config *config);

/* Its devices may have room for more workers, or fewer. */
void pipeline_recount(struct runs *runs, struct pipeline *pipeline);

/* So many workers, whatever the bounds; with 0 it is IDLE, and runs that are left ask for one
 * again. Results as of pool_resize(). */
int pipeline_scale_to(struct runs *runs, struct pipeline *pipeline, uint32_t wanted,
                      char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* Within these bounds from now on; of the pool, which was told how many are wanted, there were so
 * many before. New ones are started, surplus ones go. */
void pipeline_scale_follow(struct runs *runs, struct pipeline *pipeline,
                           const struct scaling_bounds *bounds, uint32_t before);

/* Runs wait, and there is no worker for them now. */
void pipeline_scale_watch(struct runs *runs, struct pipeline *pipeline);

/* A run of it is gone. */
void pipeline_scale_note_less(struct runs *runs, struct pipeline *pipeline);

/* A worker is ready; `is_first`: none was before. */
void pipeline_scale_note_ready(struct runs *runs, struct pipeline *pipeline, bool is_first);

/* Somebody came who cannot wait: without a worker, one is wanted, and room for it. */
void pipeline_ask(struct runs *runs, struct pipeline *pipeline);

/* It is time to look. */
void pipeline_scale_on_timer(struct runs *runs, struct pipeline *pipeline);

/* ---- pipeline_load.c: how far its start is -------------------------------------------------- */

#define LOAD_WORDS_BYTES (START_PROGRESS_WORDS_BYTES + 192)

/* ": 62 %, loading shard 5 of 8 (41 s)", of the worker that is to be ready first, to be put behind
 * what starts; or for which room it waits; "": neither. */
void pipeline_load_words(const struct pipeline *pipeline, char words[LOAD_WORDS_BYTES]);

/* Whether who waits for it waits for its start. */
bool pipeline_is_being_started(const struct pipeline *pipeline);

/* Seconds until a worker may be ready, from what it says of its start, or from what starts took of
 * late: 1 to 60. */
uint32_t pipeline_load_s(const struct pipeline *pipeline);

/* What a run is told that cannot wait for the worker that starts; the message is borrowed. */
struct run_failure pipeline_loads(const struct pipeline *pipeline, const char *message);

/* ---- pipeline_room.c: memory of devices ------------------------------------------------------ */

/* The worker that waits since there is no room for it on a device; NULL: none does. */
const struct worker *pipeline_room_waiting(const struct pipeline *pipeline);

/* Of it, ": it waits for 4.0 GiB of cuda device 0, which is held by me/a:v1 (12 s)"; "": there is
 * none. */
void pipeline_room_words(const struct pipeline *pipeline, char words[LOAD_WORDS_BYTES]);

/* How long it may be until it is ready, as far as holds and starts tell. */
uint64_t pipeline_room_left_ms(const struct pipeline *pipeline);

#endif
