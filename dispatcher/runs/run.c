/* SPDX-License-Identifier: MIT */
/* run.c - runs: the pool, and the actions of run_fsm. */
#include "dispatcher/runs/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/api/collected.h"
#include "dispatcher/api/line.h"
#include "dispatcher/config/owner.h"
#include "dispatcher/inputs/error_type.h"
#include "dispatcher/runs/deadline.h"
#include "dispatcher/server/loop.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/recycle.h"
#include "shm/clock.h"
#include "shm/slot.h"

static struct pipeline *pipeline_of(struct loop *loop, const struct run *run)
{
    return &loop->pipelines[run->pipeline_index];
}

static struct worker *worker_of(struct loop *loop, const struct run *run)
{
    return &loop->workers[run->worker_index];
}

/* ---- the pool ------------------------------------------------------------------------------ */

void run_id_make(struct loop *loop, char id[RUN_ID_BYTES])
{
    memcpy(id, "run_", 4);
    identity_hex(&loop->reactor.identity, id + 4);
}

struct run *run_create(struct loop *loop, struct pipeline *pipeline, struct conn *conn,
                       enum run_mode mode)
{
    struct run *run = loop->run_free;
    mr_assert(conn->request.owner != OWNER_NOBODY);
    if (!run)
        return NULL;
    struct text *collected = NULL;
    if (mode == RUN_MODE_RESULT) {
        collected = calloc(pipeline->variables.output_count + 1, sizeof(*collected));
        if (!collected)
            return NULL;
    }
    loop->run_free = run->next;
    loop->run_count++;
    uint32_t index = run->index, generation = run->generation + 1;
    struct timer timer = run->timer;
    memset(run, 0, sizeof(*run));
    run->index = index;
    run->generation = generation;
    run->timer = timer;
    run->mode = mode;
    run->collected = collected;
    run->owner = conn->request.owner;
    run->pipeline_index = pipeline->index;
    run->conn_index = conn->index;
    run->conn_attached = true;
    conn->run_index = index;
    conn->has_run = true;
    run_id_make(loop, run->id);
    run->created_at = loop->reactor.wall_s;
    run->created_ms = run->last_line_ms = loop->reactor.now_ms;
    run->timeout_ms = loop->config->run_timeout_ms;
    uint32_t asked_ms = conn->request.timeout_ms;
    if (asked_ms > 0 && (run->timeout_ms == 0 || asked_ms < run->timeout_ms))
        run->timeout_ms = asked_ms;
    line_prefix_init(loop, run);
    return run;
}

static void detach_conn(struct loop *loop, struct run *run)
{
    if (!run->conn_attached)
        return;
    run->conn_attached = false;
    conn_detach_run(&loop->front.conns[run->conn_index]);
}

void run_backdate(struct loop *loop, struct run *run, const char id[RUN_ID_BYTES],
                  double created_at, uint64_t created_ms)
{
    mr_assert(run->state == RUN_FREE);
    memcpy(run->id, id, RUN_ID_BYTES);
    run->created_at = created_at;
    run->created_ms = created_ms;
    line_prefix_init(loop, run);
}

void run_let_go(struct loop *loop, struct run *run)
{
    run->is_async = true;
    detach_conn(loop, run);
}

void run_payload_take(struct loop *loop, struct run *run, uint8_t *payload, size_t bytes)
{
    mr_assert(!run->payload);
    run->payload = payload;
    run->payload_bytes = bytes;
    input_memory_take(&loop->input, bytes);
}

void run_payload_take_file(struct loop *loop, struct run *run, int fd, size_t bytes)
{
    mr_assert(!run->payload && !run->has_payload_file);
    run->payload_fd = fd;
    run->has_payload_file = true;
    run->payload_bytes = bytes;
    input_memory_take(&loop->input, bytes);
    input_memory_take_file(&loop->input);
}

