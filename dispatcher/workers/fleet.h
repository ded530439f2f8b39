/* SPDX-License-Identifier: MIT */
/*
 * fleet.h - all workers of the server, by pipeline: the state of this room, and what it tells.
 *
 * A pool has the workers of one pipeline, as many as its owner wants; pools come and go while the
 * server runs (pool.h). What becomes of runs and pipelines is not known here: that is told to
 * whoever owns them, through fleet_ops.
 */
#ifndef DISPATCHER_FLEET_H
#define DISPATCHER_FLEET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/devices/devices.h"
#include "dispatcher/inputs/variables.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/workers/failure.h"
#include "dispatcher/workers/oom.h"
#include "dispatcher/workers/repeats.h"
#include "dispatcher/workers/spawner.h"
#include "dispatcher/workers/worker.h"
#include "dispatcher/workers/worker_files.h"

/* Told upwards, in the middle of a pass. Texts and values live only during the call. `owner` is the
 * fleet's, a pool's own owner is pool->owner. */
struct fleet_ops {
    /* A worker takes runs. */
    void (*ready)(void *owner, struct worker_pool *pool);
    /* One does not load or start, and says why. */
    void (*failed)(void *owner, struct worker_pool *pool, const struct worker_failure *failure);
    /* There is no device for one that is wanted. */
    void (*lacks)(void *owner, struct worker_pool *pool, const struct worker_failure *failure);
    /* A process ended, or none could be made; `reason` is one phrase for people. */
    void (*died)(void *owner, struct worker *worker, enum error_type type, const char *reason);
    /* A worker brought a run to its end, well or not. */
    void (*proved)(void *owner, struct worker *worker);
    /* Something happened to a worker: after each event. */
    void (*changed)(void *owner, struct worker_pool *pool);
    /* Its devices have room for other many workers than before, or may. */
    void (*counted)(void *owner, struct worker_pool *pool);

    /* A whole value of a run that is not cancelled: msgpack, unchecked. */
    void (*value)(void *owner, struct run *run, const uint8_t *data, size_t bytes);
    /* One that could not be taken: -ENOBUFS, the pool's share of memory is used up; -ENOMEM. */
    void (*value_lost)(void *owner, struct run *run, int error);
    /* It will give out a file, and waits until worker_files_ended(). */
    void (*file)(void *owner, struct run *run, const struct worker_file *file);
    /* It is about to end, and these of its outputs are one value each, though declared as streams:
     * a bit for each. */
    void (*plain)(void *owner, struct run *run, uint64_t outputs);
    /* The run ended; `failure` NULL: completed. Its slot is to be given back. */
    void (*ended)(void *owner, struct run *run, const struct worker_failure *failure);
    /* Its worker is gone; likewise. */
    void (*lost)(void *owner, struct run *run, const struct worker_failure *failure);
};

/* Of a pool; zero: it has none. */
struct pool_template {
    struct worker *worker; /* the place; owned; NULL: there is none */
    bool is_refused;       /* it cannot be copied: not tried again before a renewal */
    bool has_failed;       /* its last process ended before it could be copied, or several did */
    char reason[256];      /* why, of either; "": neither */
    uint32_t asked_count;
    uint64_t copy_count; /* that became workers */
    pid_t group;         /* of its last process: what is left of it; 0: nothing is */
};

/* What a pipeline is to others that want memory of its devices (device_room.h). */
struct pool_room {
    uint32_t least_count;   /* of its workers, the first of which never go for others */
    bool is_busy;           /* it has runs, */
    bool is_needed;         /* or was asked for, or is to be there always */
    bool may_go;            /* workers beyond these may go for others now */
    uint64_t used_ms;       /* when a run of it ended last; 0: none has */
    uint64_t learned_bytes; /* the most that a worker was seen to use; 0: not known */
};

