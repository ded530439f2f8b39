/* SPDX-License-Identifier: MIT */
/*
 * worker.h - one worker's place: its process, its segment, its slots.
 *
 * worker.c gives it runs and takes them back; drain.c hears what it says of them; supervisor.c
 * starts, watches and ends the process.
 */
#ifndef DISPATCHER_WORKER_H
#define DISPATCHER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/devices/device.h"
#include "dispatcher/devices/mps_end.h"
#include "dispatcher/reactor/identity.h"
#include "dispatcher/reactor/log_field.h"
#include "dispatcher/reactor/timer.h"
#include "dispatcher/workers/cgroup.h"
#include "dispatcher/workers/channel.h"
#include "dispatcher/workers/crash.h"
#include "dispatcher/workers/noise.h"
#include "dispatcher/workers/start_progress.h"
#include "dispatcher/workers/unfinished.h"
#include "dispatcher/workers/worker_end.h"
#include "dispatcher/workers/worker_fsm.h"
#include "millrace/check.h"
#include "millrace/limits.h"
#include "shm/doorbell.h"

struct fleet;
struct run; /* whatever it is to those who offered it: only handed back */
struct worker_pool;

/* The dispatcher's own record of a slot; the shared words are never believed. */
struct worker_slot {
    uint32_t generation;
    struct run *run;          /* NULL: free, or it is of the warm-up */
    const char *run_id;       /* of it; owned by the run */
    bool is_cancelled;        /* the worker was told to stop it */
    uint32_t sequence;        /* of the run's next record */
    uint64_t charged;         /* charge received from the worker */
    uint64_t delivered;       /* of which somebody took */
    uint32_t file_count;      /* that the worker told of */
    bool has_file;            /* the last of them is on its way */
    uint64_t former_stamp_ns; /* in the slot before the worker knew of the run: of another one */
};

/* A pipe of the worker's stdout or stderr, read a piece at a time. */
struct output_pipe {
    int fd;
    bool read_queued;    /* `bytes` belongs to the kernel */
    bool read_waits;     /* too much was printed: queued by output_go_on() */
    uint32_t line_count; /* of `line` */
    uint32_t owed_bytes; /* to be read, that a run wrote before it ended: */
    char owed_run_id[RUN_ID_BYTES];
    char bytes[2048];
    char line[LOG_TEXT_BYTES_MAX];
};

/* What one process prints, read to its end also when the next process is there already. */
struct output {
    struct output_pipe pipes[2]; /* stdout and stderr */
    struct worker *worker;
    uint32_t generation; /* of the process */
    uint32_t busy_count; /* of the pipes that are not at their end */
    struct timer timer;  /* it has ended: who holds its pipes is not waited for any longer */
};

/* What the process of this generation holds and has used; zero: nobody has looked. */
struct worker_usage {
    uint32_t generation;
    bool is_known;
    uint64_t looked_ms;
    uint64_t resident_bytes;
    uint64_t cpu_ns; /* of its threads, not of what it started */
};

enum warm_up_state {
    WARM_UP_NONE = 0,
    WARM_UP_RUNS,
    WARM_UP_DONE, /* it ended; the worker is told so in the same pass (supervisor_judge()) */
    WARM_UP_FAILED,
};

/* The run of nobody that a process begins with (warm_up.h). Zero: it has had none yet. */
struct warm_up {
    enum warm_up_state state;
    bool is_cut;          /* it was told to end, which is no failure of it */
    uint32_t slot_index;  /* while WARM_UP_RUNS */
    uint64_t value_count; /* whole ones */
    uint64_t value_bytes; /* of the one that is not whole */
};

struct worker {
    struct worker_pool *pool; /* the workers of its pipeline */
    uint32_t index;           /* in the fleet: for references */
    uint32_t number;          /* within its pipeline, from 0 */
    uint32_t generation;      /* of the process in this place */
    enum worker_state state;
    bool is_template;    /* it takes no runs: workers are copies of it */
    bool is_unforkable;  /* of one: its last process said that it cannot be copied */
    bool is_copy;        /* its process is one, or the one that is asked for */
    bool failed_as_copy; /* the last one did not become ready: the next one begins by itself */
    struct worker *successor, *predecessor; /* while one starts beside the other; else NULL */