void run_payload_free(struct loop *loop, struct run *run)
{
    if (!run->payload && !run->has_payload_file)
        return;
    input_memory_give(&loop->input, run->payload_bytes);
    free(run->payload);
    run->payload = NULL;
    if (!run->has_payload_file)
        return;
    close(run->payload_fd);
    run->has_payload_file = false;
    input_memory_give_file(&loop->input);
}

/* No worker has it, so its memory goes with it. */
static void payload_drop(struct loop *loop, struct run *run)
{
    if (!run->has_payload_file) {
        run_payload_free(loop, run);
        return;
    }
    run->has_payload_file = false;
    input_memory_drop(&loop->input, &(struct input_file){.fd = run->payload_fd,
                                                         .is_sealed = true,
                                                         .counted_bytes = run->payload_bytes});
}

void run_destroy(struct loop *loop, struct run *run)
{
    mr_assert(run->state == RUN_FREE);
    detach_conn(loop, run);
    timer_clear(&loop->reactor.timers, &run->timer);
    payload_drop(loop, run);
    collected_free(loop, run);
    run->id[0] = '\0';
    run->next = loop->run_free;
    loop->run_free = run;
    loop->run_count--;
}

struct run *run_find(struct loop *loop, uint32_t owner, const char *id)
{
    for (uint32_t i = id_index_first(&loop->run_index, id); i != ID_NONE;
         i = id_index_next(&loop->run_index, i))
        if (strcmp(loop->runs[i].id, id) == 0 && loop->runs[i].owner == owner)
            return &loop->runs[i];
    return NULL;
}

/* ---- actions ------------------------------------------------------------------------------- */

static struct deadline_limits limits_of(const struct loop *loop, const struct run *run)
{
    const struct config *config = loop->config;
    bool has_stream = run->mode != RUN_MODE_RESULT && run->conn_attached;
    return (struct deadline_limits){.queue_ms = config->queue_timeout_ms,
                                    .first_chunk_ms = config->first_chunk_timeout_ms,
                                    .progress_ms = config->progress_timeout_ms,
                                    .total_ms = run->timeout_ms,
                                    .keepalive_ms = has_stream ? config->keepalive_ms : 0,
                                    .grace_ms = config->cancel_grace_ms};
}

/* Both clocks are one, the worker's looked at a little later than ours. */
#define STAMP_SLACK_MS 10000u

/* The worker's stamp of its last step, or of the moment until which the run has nothing to do; 0:
 * none. It is the worker's word: all it can gain by lying is not to be thought hung for as long as
 * a run may have nothing to do. No honest worker says more. */
static uint64_t alive_ms(struct loop *loop, const struct run *run)
{
    struct worker *worker = worker_of(loop, run);
    uint64_t stamp_ns = slot_last_progress(&worker->segment.slots[run->slot_index]);
    uint64_t stamp_ms = stamp_ns / CLOCK_NS_PER_MS;
    if (stamp_ns == run->former_stamp_ns || worker->is_corrupt)
        return 0;
    if (stamp_ms <= loop->reactor.now_ms + RUN_LATER_MS_MAX + STAMP_SLACK_MS)
        return stamp_ms;
    worker->is_corrupt = true;
    supervisor_event(loop, worker, WORKER_EV_MISBEHAVED,
                     "its stamp of a run's progress is out of the future");
    return 0;
}

static enum deadline_kind next_deadline(struct loop *loop, const struct run *run, uint64_t *due_ms)
{
    struct deadline_limits limits = limits_of(loop, run);
    struct deadline_view view = {.state = run->state,
                                 .created_ms = run->created_ms,
                                 .started_ms = run->started_ms,
                                 .cancelled_ms = run->cancelled_ms,
                                 .last_chunk_ms = run->last_chunk_ms,
                                 .last_line_ms = run->last_line_ms,
                                 .waits_for_client = run->charged > run->delivered};
    if (run->state == RUN_ACTIVE)
        view.alive_ms = alive_ms(loop, run);
    return deadline_next(&view, &limits, due_ms);
}

