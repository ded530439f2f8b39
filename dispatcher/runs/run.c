/* SPDX-License-Identifier: MIT */
/* run.c - runs: the pool, and the actions of run_fsm. */
#include "dispatcher/runs/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/config/owner.h"
#include "dispatcher/runs/run_end.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/recycle.h"
#include "dispatcher/workers/supervisor.h"
#include "shm/clock.h"

static void run_step(struct runs *runs, struct run *run, enum run_event event,
                     const struct run_failure *failure);
static void run_value_refuse(struct runs *runs, struct run *run, int error, uint64_t number);
static void run_timer_arm(struct runs *runs, struct run *run);
static void run_deadline_passed(struct runs *runs, struct run *run, enum deadline_kind kind);
static enum deadline_kind run_next_deadline(struct runs *runs, const struct run *run,
                                            uint64_t *due_ms);

static void run_payload_drop(struct runs *runs, struct run *run);
static int run_drop_sink(struct run *run);

/* ---- the pool ------------------------------------------------------------------------------ */

void run_birth_now(struct runs *runs, struct run_birth *out)
{
    memcpy(out->id, "run_", 4);
    identity_hex(&runs->reactor->identity, out->id + 4);
    memcpy(out->created_text, reactor_wall_text(runs->reactor), WALL_TEXT_BYTES);
    out->created_at = runs->reactor->wall_s;
    out->created_ms = runs->reactor->now_ms;
}

static void run_text_take(char *out, size_t room, const char *text)
{
    size_t count = text ? strnlen(text, room - 1) : 0;
    if (count > 0)
        memcpy(out, text, count);
    out[count] = '\0';
}

struct run *run_create(struct runs *runs, const struct run_options *options)
{
    struct run *run = runs->free;
    struct run_birth birth;
    mr_assert(options->owner != OWNER_NOBODY);
    if (!run)
        return NULL;
    runs->free = run->next;
    runs->count++;
    if (options->birth)
        birth = *options->birth;
    else
        run_birth_now(runs, &birth);
    const struct pipeline_options *its = &options->pipeline->config->options;
    uint32_t timeout_ms = its->run_timeout_ms;
    if (options->timeout_ms > 0 && (timeout_ms == 0 || options->timeout_ms < timeout_ms))
        timeout_ms = options->timeout_ms;
    *run = (struct run){.index = run->index,
                        .generation = run->generation + 1,
                        .timer = run->timer,
                        .sink = options->sink,
                        .owner = options->owner,
                        .waits = options->waits,
                        .rank = options->rank,
                        .pipeline = options->pipeline,
                        .created_at = birth.created_at,
                        .created_ms = birth.created_ms,
                        .queued_ms = birth.created_ms,
                        .last_line_ms = runs->reactor->now_ms,
                        .limits = {.queue_ms = its->queue_timeout_ms,
                                   .first_chunk_ms = its->first_chunk_timeout_ms,
                                   .progress_ms = its->progress_timeout_ms,
                                   .total_ms = timeout_ms,
                                   .grace_ms = its->cancel_grace_ms}};
    memcpy(run->id, birth.id, sizeof run->id);
    run_text_take(run->token, sizeof run->token, options->origin.token);
    run->token_index = options->origin.token_index;
    run_text_take(run->request_id, sizeof run->request_id, options->origin.request_id);
    run_text_take(run->client, sizeof run->client, options->origin.client);
    memcpy(run->created_text, birth.created_text, WALL_TEXT_BYTES);
    run->pipeline->user_count++;
    run->alias = options->origin.alias;
    if (run->alias)
        alias_keep(run->alias);
    run->sink->ops->begin(run->sink, run);
    return run;
}

void run_payload_take(struct runs *runs, struct run *run, uint8_t *payload, size_t bytes)
{
    mr_assert(!run->payload);
    run->payload = payload;
    run->payload_bytes = bytes;
    input_memory_take(runs->input, bytes);
}

void run_payload_take_file(struct runs *runs, struct run *run, int fd, size_t bytes)
{
    mr_assert(!run->payload && !run->has_payload_file);
    run->payload_fd = fd;
    run->has_payload_file = true;
    run->payload_bytes = bytes;
    input_memory_take(runs->input, bytes);
    input_memory_take_file(runs->input);
}

void run_payload_free(struct runs *runs, struct run *run)
{
    if (!run->payload && !run->has_payload_file)
        return;
    input_memory_give(runs->input, run->payload_bytes);
    free(run->payload);
    run->payload = NULL;
    if (!run->has_payload_file)
        return;
    close(run->payload_fd);
    run->has_payload_file = false;
    input_memory_give_file(runs->input);
}

