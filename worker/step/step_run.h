/* SPDX-License-Identifier: MIT */
/*
 * step_run.h - the runs of a pipeline's engine (pipeline_engine.h): the handles that it has of
 * them, and what it does with one.
 *
 *   START -> WAITING --admit()--> ADMITTED --finish, fail--> GONE
 *               |                    |  \                     ^
 *            cancelled           lost: cancelled,  finish, fail while a line waits
 *               |                failed without it   |        |
 *               +-----> GONE <--evict()--+           LEAVING -+ when that line is sent
 *
 * For the worker's engine they are driven runs (host.h). A handle is for one run, and is used for
 * another one only after all others that are free, so that a pipeline which keeps one for too long
 * is found out.
 */
#ifndef WORKER_STEP_RUN_H
#define WORKER_STEP_RUN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "shm/clock.h"
#include "worker/engine/engine.h"
#include "worker/engine/run_list.h"

/* What a sign of life may be late by: it is written for each run. */
#define STEP_STAMP_NS (4 * CLOCK_NS_PER_MS)

enum step_run_state {
    STEP_RUN_GONE = 0, /* nobody's */
    STEP_RUN_WAITING,  /* to be admitted */
    STEP_RUN_ADMITTED,
    STEP_RUN_EVICTED, /* it is being told to the engine */
    STEP_RUN_LEAVING, /* the engine is done with it; its last line waits */
    STEP_RUN_STATE_COUNT
};

/* Each is in one list. */
struct mr_run {
    struct run_link link; /* first */
    enum step_run_state state;
    struct job *job;     /* borrowed; NULL: the worker's engine ended it */
    void *own;           /* the pipeline's */
    const char *failure; /* that it ends with; NULL: none; memory of the run, or for good */
    enum error_type failure_type;
    const char *failure_traceback; /* likewise; NULL: none */
    size_t failure_traceback_bytes;
};

struct step_runs {
    struct engine *engine; /* borrowed */
    uint32_t count;
    struct mr_run *all;      /* owned; count of them */
    struct mr_run **of_slot; /* owned; of each slot, NULL: none */
    struct run_list free, waiting, admitted, leaving;
    struct run_list lost;   /* to be evicted, or ended, before the next step */
    struct mr_run *open;    /* whose value is being written */
    struct mr_run *at_hand; /* that admit() or evict() was called for */
    bool is_inside;         /* a function of the pipeline's engine is running */
    bool may_admit;         /* the first that waits is to be asked for */
    bool is_idle;           /* step() said so, and nothing came since */
    uint64_t stamp_ns;      /* of the last sign of life */
    uint64_t value_count;   /* that were sent */
};

/* There is one in a process at a time. 0 or -ENOMEM. */
int step_runs_init(struct step_runs *runs, struct engine *engine) MUST_USE;
void step_runs_finish(struct step_runs *runs);

/* What the worker's engine says (host.h): a run came, which waits from now on; it was cancelled;
 * its window is open; it is over. */
void step_runs_add(struct step_runs *runs, struct job *job);
void step_runs_hear_cancel(struct step_runs *runs, const struct job *job);
void step_runs_hear_open(struct step_runs *runs, struct job *job);
void step_runs_hear_end(struct step_runs *runs, const struct job *job);

/* The run that a job is, when the engine has it: from admit() until it ends it or is told to. */
struct mr_run *step_runs_find(const struct step_runs *runs, const struct job *job);

/* The run that a link is of; NULL: none. */
static inline struct mr_run *step_run_of(struct run_link *link)
{
    return (struct mr_run *)(void *)link; /* link is its first member */
}

/* Sends the value that is being written, if one is; if it cannot be sent its run fails, and is
 * lost. */
void step_runs_close_value(struct step_runs *runs);

/* The worker's error becomes that of the run, and stays set. */
void step_run_take_error(struct step_runs *runs, struct mr_run *run);

/* Ends a run, with the failure that it has, and its handle; or when the line that waits is sent. */
void step_run_end(struct step_runs *runs, struct mr_run *run);

/* A sign of life of all runs that wait or are admitted, at most one in STEP_STAMP_NS. */
void step_runs_stamp(struct step_runs *runs, uint64_t now_ns);

/* Before a sleep: where all that are admitted wait for their clients, those that wait for them are
 * not to be taken for hung. */
void step_runs_expect_clients(struct step_runs *runs);

/* ---- the functions behind the table -------------------------------------------------------- */

/* The job of a run; NULL: the worker's engine ended it. For functions that are not here; one that
 * is called as it may not be ends the worker, and so does step_run_refuse(). */
struct job *step_run_job(const struct mr_run *run, const char *function);
_Noreturn void step_run_refuse(const char *function, const char *why);

void *step_run_alloc(struct mr_run *run, size_t bytes);
void step_run_set(struct mr_run *run, void *own);
void *step_run_get(struct mr_run *run);
struct mr_value *step_run_emit(struct mr_run *run);
bool step_run_is_full(struct mr_run *run);
bool step_run_is_cancelled(struct mr_run *run);
void step_run_finish(struct mr_run *run);
__attribute__((format(printf, 3, 0))) int step_run_vfail(struct mr_run *run, enum mr_error error,
                                                         const char *format, va_list arguments);
__attribute__((format(printf, 2, 0))) int step_engine_vfail(enum mr_error error, const char *format,
                                                            va_list arguments);

#endif