/* Armed when a phase begins, and looked at again when it fires: a chunk only notes its time. */
static void timer_arm(struct loop *loop, struct run *run)
{
    uint64_t due_ms;
    if (next_deadline(loop, run, &due_ms) == DEADLINE_NONE)
        timer_clear(&loop->reactor.timers, &run->timer);
    else
        timer_set(&loop->reactor.timers, &run->timer,
                  due_ms > loop->reactor.now_ms ? due_ms : loop->reactor.now_ms + 1);
}

/* Counts and keeps how the run ended. Once a run, where its client is answered. */
static void account(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    struct pipeline *pipeline = pipeline_of(loop, run);
    struct tally *tally = &pipeline->tally;
    history_add(&loop->history, run, loop->reactor.wall_s, failure);
    tally->ends[failure ? 1 + failure->type : 0]++;
    if (failure && failure->reason == CANCEL_DEADLINE)
        tally->deadlines[failure->deadline]++;
    else if (failure && failure->reason != CANCEL_NONE)
        tally->cancels[failure->reason]++;
    buckets_add(&tally->duration, &bucket_scale_runs,
                (loop->reactor.now_ms - run->created_ms) * CLOCK_NS_PER_MS);
    log_line(&loop->reactor.log, failure ? LEVEL_INFO : LEVEL_DEBUG, "run_end",
             "run=%s pipeline=%s state=%s%s%s lines=%llu ms=%llu", run->id,
             pipeline->config->pointer,
             failure ? (failure->state ? failure->state : "failed") : "completed",
             failure ? " error=" : "", failure ? error_type_name(failure->type) : "",
             (unsigned long long)run->line_count,
             (unsigned long long)(loop->reactor.now_ms - run->created_ms));
}

static void act_fail(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    mr_assert(failure);
    account(loop, run, failure);
    if (run->conn_attached) {
        struct conn *conn = &loop->front.conns[run->conn_index];
        bool alive = conn->state == CONN_RESPONDING;
        /* The connection is free for its next request once the answer is complete. */
        if (alive)
            line_fail(loop, run, failure);
        detach_conn(loop, run);
    }
}

static void outputs_keep(struct loop *loop, struct run *run)
{
    struct text outputs = {0};
    line_outputs(loop, run, &outputs);
    if (outputs.failed)
        text_finish(&outputs); /* the run is known as completed, without them */
    else
        history_keep(&loop->history, run->owner, &outputs);
}

static void act_complete(struct loop *loop, struct run *run)
{
    account(loop, run, NULL);
    if (run->conn_attached)
        line_complete(loop, run);
    else if (run->is_async)
        outputs_keep(loop, run);
    detach_conn(loop, run);
}

static bool is_live(enum run_state state)
{
    return state == RUN_QUEUED || state == RUN_ACTIVE;
}

/* It can be found by its id, and is in its owner's list, from its admission to its end. */
static void list(struct loop *loop, struct run *run)
{
    id_index_add(&loop->run_index, run->id, run->index);
    run->older = loop->newest[run->owner];
    if (run->older)
        run->older->newer = run;
    loop->newest[run->owner] = run;
}

static void unlist(struct loop *loop, struct run *run)
{
    id_index_remove(&loop->run_index, run->id, run->index);
    if (run->newer)
        run->newer->older = run->older;
    else
        loop->newest[run->owner] = run->older;
    if (run->older)
        run->older->newer = run->newer;
    run->older = run->newer = NULL;
}

static void leave_queue(struct loop *loop, struct run *run)
{
    pipeline_dequeue(pipeline_of(loop, run), run);
}

static void tell_worker(struct loop *loop, struct run *run, enum cancel_reason reason)
{
    collected_free(loop, run); /* a worker may take long to let go */
    worker_tell_cancel(loop, worker_of(loop, run), run, (uint32_t)reason);
    run->cancelled_ms = loop->reactor.now_ms;
    timer_arm(loop, run);
}