    bool lacks_device;    /* there is none for it now */
    bool waits_for_loads; /* it starts when others have loaded */
    bool has_device;      /* its process is bound to one, or the next one, if it is there: */
    struct device device; /* as it was when it was chosen */

    uint64_t reserved_bytes; /* of the device's memory, from before its start to its end */
    uint64_t room_since_ms;  /* since when it waits for that; 0: it does not */
    bool has_no_room;        /* likewise: there was none on its device when it was looked last */
    bool is_room_taken;      /* and it would not do if all went who are known here */

    pid_t pid;
    int pidfd;                      /* while SPAWNING: only holds the place of one */
    int exec_error;                 /* the process could not become the worker; 0: it could */
    char kill_reason[240];          /* while DYING */
    bool is_asked_where;            /* likewise: it was asked where it hangs, or will be */
    struct mps_end mps_end;         /* likewise: before it is killed */
    bool is_killed;                 /* likewise: with no more questions */
    char said_reason[200];          /* what was wrong with what it said last */
    struct crash_report crash;      /* of the process that ended last */
    enum worker_end end;            /* likewise: why; or why it is about to */
    bool was_oom;                   /* likewise: the kernel killed it for memory */
    bool has_said_why;              /* it does not load or start: FAILED */
    char failure_words[256];        /* likewise: its first line of why */
    bool is_repeating;              /* likewise: the same as was said before */
    bool was_short;                 /* likewise: of what its user or the machine has no more */
    struct start_progress progress; /* of this process's start, as it says */
    struct warm_up warm_up;         /* of this process */
    struct cgroup *group;           /* owned; NULL: its memory has no limit */
    struct channel channel;         /* to the process; none in an empty place */
    uint32_t pending_rings;         /* DOORBELL_ bits: what was published in this pass */
    uint32_t bells_heard;           /* since it was heard last */
    uint32_t noise_records;         /* likewise: of no use to a run */
    struct noise noise, printing;
    bool is_paused;    /* until pause_on_timer(): nothing of it is heard */
    bool is_noisy;     /* it was paused, and that was said */
    bool is_corrupt;   /* its records are not read any more */
    bool is_stale;     /* the process is to be replaced: renewal.h */
    bool is_surplus;   /* the pool wants fewer: nothing follows it in this place */
    const char *wrong; /* what it did that it is about to be killed for; NULL: nothing */
    struct unfinished unfinished;
    bool is_full;           /* its request ring or socket had no room for a run, until */
    uint64_t full_head;     /* the head of the ring is no longer this one, */
    uint64_t full_until_ms; /* or until this time; 0: there is none */

    uint32_t concurrency;      /* of its pipeline, as it was when the place was made */
    uint32_t window_bytes;     /* the same */
    struct worker_slot *slots; /* concurrency of them; owned */
    uint32_t *free_slots;      /* a stack of indexes; owned */
    uint32_t free_count;
    uint32_t capacity; /* of the slots, how many it has runs in at once */
    uint32_t active_count;

    struct output *outputs; /* two: of this process and of the last one; owned */

    struct timer timer; /* back-off, start timeout, grace to stop or die, after a hang-up */
    uint64_t started_ms;
    uint64_t ready_ms;       /* when this process was; 0: it is not yet */
    uint32_t failure_streak; /* starts in a row without a finished run: for the back-off */
    uint32_t death_streak;   /* deaths in a row, likewise: for the quarantine */
    uint64_t row_end_ms;     /* a death before this time follows in a row: for the back-off */
    uint64_t restart_count;
    uint64_t run_count;  /* ended on this process */
    uint64_t memory_ms;  /* when its size was looked at */
    uint64_t log_second; /* rate bound of what user code prints */
    uint32_t log_count;
    uint64_t log_suppressed;
    uint64_t record_count, bell_count;
    uint64_t ring_used_bytes; /* of the reply ring, when it was drained last */
    struct worker_usage usage;
};

/* What a run asks of a worker. Borrowed, but that `payload_fd` is sent on. */
struct worker_offer {
    struct run *run;    /* NULL: it is the warm-up, which is nobody's */
    const char *run_id; /* lives as long as the run has the slot; NULL: likewise */
    const uint8_t *payload;
    int payload_fd; /* a sealed file that holds the payload; -1: it is in memory */
    size_t payload_bytes;
    const uint8_t *files; /* the body of FILES; NULL: its inputs name none */
    size_t files_bytes;
};