void run_destroy(struct runs *runs, struct run *run)
{
    mr_assert(run->state == RUN_FREE);
    run_drop_sink(run);
    if (run->given)
        run->given->release(run->given);
    run->given = NULL;
    timer_clear(&runs->reactor->timers, &run->timer);
    run_payload_drop(runs, run);
    if (run->files)
        run->files->release(run->files);
    run->files = NULL;
    mr_assert(run->pipeline->user_count > 0);
    run->pipeline->user_count--;
    pipeline_scale_note_less(runs, run->pipeline);
    if (run->alias)
        alias_let_go(&runs->aliases, run->alias);
    run->alias = NULL;
    run->id[0] = '\0';
    run->next = runs->free;
    runs->free = run;
    runs->count--;
}

uint32_t run_worker_number(const struct run *run)
{
    return run->worker ? run->worker->number : RUN_WORKER_NONE;
}

uint64_t run_value_bytes(const struct run *run)
{
    return run->worker ? worker_value_bytes(run->worker, run->slot_index, run->value_count) : 0;
}

struct run *run_find(const struct runs *runs, uint32_t owner, const char *id)
{
    for (uint32_t i = id_index_first(&runs->index, id); i != ID_NONE;
         i = id_index_next(&runs->index, i)) {
        struct run *run = runs_at(runs, i);
        if (strcmp(run->id, id) == 0 && run->owner == owner)
            return run;
    }
    return NULL;
}

/* No worker has it, so its memory goes with it. */
static void run_payload_drop(struct runs *runs, struct run *run)
{
    if (!run->has_payload_file) {
        run_payload_free(runs, run);
        return;
    }
    run->has_payload_file = false;
    input_memory_drop(runs->input, &(struct input_file){.fd = run->payload_fd,
                                                        .is_sealed = true,
                                                        .counted_bytes = run->payload_bytes});
}

/* Nobody waits any more. */
static int run_drop_sink(struct run *run)
{
    struct sink *sink = run->sink;
    run->sink = NULL;
    return sink ? sink->ops->drop(sink, run) : 0;
}

/* ---- events -------------------------------------------------------------------------------- */

void run_admit(struct runs *runs, struct run *run)
{
    if (run->state == RUN_FREE)
        run->pipeline->tally->accepted_count++;
    else
        run->queued_ms = runs->reactor->now_ms; /* its files took the time until now */
    pipeline_rank_payload(runs, run);
    run_step(runs, run, RUN_EV_ADMIT, NULL);
}

void run_stage(struct runs *runs, struct run *run, struct staged_files *files)
{
    mr_assert(!run->files);
    run->files = files;
    run->pipeline->tally->accepted_count += run->state == RUN_FREE;
    run_step(runs, run, RUN_EV_STAGE, NULL);
}

void run_assign(struct runs *runs, struct run *run)
{
    run_step(runs, run, RUN_EV_ASSIGN, NULL);
}

/* Once a run, so out of the way of what is done for each value. */
static __attribute__((noinline)) void run_note_first_value(const struct reactor *reactor,
                                                           struct run *run)
{
    run->first_chunk_ms = reactor->now_ms;
    run->first_chunk_at = reactor->wall_s;
    buckets_add(&run->pipeline->tally->first_chunk, &bucket_scale_runs,
                (reactor->now_ms - run->created_ms) * CLOCK_NS_PER_MS);
}

/* The first value of a pass that has some of this run: the others came at the same time. */
static inline void run_note_value(const struct reactor *reactor, struct run *run)
{
    struct buckets *gaps = &run->pipeline->tally->gap;
    uint64_t gap_count = run->value_count - 1;
    if (run->last_chunk_ns == 0) {
        run_note_first_value(reactor, run);
    } else {
        /* One before this value; those since the last time had nothing between them. */
        gaps->counts[0] += gap_count - run->gap_count - 1;
        buckets_add_gap(gaps, reactor->now_ns - run->last_chunk_ns);
        run->gap_count = gap_count;
    }
    run->last_chunk_ns = reactor->now_ns;
    run->last_line_ms = reactor->now_ms;
}

static inline void run_count_value(const struct reactor *reactor, struct run *run)
{
    run->value_count++;
    if (run->last_chunk_ns != reactor->now_ns)
        run_note_value(reactor, run);
}

