/* SPDX-License-Identifier: MIT */
/*
 * worker.h - one worker's place: its process, its segment, its slots.
 *
 * worker.c moves runs and records; supervisor.c starts, watches and ends the process.
 */
#ifndef DISPATCHER_WORKER_H
#define DISPATCHER_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/reactor/timer.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/workers/cgroup.h"
#include "dispatcher/workers/crash.h"
#include "dispatcher/workers/noise.h"
#include "dispatcher/workers/unfinished.h"
#include "dispatcher/workers/worker_end.h"
#include "dispatcher/workers/worker_fsm.h"
#include "millrace/check.h"
#include "millrace/limits.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/segment.h"

struct loop;
struct pipeline;
struct run;

/* The dispatcher's own record of a slot; the shared words are never believed. */
struct worker_slot {
    uint32_t generation;
    uint32_t run_index; /* UINT32_MAX: free */
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
    uint32_t worker_index;
    uint32_t generation; /* of the process */
    uint32_t busy_count; /* of the pipes that are not at their end */
    struct timer timer;  /* it has ended: who holds its pipes is not waited for any longer */
};

struct worker {
    uint32_t index;      /* in loop->workers */
    uint32_t number;     /* within its pipeline, from 0 */
    uint32_t generation; /* of the process in this place */
    uint32_t pipeline_index;
    enum worker_state state;
    uint32_t successor, predecessor; /* while one starts beside the other; else WORKER_NONE */

    pid_t pid;
    int pidfd;                 /* while SPAWNING: only holds the place of one */
    int exec_error;            /* the process could not become the worker; 0: it could */
    int socket;                /* our end of the socketpair */
    bool takes_descriptors;    /* it cannot refuse those that the worker sends */
    int bell_fd;               /* the worker sleeps on this eventfd */
    int own_bell_fd;           /* the loop polls this one */
    char kill_reason[160];     /* while DYING */
    struct crash_report crash; /* of the process that ended last */
    enum worker_end end;       /* likewise: why; or why it is about to */
    bool was_oom;              /* likewise: the kernel killed it for memory */
    bool has_said_why;         /* it does not load or start: FAILED */
    bool was_short;            /* likewise: of what its user or the machine has no more */
    struct cgroup *group;      /* owned; NULL: its memory has no limit */
    struct segment segment;
    struct ring_tx requests;
    struct ring_rx replies;
    struct doorbell bell;     /* to wake the worker */
    struct doorbell own_bell; /* to say that we sleep */
    uint32_t news;            /* DOORBELL_ bits: what was published in this pass */
    uint32_t bells_heard;     /* since it was heard last */
    uint32_t noise_records;   /* likewise: of no use to a run */
    struct noise noise, printing;
    bool is_paused;  /* until noise_on_timer(): nothing of it is heard */
    bool is_noisy;   /* it was paused, and that was said */
    bool is_corrupt; /* its records are not read any more */
    struct unfinished unfinished;
    bool is_full;           /* its request ring or socket had no room for a run, until */
    uint64_t full_head;     /* the head of the ring is no longer this one, */
    uint64_t full_until_ms; /* or until this time; 0: there is none */

    struct worker_slot *slots; /* concurrency of them; owned */
    uint32_t *free_slots;      /* a stack of indexes; owned */
    uint32_t free_count;
    uint32_t active_count;

    struct output *outputs; /* two: of this process and of the last one; owned */

    struct timer timer; /* back-off, start timeout, grace to stop or die, after a hang-up */
    uint64_t started_ms;
    uint64_t ready_ms;       /* when this process was; 0: it is not yet */
    uint32_t failure_streak; /* starts in a row without a finished run: for the back-off */
    uint32_t death_streak;   /* deaths in a row, likewise: for the quarantine */
    uint64_t restart_count;
    uint64_t run_count;  /* ended on this process */
    uint64_t memory_ms;  /* when its size was looked at */
    uint64_t log_second; /* rate bound of what user code prints */
    uint32_t log_count;
    uint64_t log_suppressed;
    uint64_t record_count, bell_count;
    uint64_t ring_used_bytes; /* of the reply ring, when it was drained last */
};

#define WORKER_NONE UINT32_MAX

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

/* A worker without room for a run is asked again once it took some of what it has. */
void worker_look_for_room(struct worker *worker, uint64_t now_ms);

/* Free slots of a worker that takes runs and has room for one; 0 otherwise. */
uint32_t worker_free_count(const struct worker *worker);

/* The run's request goes beside the ring, which gets only a header. */
bool worker_takes_as_blob(const struct worker *worker, const struct run *run);

/* Puts the run's START into the ring. 0, or -EAGAIN: no room now, -errno. Takes a slot on success.
 */
int worker_offer(struct loop *loop, struct worker *worker, struct run *run) MUST_USE;

/* Asks the worker to stop the run. */
void worker_tell_cancel(struct loop *loop, struct worker *worker, struct run *run, uint32_t reason);

/* Nobody waits for the rest of the run's value any more. */
void worker_forget_value(struct loop *loop, struct worker *worker, const struct run *run);

/* The run is over: its slot may be used again. */
void worker_free_slot(struct loop *loop, struct worker *worker, struct run *run);

/* Takes records in a bounded batch. Returns how many. */
uint32_t worker_drain(struct loop *loop, struct worker *worker);

/* Wakes the worker if something was published and it sleeps. */
void worker_ring(struct worker *worker);

#endif