static void release(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    struct worker *worker = worker_of(loop, run);
    pipeline_note_service(pipeline_of(loop, run), loop->reactor.now_ms - run->started_ms);
    worker_free_slot(loop, worker, run);
    run_destroy(loop, run);
    recycle_after_run(loop, worker, failure);
}

/* What the log and the history say of a run whose client left. */
static const struct run_failure client_gone = {
    .type = ERROR_UNKNOWN,
    .status = 200,
    .message = "cancelled: the client went away",
    .message_count = sizeof("cancelled: the client went away") - 1,
    .reason = CANCEL_CLIENT_GONE,
};

static const struct run_failure client_stalled = {
    .type = ERROR_UNKNOWN,
    .status = 200,
    .message = "cancelled: the client stopped reading",
    .message_count = sizeof("cancelled: the client stopped reading") - 1,
    .reason = CANCEL_STALLED,
};

static void line_now(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes);

/* Takes one step of the table and does what it says. */
static void step(struct loop *loop, struct run *run, enum run_event event,
                 const struct run_failure *failure)
{
    bool was_queued = run->state == RUN_QUEUED, was_active = run->state == RUN_ACTIVE;
    bool was_live = is_live(run->state);
    struct tally *tally = &pipeline_of(loop, run)->tally;
    struct run_step step = run_fsm_step(run->state, event);
    run->state = step.next;
    if (was_queued && step.next != RUN_QUEUED)
        leave_queue(loop, run);
    if (!was_live && is_live(step.next))
        list(loop, run);
    else if (was_live && !is_live(step.next))
        unlist(loop, run);
    tally->active_count -= was_active && step.next != RUN_ACTIVE;
    switch (step.action) {
    case RUN_ACT_QUEUE:
        pipeline_enqueue(pipeline_of(loop, run), run);
        timer_arm(loop, run);
        break;
    case RUN_ACT_OFFER:
        run->started_ms = loop->reactor.now_ms;
        tally->active_count++;
        buckets_add(&tally->wait, &bucket_scale_runs,
                    (loop->reactor.now_ms - run->created_ms) * CLOCK_NS_PER_MS);
        timer_arm(loop, run);
        break;
    case RUN_ACT_COMPLETE:
        act_complete(loop, run);
        release(loop, run, NULL);
        break;
    case RUN_ACT_FAIL:
        act_fail(loop, run, failure);
        if (was_queued)
            run_destroy(loop, run);
        else
            release(loop, run, failure);
        break;
    case RUN_ACT_DROP:
        account(loop, run, failure);
        run_destroy(loop, run);
        break;
    case RUN_ACT_TELL_WORKER:
        account(loop, run, failure);
        detach_conn(loop, run);
        tell_worker(loop, run, failure->reason);
        break;
    case RUN_ACT_FAIL_AND_TELL_WORKER:
        act_fail(loop, run, failure);
        tell_worker(loop, run, failure->reason);
        break;
    case RUN_ACT_RELEASE:
        release(loop, run, failure);
        break;
    case RUN_ACT_KILL_WORKER:
        supervisor_event(loop, worker_of(loop, run), WORKER_EV_HUNG,
                         "a cancelled run did not end within the grace time");
        break;
    case RUN_ACT_LINE: /* run_chunk() does it: it has the bytes */
    case RUN_ACT_NONE:
        break;
    case RUN_ACT_INVALID:
    case RUN_ACT_COUNT:
        mr_unreachable("unreachable");
    }
}

/* ---- events -------------------------------------------------------------------------------- */

void run_admit(struct loop *loop, struct run *run)
{
    pipeline_of(loop, run)->tally.accepted_count++;
    step(loop, run, RUN_EV_ADMIT, NULL);
}

void run_assign(struct loop *loop, struct run *run)
{
    step(loop, run, RUN_EV_ASSIGN, NULL);
}