/* Its sink did not take it, or finds that it was one too many: the run ends. */
static __attribute__((noinline)) void run_value_not_sent(struct runs *runs, struct run *run, int rc)
{
    uint64_t number = run->value_count + 1;
    if (rc > 0)
        run_count_value(runs->reactor, run);
    run_value_refuse(runs, run, rc > 0 ? -rc : rc, number);
}

void run_value(struct runs *runs, struct run *run, const uint8_t *data, size_t bytes)
{
    if (run_fsm_step(run->state, RUN_EV_CHUNK).action != RUN_ACT_LINE)
        return;
    int rc = run->sink->ops->value(run->sink, run, data, bytes, bytes + CHUNK_CHARGE_BYTES);
    if (rc == 0) {
        run_count_value(runs->reactor, run);
    } else if (rc == -EBADMSG) {
        worker_distrust(run->worker, "it sent a chunk that is not msgpack");
    } else {
        run_value_not_sent(runs, run, rc);
    }
}

void run_end(struct runs *runs, struct run *run)
{
    run_step(runs, run, RUN_EV_END, NULL);
}

void run_error(struct runs *runs, struct run *run, const struct run_failure *failure)
{
    run_step(runs, run, RUN_EV_ERROR, failure);
}

void run_worker_lost(struct runs *runs, struct run *run, const struct run_failure *failure)
{
    /* Its client was answered before. Whoever asks for the run sees where it hung. */
    if (run->state == RUN_CANCELLING && failure->traceback)
        history_explain(&runs->history, run->owner, run->id, failure->traceback,
                        failure->traceback_count);
    run_step(runs, run, RUN_EV_WORKER_LOST, failure);
}

/* What the log and the history say of a run whose client left. */
static const struct run_failure run_gone = {
    .type = ERROR_UNKNOWN,
    .status = 200,
    .message = "cancelled: the client went away",
    .message_count = sizeof("cancelled: the client went away") - 1,
    .reason = CANCEL_CLIENT_GONE,
};

static const struct run_failure run_stalled = {
    .type = ERROR_UNKNOWN,
    .status = 200,
    .message = "cancelled: the client stopped reading",
    .message_count = sizeof("cancelled: the client stopped reading") - 1,
    .reason = CANCEL_STALLED,
};

void run_client_gone(struct runs *runs, struct run *run)
{
    run_step(runs, run, RUN_EV_CLIENT_GONE, &run_gone);
}

void run_client_stalled(struct runs *runs, struct run *run)
{
    run_step(runs, run, RUN_EV_CLIENT_GONE, &run_stalled);
}

void run_cancel(struct runs *runs, struct run *run, const struct run_failure *failure)
{
    mr_assert(failure->reason != CANCEL_NONE);
    run_step(runs, run, RUN_EV_CANCEL, failure);
}

void run_value_lost(struct runs *runs, struct run *run, int error)
{
    run_value_refuse(runs, run, error, run->value_count + 1);
}

/* `number` is the value's, from 1, as people count. */
static void run_value_refuse(struct runs *runs, struct run *run, int error, uint64_t number)
{
    const char *why = "the value is not what a pipeline can yield";
    enum error_type type = ERROR_PIPELINE;
    if (error == -EILSEQ)
        why = "text that is not valid UTF-8";
    else if (error == -ELOOP)
        why = "a value nested too deep";
    else if (error == -EFBIG)
        why = "more output than one result may hold; use /v4/runs/stream";
    else if (error == -ENOBUFS)
        type = ERROR_OOM,
        why = "large values of this pipeline that are on their way take all of its share of "
              "--output-memory";
    else if (error == -EDQUOT)
        type = ERROR_OOM,
        why = "results of this pipeline that are being collected take all of its share of "
              "--output-memory";
    else if (error == -ENOMEM)
        type = ERROR_OOM, why = "no memory left for the output of runs (--output-memory)";
    char message[200];
    int count = snprintf(message, sizeof(message), "chunk %llu cannot be sent: %s",
                         (unsigned long long)number, why);
    mr_assert(count > 0);
    run_cancel(runs, run,
               &(struct run_failure){.type = type,
                                     .status = runs->config->pipeline_error_status,
                                     .message = message,
                                     .message_count = (size_t)count,
                                     .reason = CANCEL_BAD_VALUE});
}

