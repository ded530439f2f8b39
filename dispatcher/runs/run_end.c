/* SPDX-License-Identifier: MIT */
/* run_end.c - ends of runs: the tally, the history, the log. */
#include "dispatcher/runs/run_end.h"

#include "dispatcher/inputs/error_type.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/runs/runs.h"
#include "shm/clock.h"

static const char *const kind_names[RUN_END_KIND_COUNT] = {
    [RUN_COMPLETED] = "completed",
    [RUN_FAILED] = "failed",
    [RUN_CANCELLED] = "cancelled",
    [RUN_REFUSED] = "refused",
};

static void run_end_tally(struct tally *tally, const struct run_failure *failure);
static void run_end_keep(struct runs *runs, const struct run *run,
                         const struct run_failure *failure);
static void run_end_log(struct runs *runs, const struct run *run, enum run_end_kind kind,
                        const struct run_failure *failure);

const char *run_end_kind_name(enum run_end_kind kind)
{
    mr_assert(kind < RUN_END_KIND_COUNT);
    return kind_names[kind];
}

enum run_end_kind run_end_kind_of(const struct run_failure *failure)
{
    if (!failure)
        return RUN_COMPLETED;
    return cancel_reason_is_cancel(failure->reason) ? RUN_CANCELLED : RUN_FAILED;
}

void run_end_account(struct runs *runs, const struct run *run, const struct run_failure *failure)
{
    struct tally *tally = &run->pipeline->tally;
    uint64_t took_ms = runs->reactor->now_ms - run->created_ms;
    run_end_keep(runs, run, failure);
    run_end_tally(tally, failure);
    buckets_add(&tally->duration, &bucket_scale_runs, took_ms * CLOCK_NS_PER_MS);
    run_end_log(runs, run, run_end_kind_of(failure), failure);
}

void run_end_refuse(struct runs *runs, const struct run *run, const struct run_failure *failure)
{
    mr_assert(failure->refusal != REFUSAL_NONE);
    run->pipeline->tally.refusals[failure->refusal]++;
    run_end_keep(runs, run, failure);
    run_end_log(runs, run, RUN_REFUSED, failure);
}

static void run_end_tally(struct tally *tally, const struct run_failure *failure)
{
    switch (run_end_kind_of(failure)) {
    case RUN_COMPLETED:
        tally->ends[0]++;
        break;
    case RUN_FAILED:
        tally->ends[1 + failure->type]++;
        if (failure->reason == CANCEL_DEADLINE)
            tally->timeouts[failure->deadline]++;
        break;
    case RUN_CANCELLED:
        tally->cancels[failure->reason]++;
        break;
    case RUN_REFUSED:
    case RUN_END_KIND_COUNT:
        mr_unreachable("an accepted run was not refused");
    }
}

static void run_end_keep(struct runs *runs, const struct run *run,
                         const struct run_failure *failure)
{
    history_add(&runs->history,
                &(struct history_end){.id = run->id,
                                      .owner = run->owner,
                                      .pipeline_id = run->pipeline->config->id,
                                      .created_at = run->created_at,
                                      .started_at = run->started_at,
                                      .first_chunk_at = run->first_chunk_at,
                                      .updated_at = runs->reactor->wall_s,
                                      .worker = run_worker_number(run),
                                      .offer_count = run->offer_count,
                                      .line_count = run->value_count,
                                      .failed = failure != NULL,
                                      .type = failure ? failure->type : ERROR_UNKNOWN,
                                      .state = run_failure_state(failure),
                                      .message = failure ? failure->message : "",
                                      .message_bytes = failure ? failure->message_count : 0,
                                      .traceback = failure ? failure->traceback : NULL,
                                      .traceback_bytes = failure ? failure->traceback_count : 0});
}

/* Who or what ended it, or why it was refused; NULL: nothing but itself. */
static const char *run_end_cause(enum run_end_kind kind, const struct run_failure *failure)
{
    if (kind == RUN_REFUSED)
        return refusal_name(failure->refusal);
    if (!failure || failure->reason == CANCEL_NONE)
        return NULL;
    return failure->reason == CANCEL_DEADLINE ? deadline_kind_name(failure->deadline)
                                              : cancel_reason_name(failure->reason);
}

static void run_end_log(struct runs *runs, const struct run *run, enum run_end_kind kind,
                        const struct run_failure *failure)
{
    log_event(&runs->reactor->log, failure ? LEVEL_INFO : LEVEL_DEBUG, "run_end",
              LOG_WORD("run", run->id), LOG_WORD("pipeline", run->pipeline->config->pointer),
              LOG_WORD("state", run_end_kind_name(kind)),
              LOG_WORD("error", kind == RUN_FAILED ? error_type_name(failure->type) : NULL),
              LOG_WORD("cause", run_end_cause(kind, failure)),
              LOG_NATURAL("lines", run->value_count),
              LOG_NATURAL("ms", runs->reactor->now_ms - run->created_ms));
}