void run_chunk(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes)
{
    struct run_step next = run_fsm_step(run->state, RUN_EV_CHUNK);
    run->last_chunk_ms = loop->reactor.now_ms;
    if (next.action == RUN_ACT_LINE)
        line_now(loop, run, payload, bytes);
}

/* Also of a run whose client was answered long ago. */
static void note_finished(struct loop *loop, struct run *run)
{
    output_run_ends(loop, worker_of(loop, run));
    pipeline_run_finished(loop, pipeline_of(loop, run), worker_of(loop, run));
}

void run_end(struct loop *loop, struct run *run)
{
    note_finished(loop, run);
    step(loop, run, RUN_EV_END, NULL);
}

void run_error(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    note_finished(loop, run);
    step(loop, run, RUN_EV_ERROR, failure);
}

void run_worker_lost(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    step(loop, run, RUN_EV_WORKER_LOST, failure);
}

void run_client_gone(struct loop *loop, struct run *run)
{
    step(loop, run, RUN_EV_CLIENT_GONE, &client_gone);
}

void run_client_stalled(struct loop *loop, struct run *run)
{
    step(loop, run, RUN_EV_CLIENT_GONE, &client_stalled);
}

void run_cancel(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    mr_assert(failure->reason != CANCEL_NONE);
    step(loop, run, RUN_EV_CANCEL, failure);
}

void run_value_failed(struct loop *loop, struct run *run, int error)
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
                         (unsigned long long)run->line_count, why);
    mr_assert(count > 0);
    run_cancel(loop, run,
               &(struct run_failure){.type = type,
                                     .status = loop->config->pipeline_error_status,
                                     .message = message,
                                     .message_count = (size_t)count,
                                     .reason = CANCEL_BAD_VALUE});
}

static void line_now(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes)
{
    uint64_t charge = bytes + CHUNK_CHARGE_BYTES;
    int rc;
    if (run->mode == RUN_MODE_RESULT) {
        rc = line_collect(loop, run, payload, bytes);
        int count_rc = collected_count(loop, run);
        if (rc == 0)
            rc = count_rc;
        run_delivered(loop, run, charge);
    } else {
        rc = line_write(loop, run, payload, bytes, charge);
    }
    if (rc == -EBADMSG) {
        worker_of(loop, run)->is_corrupt = true;
        supervisor_event(loop, worker_of(loop, run), WORKER_EV_MISBEHAVED,
                         "it sent a chunk that is not msgpack");
    } else if (rc < 0) {
        run_value_failed(loop, run, rc);
    }
}

void run_delivered(struct loop *loop, struct run *run, uint64_t charge)
{
    run->delivered += charge;
    if (run->state != RUN_ACTIVE)
        return;
    struct worker *worker = worker_of(loop, run);
    slot_deliver(&worker->segment.slots[run->slot_index], run->delivered);
    worker->news |= DOORBELL_WINDOW;
}

static void deadline_passed(struct loop *loop, struct run *run, enum deadline_kind kind)
{
    struct deadline_limits limits = limits_of(loop, run);
    char message[128];
    deadline_message(kind, &limits, message, sizeof(message));
    run_cancel(loop, run,
               &(struct run_failure){.type = ERROR_TIMEOUT,
                                     .status = 504,
                                     .message = message,
                                     .message_count = strlen(message),
                                     .reason = CANCEL_DEADLINE,
                                     .deadline = kind});
}

void run_on_timer(struct loop *loop, struct run *run)
{
    uint64_t due_ms;
    enum deadline_kind kind = next_deadline(loop, run, &due_ms);
    if (kind == DEADLINE_NONE || loop->reactor.now_ms < due_ms) {
        timer_arm(loop, run);
    } else if (kind == DEADLINE_GRACE) {
        step(loop, run, RUN_EV_GRACE_OVER, NULL);
    } else if (kind == DEADLINE_KEEPALIVE) {
        line_keepalive(loop, run);
        timer_arm(loop, run);
    } else {
        deadline_passed(loop, run, kind);
    }
}