void run_on_timer(struct runs *runs, struct run *run)
{
    uint64_t due_ms;
    enum deadline_kind kind = run_next_deadline(runs, run, &due_ms);
    if (kind == DEADLINE_NONE || runs->reactor->now_ms < due_ms) {
        run_timer_arm(runs, run);
    } else if (kind == DEADLINE_GRACE) {
        run_step(runs, run, RUN_EV_GRACE_OVER, NULL);
    } else if (kind == DEADLINE_KEEPALIVE) {
        run->sink->ops->keepalive(run->sink, run);
        run->last_line_ms = runs->reactor->now_ms;
        run_timer_arm(runs, run);
    } else {
        run_deadline_passed(runs, run, kind);
    }
}

/* ---- limits -------------------------------------------------------------------------------- */

static struct deadline_limits run_limits(const struct runs *runs, const struct run *run)
{
    struct deadline_limits limits = run->limits;
    bool has_keepalive = run->sink && run->sink->ops->keepalive;
    limits.keepalive_ms = has_keepalive ? runs->config->keepalive_ms : 0;
    return limits;
}

static enum deadline_kind run_next_deadline(struct runs *runs, const struct run *run,
                                            uint64_t *due_ms)
{
    struct deadline_limits limits = run_limits(runs, run);
    struct deadline_view view = {.state = run->state,
                                 .created_ms = run->created_ms,
                                 .queued_ms = run->queued_ms,
                                 .started_ms = run->started_ms,
                                 .cancelled_ms = run->cancelled_ms,
                                 .last_chunk_ms = run->last_chunk_ns / CLOCK_NS_PER_MS,
                                 .last_line_ms = run->last_line_ms};
    if (run->state == RUN_ACTIVE) {
        view.waits_for_client = worker_waits_for_reader(run->worker, run->slot_index);
        view.alive_ms =
            worker_last_progress_ms(run->worker, run->slot_index, runs->reactor->now_ms);
    }
    return deadline_next(&view, &limits, due_ms);
}

/* Armed when a phase begins, and looked at again when it fires: a chunk only notes its time. */
static void run_timer_arm(struct runs *runs, struct run *run)
{
    uint64_t due_ms, now_ms = runs->reactor->now_ms;
    struct timers *timers = &runs->reactor->timers;
    if (run_next_deadline(runs, run, &due_ms) == DEADLINE_NONE)
        timer_clear(timers, &run->timer);
    else
        timer_set(timers, &run->timer, due_ms > now_ms ? due_ms : now_ms + 1);
}

/* One that could not wait until its pipeline had started is told that. */
static void run_deadline_passed(struct runs *runs, struct run *run, enum deadline_kind kind)
{
    struct deadline_limits limits = run_limits(runs, run);
    char message[192 + LOAD_WORDS_BYTES], words[LOAD_WORDS_BYTES];
    struct run_failure failure = {.type = ERROR_TIMEOUT, .status = 504, .message = message};
    deadline_message(kind, &limits, message, sizeof message);
    if (run->state == RUN_QUEUED && pipeline_is_being_started(run->pipeline)) {
        size_t count = strlen(message);
        pipeline_load_words(run->pipeline, words);
        snprintf(message + count, sizeof message - count, "; the pipeline is being started%s",
                 words);
        failure = pipeline_loads(run->pipeline, message);
    }
    failure.message_count = strlen(message);
    failure.reason = CANCEL_DEADLINE;
    failure.deadline = kind;
    run_cancel(runs, run, &failure);
}

/* ---- actions ------------------------------------------------------------------------------- */

const char *run_failure_state(const struct run_failure *failure)
{
    if (!failure)
        return "completed";
    return failure->state ? failure->state : "failed";
}

/* Its client is gone, or left alone: nobody is told the end. */
static void run_abandon_sink(struct runs *runs, struct run *run, const struct run_failure *failure)
{
    run_end_account(runs, run, failure);
    int status = run_drop_sink(run);
    run_end_log(runs, run, run_end_kind_of(failure), failure, status);
}

/* The sink is told the end; it is not the run's any more. */
static void run_finish_sink(struct runs *runs, struct run *run, const struct run_failure *failure)
{
    struct sink *sink = run->sink;
    run_end_account(runs, run, failure);
    run->sink = NULL;
    int status = sink ? sink->ops->finish(sink, run, failure) : 0;
    run_end_log(runs, run, run_end_kind_of(failure), failure, status);
}

/* It can be found by its id, and is in its owner's list, from its admission to its end. */
static void run_list(struct runs *runs, struct run *run)
{
    id_index_add(&runs->index, run->id, run->index);
    run->older = runs->newest[run->owner];
    if (run->older)
        run->older->newer = run;
    runs->newest[run->owner] = run;
}

