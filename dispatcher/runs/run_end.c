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
static void run_end_tally_token(struct runs *runs, const char *token, uint32_t index,
                                enum run_end_kind kind);
static void run_end_keep(struct runs *runs, const struct run *run,
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
    struct tally *tally = run->pipeline->tally;
    uint64_t took_ms = runs->reactor->now_ms - run->created_ms;
    run_end_keep(runs, run, failure);
    run_end_tally(tally, failure);
    run_end_tally_token(runs, run->token, run->token_index, run_end_kind_of(failure));
    if (run->value_count > run->gap_count + 1) /* the last ones came together */
        tally->gap.counts[0] += run->value_count - run->gap_count - 1;
    tally->line_count += run->value_count;
    buckets_add(&tally->duration, &bucket_scale_runs, took_ms * CLOCK_NS_PER_MS);
}

void run_end_refuse(struct runs *runs, const struct run *run, const struct run_failure *failure)
{
    mr_assert(failure->refusal != REFUSAL_NONE);
    run->pipeline->tally->refusals[failure->refusal]++;
    run_end_tally_token(runs, run->token, run->token_index, RUN_REFUSED);
    run_end_keep(runs, run, failure);
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

static void run_end_tally_token(struct runs *runs, const char *token, uint32_t index,
                                enum run_end_kind kind)
{
    if (token && *token != '\0')
        runs->token_ends[index < TOKEN_SERIES_MAX ? index : TOKEN_SERIES_MAX][kind]++;
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

/* Whether --log-runs asks for the line. */
static bool run_end_is_logged(struct runs *runs, enum run_end_kind kind)
{
    const struct config *config = runs->config;
    if (config->log_runs == LOG_RUNS_OFF)
        return false;
    if (kind != RUN_COMPLETED)
        return true;
    if (config->log_runs == LOG_RUNS_FAILED)
        return false;
    return runs->completed_count++ % config->log_runs == 0;
}

static struct log_field run_end_number(const char *key, uint64_t number, bool is_known)
{
    return is_known ? LOG_NATURAL(key, number) : LOG_NOTHING;
}

/* Names of tokens and addresses are plain words. */
static struct log_field run_end_plain(const char *key, const char *name)
{
    return name && name[0] != '\0' ? LOG_NAME(key, name) : LOG_NOTHING;
}

static struct log_field run_end_alias(const struct alias *alias)
{
    return alias ? LOG_NAME("alias", alias->pointer) : LOG_NOTHING;
}

/* Where it failed, in an event of its own: whoever wants lines alone asks for warnings. */
static void run_end_log_traceback(struct runs *runs, const struct run *run,
                                  const struct run_failure *failure)
{
    if (failure && failure->traceback && runs->config->tracebacks != TRACEBACKS_OFF)
        log_event(&runs->reactor->log, LEVEL_INFO, "run_traceback", LOG_NAME("run", run->id),
                  LOG_NAME("pipeline", run->pipeline->config->pointer),
                  LOG_BLOCK("traceback", failure->traceback, failure->traceback_count));
}

void run_end_log(struct runs *runs, const struct run *run, enum run_end_kind kind,
                 const struct run_failure *failure, int status)
{
    uint64_t now_ms = runs->reactor->now_ms;
    uint64_t started_ms = run->started_ms > 0 ? run->started_ms : now_ms;
    bool has_message = kind == RUN_FAILED || kind == RUN_REFUSED;
    if (!run_end_is_logged(runs, kind))
        return;
    log_event(
        &runs->reactor->log, kind == RUN_FAILED ? LEVEL_WARNING : LEVEL_INFO, "run_end",
        LOG_NAME("run", run->id), LOG_NAME("pipeline", run->pipeline->config->pointer),
        run_end_alias(run->alias), run_end_number("worker", run_worker_number(run), run->worker),
        run_end_number("attempt", run->offer_count, run->offer_count > 1),
        LOG_WORD("request", run->request_id[0] ? run->request_id : NULL),
        run_end_plain("token", run->token), run_end_plain("client", run->client),
        LOG_NAME("state", run_end_kind_name(kind)),
        LOG_NAME("error", kind == RUN_FAILED ? error_type_name(failure->type) : NULL),
        LOG_NAME("cause", run_end_cause(kind, failure)),
        run_end_number("status", (uint64_t)status, status > 0),
        LOG_NATURAL("lines", run->value_count), LOG_NATURAL("bytes", run_value_bytes(run)),
        LOG_NATURAL("waited_ms", started_ms - run->created_ms),
        run_end_number("first_ms", run->first_chunk_ms - run->created_ms, run->first_chunk_ms > 0),
        LOG_NATURAL("ms", now_ms - run->created_ms),
        LOG_BYTES("message", has_message ? failure->message : NULL,
                  has_message ? failure->message_count : 0));
    if (kind == RUN_FAILED)
        run_end_log_traceback(runs, run, failure);
}

void run_end_refuse_none(struct runs *runs, struct pipeline *pipeline,
                         const struct run_origin *origin, int status)
{
    pipeline->tally->refusals[REFUSAL_TOO_MANY_RUNS]++;
    run_end_tally_token(runs, origin->token, origin->token_index, RUN_REFUSED);
    if (!run_end_is_logged(runs, RUN_REFUSED))
        return;
    log_event(&runs->reactor->log, LEVEL_INFO, "run_end",
              LOG_NAME("pipeline", pipeline->config->pointer), run_end_alias(origin->alias),
              LOG_WORD("request", origin->request_id), run_end_plain("token", origin->token),
              run_end_plain("client", origin->client),
              LOG_NAME("state", run_end_kind_name(RUN_REFUSED)),
              LOG_NAME("cause", refusal_name(REFUSAL_TOO_MANY_RUNS)),
              LOG_NATURAL("status", (uint64_t)status));
}
