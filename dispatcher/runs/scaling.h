/* SPDX-License-Identifier: MIT */
/*
 * scaling.h - how many workers a pipeline should have: numbers in, a number out.
 *
 * More where runs wait as long as it would take to start a worker for them, one step at a time:
 * while a worker that is wanted is not there, there is no other step, and what waited before the
 * last one was there does not count. The last worker goes once fewer would have done for all of the
 * idle time. The two cannot chase each other: growth needs runs that wait, and shrinking that none
 * did.
 *
 * Time is monotonic milliseconds, never 0, and always an argument.
 */
#ifndef DISPATCHER_SCALING_H
#define DISPATCHER_SCALING_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/limits.h"

/* What a start is taken to need where that was not measured, or was measured to need less or more
 * than the bounds: a run waits no longer for a step than the greatest of them. */
#define SCALING_START_MS 1000u
#define SCALING_START_MS_MIN 50u
#define SCALING_START_MS_MAX 5000u
#define SCALING_AGAIN_MS 1000u /* while a worker is not there yet, or a step has failed */

struct scaling_bounds {
    uint32_t min, max;    /* workers; max is 1 or more */
    uint32_t concurrency; /* runs that one of them can have */
    uint32_t idle_ms;     /* one that is not needed for so long goes; 0: it stays */
};

/* Of one pipeline. */
struct scaling {
    struct scaling_bounds bounds;
    uint32_t wanted;                          /* workers */
    uint64_t from_ms;                         /* what waited before does not count */
    uint64_t needed_ms[WORKER_COUNT_MAX + 1]; /* when so many were needed last, or asked for */
};

/* What is now. */
struct scaling_view {
    uint32_t absent_count; /* of the workers that are wanted, those that start */
    uint32_t run_count;    /* that there are, waiting or not */
    uint32_t queue_count;  /* of them, those that wait */
    uint64_t first_ms;     /* since when the first of these waits */
    double service_ms;     /* that a run was on its slot, of late; 0: not known */
    uint32_t start_ms;     /* that a worker took to be ready, of late; 0: not known */
    bool is_asked;         /* somebody came who could not wait, and there was no worker */
};

enum scaling_reason {
    SCALING_STAYS = 0,
    SCALING_ASKED,    /* there is none, and somebody came */
    SCALING_WAITED,   /* runs wait */
    SCALING_UNNEEDED, /* fewer would have done for the idle time */
    SCALING_REASON_COUNT
};

struct scaling_decision {
    enum scaling_reason reason;
    uint32_t wanted;
    uint64_t ms; /* for which the first run has waited, or the last worker was not needed */
};

/* The bounds, or how many are wanted, are these from now on. */
void scaling_set(struct scaling *scaling, const struct scaling_bounds *bounds, uint32_t wanted,
                 uint64_t now_ms);

/* So many workers within the bounds. */
uint32_t scaling_clamp(const struct scaling_bounds *bounds, uint32_t wanted);

/* Whether some of the workers that are wanted may go. */
static inline bool scaling_has_spare(const struct scaling *scaling)
{
    return scaling->wanted > scaling->bounds.min;
}

/* A run is gone, and so many are left. True: the last worker is not needed from now on. */
static inline bool scaling_note_less(struct scaling *scaling, uint32_t run_count, uint64_t now_ms)
{
    if (!scaling_has_spare(scaling) || run_count % scaling->bounds.concurrency != 0)
        return false;
    uint32_t needed = run_count / scaling->bounds.concurrency + 1;
    if (needed > scaling->wanted)
        return false;
    scaling->needed_ms[needed] = now_ms;
    return needed == scaling->wanted;
}

/* A worker is ready; `is_first`: none was before, and their idle time begins. */
void scaling_note_ready(struct scaling *scaling, bool is_first, uint64_t now_ms);

/* A step could not be made, and is not tried again for a while. */
void scaling_note_failure(struct scaling *scaling, uint64_t now_ms);

struct scaling_decision scaling_decide(const struct scaling *scaling,
                                       const struct scaling_view *view, uint64_t now_ms);

/* When that may be different; UINT64_MAX: not before something happens. */
uint64_t scaling_look_ms(const struct scaling *scaling, const struct scaling_view *view,
                         uint64_t now_ms);

/* In words, for the log. */
const char *scaling_reason_text(enum scaling_reason reason);

#endif