static void run_unlist(struct runs *runs, struct run *run)
{
    id_index_remove(&runs->index, run->id, run->index);
    if (run->newer)
        run->newer->older = run->older;
    else
        runs->newest[run->owner] = run->older;
    if (run->older)
        run->older->newer = run->newer;
    run->older = run->newer = NULL;
}

static void run_tell_worker(struct runs *runs, struct run *run, enum cancel_reason reason)
{
    if (run->given)
        run->given->stop(run->given);
    worker_tell_cancel(run->worker, run->slot_index, (uint32_t)reason);
    run->cancelled_ms = runs->reactor->now_ms;
    run_timer_arm(runs, run);
}

static void run_release(struct runs *runs, struct run *run, const struct run_failure *failure)
{
    struct worker *worker = run->worker;
    enum error_type type = failure ? failure->type : ERROR_TYPE_COUNT;
    pipeline_note_end(runs, run);
    worker_free_slot(worker, run->slot_index);
    run_destroy(runs, run);
    supervisor_run_over(runs->fleet, worker, recycle_policy(worker, type));
}

static void act_offer(struct runs *runs, struct run *run)
{
    struct tally *tally = run->pipeline->tally;
    run->started_ms = runs->reactor->now_ms;
    run->started_at = runs->reactor->wall_s;
    tally->active_count++;
    pipeline_note_start(runs, run);
    run_timer_arm(runs, run);
}

static void act_fail(struct runs *runs, struct run *run, const struct run_failure *failure,
                     bool has_slot)
{
    mr_assert(failure);
    run_finish_sink(runs, run, failure);
    if (has_slot)
        run_release(runs, run, failure);
    else
        run_destroy(runs, run);
}

/* What every step does to the lists, whatever its action is. */
static void run_move(struct runs *runs, struct run *run, enum run_state next)
{
    enum run_state from = run->state;
    run->state = next;
    if (from == RUN_QUEUED && next != RUN_QUEUED)
        pipeline_dequeue(runs, run);
    if (!run_is_live(from) && run_is_live(next))
        run_list(runs, run);
    else if (run_is_live(from) && !run_is_live(next))
        run_unlist(runs, run);
    run->pipeline->coming_count += next == RUN_STAGING;
    run->pipeline->coming_count -= from == RUN_STAGING;
    run->pipeline->tally->active_count -= from == RUN_ACTIVE && next != RUN_ACTIVE;
}

/* Takes one step of the table and does what it says. */
static void run_step(struct runs *runs, struct run *run, enum run_event event,
                     const struct run_failure *failure)
{
    bool had_slot = run->state == RUN_ACTIVE || run->state == RUN_CANCELLING;
    struct run_step step = run_fsm_step(run->state, event);
    run_move(runs, run, step.next);
    switch (step.action) {
    case RUN_ACT_WAIT:
    case RUN_ACT_WAIT_AGAIN: /* run_move() took it out of the queue */
        run_timer_arm(runs, run);
        break;
    case RUN_ACT_QUEUE:
        pipeline_enqueue(runs, run);
        run_timer_arm(runs, run);
        break;
    case RUN_ACT_OFFER:
        act_offer(runs, run);
        break;
    case RUN_ACT_COMPLETE:
        run_finish_sink(runs, run, NULL);
        run_release(runs, run, NULL);
        break;
    case RUN_ACT_FAIL:
        act_fail(runs, run, failure, had_slot);
        break;
    case RUN_ACT_DROP:
        run_abandon_sink(runs, run, failure);
        run_destroy(runs, run);
        break;
    case RUN_ACT_TELL_WORKER:
        run_abandon_sink(runs, run, failure);
        run_tell_worker(runs, run, failure->reason);
        break;
    case RUN_ACT_FAIL_AND_TELL_WORKER:
        run_finish_sink(runs, run, failure);
        run_tell_worker(runs, run, failure->reason);
        break;
    case RUN_ACT_RELEASE:
        run_release(runs, run, failure);
        break;
    case RUN_ACT_KILL_WORKER:
        supervisor_event(runs->fleet, run->worker, WORKER_EV_HUNG,
                         "a cancelled run did not end within the grace time");
        break;
    case RUN_ACT_LINE: /* run_value() does it: it has the bytes */
    case RUN_ACT_NONE:
        break;
    case RUN_ACT_INVALID:
    case RUN_ACT_COUNT:
        mr_unreachable("an action of run_fsm");
    }
}