/* Which it is, for the log. */
static inline struct log_field worker_log_field(const struct worker *worker)
{
    return worker->is_template ? LOG_NAME("worker", "template")
                               : LOG_NATURAL("worker", worker->number);
}

/* Whether a process is in this place, dead or alive. */
static inline bool worker_has_process(const struct worker *worker)
{
    return worker->pid > 0;
}

/* Whether it takes runs. */
static inline bool worker_serves(const struct worker *worker)
{
    return worker->state == WORKER_READY || worker->state == WORKER_OUTGOING;
}

/* Whether a process is on its way to be ready. */
static inline bool worker_is_starting(const struct worker *worker)
{
    return worker->state >= WORKER_STARTING && worker->state <= WORKER_WARMING;
}

/* Likewise, or is asked for. */
static inline bool worker_loads(enum worker_state state)
{
    return state >= WORKER_SPAWNING && state <= WORKER_WARMING;
}

/* Whether what it writes is looked at. */
static inline bool worker_is_heard(const struct worker *worker)
{
    return worker->pid > 0 && !worker->is_corrupt && !worker->is_paused;
}

/* A worker without room for a run is asked again once it took some of what it has. */
void worker_look_for_room(struct worker *worker, uint64_t now_ms);

/* Whether this slot is its warm-up's, and of this generation. */
static inline bool worker_is_warm_up(const struct worker *worker, uint32_t slot_index,
                                     uint32_t generation)
{
    return worker->warm_up.state == WARM_UP_RUNS && worker->warm_up.slot_index == slot_index &&
           worker->slots[slot_index].generation == generation;
}

/* Free slots of a worker that takes runs and has room for one; 0 otherwise. */
uint32_t worker_free_count(const struct worker *worker);

/* Whether the worker's request ring has room for this payload. */
bool worker_has_room_for(struct worker *worker, const struct worker_offer *offer);

/* Puts the run's START into the ring and sets `*slot_index`, the slot it takes. 0, or -EAGAIN: no
 * room now, or the ring is corrupt; -errno. */
int worker_offer(struct worker *worker, const struct worker_offer *offer,
                 uint32_t *slot_index) MUST_USE;

/* Asks the worker to stop the run in this slot. */
void worker_tell_cancel(struct worker *worker, uint32_t slot_index, uint32_t reason);

/* The run in this slot is over: the slot may be used again. */
void worker_free_slot(struct worker *worker, uint32_t slot_index);

/* Likewise the warm-up. */
void worker_give_slot(struct worker *worker, uint32_t slot_index);

/* Somebody took output of this charge: the run's window opens again. */
void worker_deliver(struct worker *worker, uint32_t slot_index, uint64_t charge);

/* Bytes of all values of the run so far, which were so many: what it was charged without what each
 * costs besides. */
static inline uint64_t worker_value_bytes(const struct worker *worker, uint32_t slot_index,
                                          uint64_t value_count)
{
    uint64_t charged = worker->slots[slot_index].charged;
    uint64_t besides = value_count * CHUNK_CHARGE_BYTES;
    return charged > besides ? charged - besides : 0;
}

/* Whether all that the run's window lets it send waits to be taken. */
static inline bool worker_waits_for_reader(const struct worker *worker, uint32_t slot_index)
{
    return worker->slots[slot_index].charged > worker->slots[slot_index].delivered;
}

/* When the worker's runtime last worked on the run, or until when it has nothing to do, in
 * CLOCK_MONOTONIC ms; 0: unknown. A word out of the future costs the worker its life. */
uint64_t worker_last_progress_ms(struct worker *worker, uint32_t slot_index, uint64_t now_ms);

/* What it wrote cannot be: nothing of it is read any more, and it is killed soon. `reason` is a
 * constant. */
void worker_distrust(struct worker *worker, const char *reason);

/* Its last run ended, or none was left: one that retires has its grace to exit from now on. */
void worker_grace_begin(struct worker *worker);

/* Wakes the worker if something was published and it sleeps. */
static inline void worker_ring(struct worker *worker)
{
    if (worker->pending_rings == 0)
        return;
    if (doorbell_ring(&worker->channel.bell, worker->pending_rings))
        worker->bell_count++;
    worker->pending_rings = 0;
}

/* Every invariant of the place. */
void worker_check(const struct worker *worker);

#endif
