/* SPDX-License-Identifier: MIT */
/* tally.c - the words of labels. */
#include "dispatcher/runs/tally.h"

#include "dispatcher/inputs/error_type.h"
#include "millrace/check.h"

static const char *const refusal_names[REFUSAL_COUNT] = {
    [REFUSAL_NONE] = "none",
    [REFUSAL_QUEUE_FULL] = "queue_full",
    [REFUSAL_QUEUE_TOTAL] = "queue_total",
    [REFUSAL_NOT_READY] = "not_ready",
    [REFUSAL_FAILED] = "failed",
    [REFUSAL_QUARANTINED] = "quarantined",
    [REFUSAL_DRAINING] = "draining",
    [REFUSAL_DRAINED] = "drained",
    [REFUSAL_INPUT] = "input",
    [REFUSAL_INPUT_MEMORY] = "waiting_memory",
    [REFUSAL_TOO_MANY_RUNS] = "too_many_runs",
};

static const char *const cancel_names[CANCEL_REASON_COUNT] = {
    [CANCEL_NONE] = "none",
    [CANCEL_CLIENT_GONE] = "client_gone",
    [CANCEL_REQUESTED] = "requested",
    [CANCEL_DEADLINE] = "deadline",
    [CANCEL_STALLED] = "client_stalled",
    [CANCEL_DRAIN] = "draining",
    [CANCEL_REFUSED] = "not_offered",
    [CANCEL_BAD_VALUE] = "bad_value",
};

static const char *const affinity_names[AFFINITY_END_COUNT] = {
    [AFFINITY_HIT] = "hit",
    [AFFINITY_MISS] = "miss",
    [AFFINITY_DIVERTED] = "diverted",
};

static const char *const deadline_names[DEADLINE_KIND_COUNT] = {
    [DEADLINE_NONE] = "none",
    [DEADLINE_QUEUE] = "queue_timeout",
    [DEADLINE_FIRST_CHUNK] = "first_chunk_timeout",
    [DEADLINE_PROGRESS] = "progress_timeout",
    [DEADLINE_TOTAL] = "run_timeout",
    [DEADLINE_KEEPALIVE] = "keepalive",
    [DEADLINE_GRACE] = "cancel_grace",
};

bool cancel_reason_is_cancel(enum cancel_reason reason)
{
    return reason == CANCEL_CLIENT_GONE || reason == CANCEL_STALLED || reason == CANCEL_REQUESTED ||
           reason == CANCEL_DRAIN;
}

const char *refusal_name(enum refusal refusal)
{
    return refusal < REFUSAL_COUNT ? refusal_names[refusal] : "?";
}

const char *run_end_name(unsigned end)
{
    mr_assert(end < RUN_END_COUNT);
    return end == 0 ? "completed" : error_type_name((enum error_type)(end - 1));
}

const char *cancel_reason_name(enum cancel_reason reason)
{
    return reason < CANCEL_REASON_COUNT ? cancel_names[reason] : "?";
}

const char *deadline_kind_name(enum deadline_kind kind)
{
    return kind < DEADLINE_KIND_COUNT ? deadline_names[kind] : "?";
}

const char *affinity_end_name(enum affinity_end end)
{
    mr_assert(end < AFFINITY_END_COUNT);
    return affinity_names[end];
}
