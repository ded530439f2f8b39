/* SPDX-License-Identifier: MIT */
/*
 * tally.h - what is counted of the runs of a pipeline, for GET /metrics; counters only grow.
 *
 * The tally of a pipeline adds up at any moment: accepted runs are those that ended (completed, or
 * failed with the type of an error), those that were cancelled, and those that are queued or active
 * now. Refused runs were never accepted.
 */
#ifndef DISPATCHER_TALLY_H
#define DISPATCHER_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/reactor/buckets.h"
#include "dispatcher/runs/deadline.h"
#include "dispatcher/text/run_class.h"
#include "dispatcher/workers/channel.h"
#include "millrace/protocol.h"

/* Why a run was not taken. */
enum refusal {
    REFUSAL_NONE = 0,
    REFUSAL_QUEUE_FULL,
    REFUSAL_QUEUE_TOTAL, /* the queues of all pipelines together */
    REFUSAL_NOT_READY,   /* it still loads */
    REFUSAL_FAILED,      /* it did not load or start */
    REFUSAL_QUARANTINED,
    REFUSAL_DRAINING,     /* the server stops */
    REFUSAL_DRAINED,      /* its operator wants none now */
    REFUSAL_INPUT,        /* wrong number or type of inputs */
    REFUSAL_INPUT_MEMORY, /* it would have to wait, and there is no memory for that */
    REFUSAL_TOO_MANY_RUNS,
    REFUSAL_COUNT
};

/* Where a run went that has a key, see affinity.h. */
enum affinity_end {
    AFFINITY_HIT = 0,  /* to the worker that has it */
    AFFINITY_MISS,     /* none was known to have it */
    AFFINITY_DIVERTED, /* that one was too busy */
    AFFINITY_END_COUNT
};

/* How a run ended: completed, or the type of its error. */
#define RUN_END_COUNT (1 + ERROR_TYPE_COUNT)

struct tally {
    uint32_t holder_count; /* of pipelines whose runs are counted here: one after the other */
    uint64_t accepted_count;
    uint64_t ends[RUN_END_COUNT];          /* [0]: completed; [1 + type]: failed */
    uint64_t cancels[CANCEL_REASON_COUNT]; /* of the reasons that cancel_reason_is_cancel() */
    uint64_t active_count; /* on a slot, and not answered to their end; this one shrinks */
    uint64_t timeouts[DEADLINE_KIND_COUNT]; /* of the ends: which limit of the server it was */
    uint64_t refusals[REFUSAL_COUNT];
    uint64_t line_count; /* values of the runs that ended */
    uint64_t scale_up_count, scale_down_count;
    uint64_t displaced_count; /* of those that failed: others have fewer in a full queue */
    uint64_t affinity_counts[AFFINITY_END_COUNT]; /* of runs that have a key, when they start */
    uint64_t class_starts[RUN_CLASS_COUNT];       /* while it is fair, */
    uint64_t class_wait_ms[RUN_CLASS_COUNT];      /* and what they waited together */
    uint64_t swap_count;        /* times that its workers went to make room for another one's */
    struct buckets wait;        /* from the acceptance to a slot */
    struct buckets first_chunk; /* from the acceptance to the first chunk */
    struct buckets gap;         /* between chunks of a run, of bucket_scale_gaps */
    struct buckets duration;    /* from the acceptance to the end */
    struct call_counts calls;   /* of its workers, as far as somebody asked or they ended */
};

struct metrics {
    uint64_t record_count, line_count;
    uint64_t worker_start_count, worker_exit_count, worker_killed_count;
    uint64_t worker_pause_count;
    uint64_t spawner_lost_count;
    uint64_t reader_body_count, reader_lost_count;
};

/* One of this class started. */
static inline void tally_note_class(struct tally *tally, uint32_t class, uint64_t waited_ms)
{
    tally->class_starts[class]++;
    tally->class_wait_ms[class] += waited_ms;
}

/* Whether whoever a run was for did not want it any more; for all other reasons it failed. */
bool cancel_reason_is_cancel(enum cancel_reason reason);

/* The words of labels: "queue_full", "completed", "client_gone", "queue_timeout". */
const char *refusal_name(enum refusal refusal);
const char *affinity_end_name(enum affinity_end end);
const char *run_end_name(unsigned end);
const char *cancel_reason_name(enum cancel_reason reason);
const char *deadline_kind_name(enum deadline_kind kind);

#endif