/* The workers of one pipeline. Owned by the fleet. */
struct worker_pool {
    struct fleet *fleet;
    void *owner;                          /* the pipeline */
    const struct pipeline_config *config; /* of its pipeline; lives as long as the pool */
    uint32_t index;                       /* of all pools ever made */
    struct worker **places;               /* a spare one included; owned */
    uint32_t place_count;
    uint32_t worker_count;         /* how many of them are wanted, but for a spare one */
    bool is_leaving;               /* none is, and the spare one is not either */
    struct pool_template template; /* that its workers are copies of */
    bool has_extra;                /* a spare one that is there for a renewal only */
    uint32_t made_place_count;     /* ever, for the names of groups */
    struct variables variables;    /* of its inputs and outputs, once a HELLO told them */
    bool is_known;                 /* they are */
    uint32_t worker_capacity;      /* runs that a worker takes at once, as the last one said */
    bool cannot_load;  /* its source is not what it should be; trying again is of little use */
    uint32_t start_ms; /* that processes took to be ready, of late; 0: none was yet */
    struct pool_room room;
    struct repeats start_failures;       /* since one of its workers was ready: said once */
    struct unfinished_share unfinished;  /* what its workers hold of values that are not whole */
    uint64_t restarts[WORKER_END_COUNT]; /* processes that another one followed, by their ends */
    struct call_counts *calls; /* where those of its workers are added up; its owner's, or NULL */
};

/* Workers are being replaced: renewal.h. When it is not on, how the last one went. */
struct renewal {
    bool is_on;
    bool has_failed;          /* it ends, or has ended, without another word */
    struct worker_pool *pool; /* whose turn it is; NULL: the next one's is to begin */
    bool has_gone;            /* one of it had to go before its successor comes, */
    uint32_t gone_index;      /* from this place */
    char failure[256];        /* of a successor, until it is dealt with; "": none */
    char reason[256];         /* why it failed; "": it has not */
    uint32_t replaced_count, left_count;
    uint64_t began_ms, ended_ms;
};

/* Owned by the server. */
struct fleet {
    const struct config *config;
    struct reactor *reactor;
    struct devices *devices; /* that there are */
    const struct fleet_ops *ops;
    void *owner;

    struct worker_pool **pools; /* pool_count of them; owned */
    uint32_t pool_count, made_pool_count;
    struct worker **workers; /* by index; worker_count of them, NULL where there is none; owned */
    uint32_t worker_count;
    uint32_t generation_max; /* of any worker that was given back */
    uint32_t usage_next;     /* the worker that was looked at last */
    uint64_t bell_count;     /* wake-ups that those were written */

    struct spawner spawner; /* starts their processes */
    struct timer spawner_timer;
    struct timer offer_timer;  /* a run that could not be offered may be now */
    struct timer noise_timer;  /* workers are paused */
    struct timer output_timer; /* lines of user code were left out of the log */
    uint8_t *record;           /* private copy of the record or message being handled; owned */
    uint32_t record_bytes;
    struct oom_watch oom;
    struct renewal renewal;
    char group_folder[PATH_MAX]; /* above the control groups of workers; "": none is limited */
    bool is_stopping;            /* nothing that ends is replaced */
    bool has_suspects;           /* a worker was distrusted, and is to be killed */
    bool is_shrinking;           /* places may be vacant that are not wanted any more, */
    bool has_moved;              /* and something happened to a worker since that was looked at */
    bool is_crowded;             /* a worker waits for memory of a device, */
    bool room_has_moved;         /* and something happened since that was looked at */
    struct timer room_timer;     /* when it is looked at all the same, */
    uint64_t room_look_ms;       /* at the latest when the first hold is over; UINT64_MAX: none */

    /* Counted for GET /metrics. */
    uint64_t record_count;
    uint64_t start_count, exit_count, killed_count, pause_count;
    uint64_t spawner_lost_count;
};

/* The worker that a completion is for; NULL when another process is in its place. */
struct worker *fleet_worker(const struct fleet *fleet, struct uring_ref ref);

/* Whether the process, of this fleet that `context` is, fills the place of a worker. */
bool fleet_has_process(const void *context, pid_t pid);

/* For references to the worker's process. */
static inline struct uring_ref fleet_ref(const struct worker *worker, enum uring_op op)
{
    return (struct uring_ref){op, worker->index, worker->generation};
}

/* Something has to wait until the window of noise (noise.h) is over. */
void fleet_noise_timer_set(struct fleet *fleet);

/* Brings what workers count of their calls (pool->calls) up to date. */
void fleet_collect_calls(const struct fleet *fleet);

/* Bytes held for values of which only fragments have come. */
uint64_t fleet_unfinished_bytes(const struct fleet *fleet);

#endif
