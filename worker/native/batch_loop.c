/* SPDX-License-Identifier: MIT */
/*
 * batch_loop.c - one round: what came, who is lost, and the calls that are due.
 */
#include "worker/native/batch_loop.h"

#include <errno.h>
#include <stdlib.h>

#include "shm/calls.h"
#include "shm/clock.h"
#include "worker/engine/leave.h"

/* Turns of the worker's engine in a round: each takes a few requests. */
#define BATCH_TURN_COUNT_MAX 64u

static int batch_loop_start(struct host *host, struct job *job);
static void batch_loop_hear_end(struct host *host, struct job *job);
static void batch_loop_hear_cancel(struct host *host, struct job *job);

/* The runs that are driven have no lines. */
static void batch_loop_hear_open(struct host *host, struct job *job)
{
    (void)host;
    (void)job;
    mr_assert(false);
}

static void batch_loop_find_pipes(struct batch_loop *loop)
{
    const struct mr_builder *graph = loop->graph;
    for (uint32_t i = 0; i < graph->pipe_count; i++)
        if (graph->pipes[i].batch)
            loop->pipes[loop->pipe_count++].index = i;
}

int batch_loop_init(struct batch_loop *loop, struct context *context,
                    const struct mr_builder *graph, const struct batch_limits *limits)
{
    *loop = (struct batch_loop){.host = {.start = batch_loop_start,
                                         .finish = batch_loop_hear_end,
                                         .cancel = batch_loop_hear_cancel,
                                         .resume = batch_loop_hear_open},
                                .graph = graph,
                                .limits = *limits};
    if (engine_init(&loop->engine, context, &loop->host) != 0)
        return -ENOMEM;
    if (loop->limits.count_max > loop->engine.slot_count)
        loop->limits.count_max = loop->engine.slot_count;
    loop->runs = calloc(loop->engine.slot_count, sizeof *loop->runs);
    loop->pipes = calloc(graph->batched_count, sizeof *loop->pipes);
    if (!loop->runs || !loop->pipes ||
        batch_call_init(&loop->call, &loop->engine, graph, loop->limits.count_max) != 0) {
        batch_loop_finish(loop);
        return -ENOMEM;
    }
    batch_loop_find_pipes(loop);
    return 0;
}

void batch_loop_finish(struct batch_loop *loop)
{
    batch_call_finish(&loop->call);
    buffer_finish(&loop->scratch);
    free(loop->pipes);
    free(loop->runs);
    engine_finish(&loop->engine);
    *loop = (struct batch_loop){.graph = NULL};
}

void batch_loop_run(struct batch_loop *loop)
{
    uint64_t due_ns;
    while (batch_loop_round(loop, &due_ns))
        if (due_ns > 0 && attachment_sleep(&loop->engine.context->attachment, due_ns) != 0)
            leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
}

/* ---- as the host of the worker's engine ------------------------------------------------------ */

static struct batch_loop *batch_loop_of(struct host *host)
{
    return (struct batch_loop *)(void *)host; /* host is its first member */
}

/* Puts a run to the others that stand before the same pipe. */
static void batch_loop_add(struct batch_loop *loop, struct batch_run *run)
{
    struct batch_pipe *pipe = loop->pipes;
    while (pipe->index != run->execution.next)
        pipe++;
    run->came_ns = clock_now_ns();
    batch_model_come(&pipe->model, run->came_ns);
    run_list_append(&pipe->waiting, &run->link);
}

static int batch_loop_start(struct host *host, struct job *job)
{
    struct batch_loop *loop = batch_loop_of(host);
    struct batch_run *run = &loop->runs[job->reply.slot];
    mr_assert(!run->link.list);
    *run = (struct batch_run){.execution = {.graph = loop->graph,
                                            .job = job,
                                            .scratch = &loop->scratch,
                                            .error = &loop->engine.context->error}};
    int rc = graph_begin(&run->execution);
    if (rc == 0)
        rc = graph_go_on(&run->execution);
    buffer_trim(&loop->scratch, BUFFER_KEEP_BYTES);
    if (rc != GRAPH_STANDS)
        return rc;
    batch_loop_add(loop, run);
    return HOST_DRIVEN;
}

static void batch_loop_hear_end(struct host *host, struct job *job)
{
    struct batch_run *run = &batch_loop_of(host)->runs[job->reply.slot];
    mr_assert(!run->link.list);
}

static void batch_loop_hear_cancel(struct host *host, struct job *job)
{
    struct batch_loop *loop = batch_loop_of(host);
    run_list_append(&loop->lost, &loop->runs[job->reply.slot].link);
}

/* ---- what follows the turn ------------------------------------------------------------------- */

/* Goes on with a run that has passed a batched pipe. */
static int batch_loop_pass(struct batch_loop *loop, struct batch_run *run)
{
    context_enter(loop->engine.context, run->execution.job);
    int rc = graph_go_on(&run->execution);
    context_enter(loop->engine.context, NULL);
    buffer_trim(&loop->scratch, BUFFER_KEEP_BYTES);
    if (rc == GRAPH_STANDS)
        batch_loop_add(loop, run);
    else if (rc == GRAPH_STARTED)
        engine_take_over(&loop->engine, run->execution.job);
    return rc;
}

/* Ends a run, whose iterators are closed: as cancelled if it was, else with the worker's error. */
static void batch_loop_end(struct batch_loop *loop, struct batch_run *run)
{
    run_list_remove(&run->link);
    engine_end_driven(&loop->engine, run->execution.job);
}

/* True when there was one. */
static bool batch_loop_end_lost(struct batch_loop *loop)
{
    bool has_lost = loop->lost.first != NULL;
    struct batch_run *run;
    while ((run = batch_run_of(loop->lost.first)) != NULL) {
        graph_close(&run->execution);
        batch_loop_end(loop, run);
    }
    return has_lost;
}

/* The first of those that wait are in the call; who was cancelled is not. */
static void batch_loop_gather(struct batch_loop *loop, struct batch_pipe *pipe)
{
    while (pipe->waiting.first && loop->call.count < loop->call.count_max) {
        struct batch_run *run = batch_run_of(pipe->waiting.first);
        if (batch_run_is_cancelled(run)) {
            run_list_append(&loop->lost, &run->link);
            continue;
        }
        run_list_remove(&run->link);
        batch_call_add(&loop->call, run);
    }
}

static void batch_loop_hand_on(struct batch_loop *loop, uint32_t index)
{
    struct batch_run *run = loop->call.runs[index];
    int rc = batch_call_result(&loop->call, index);
    if (rc == 0 && batch_run_is_cancelled(run)) {
        graph_close(&run->execution);
        rc = -ECANCELED;
    }
    if (rc == 0)
        rc = batch_loop_pass(loop, run);
    if (rc < 0)
        batch_loop_end(loop, run);
}

static void batch_loop_call(struct batch_loop *loop, struct batch_pipe *pipe)
{
    struct batch_call *call = &loop->call;
    batch_loop_gather(loop, pipe);
    if (call->count == 0)
        return;
    uint64_t began_ns = clock_now_ns();
    batch_model_begin(&pipe->model, began_ns, call->count);
    batch_call_make(call);
    uint64_t ended_ns = clock_now_ns();
    batch_model_end(&pipe->model, ended_ns);
    calls_add(&loop->engine.context->attachment.segment.header->batches, ended_ns - began_ns,
              call->count);
    for (uint32_t i = 0; i < call->count; i++)
        batch_loop_hand_on(loop, i);
    batch_call_clear(call);
}

/* Others that could come to a pipe: who has no run yet, and who stands before an earlier one. */
static uint32_t batch_loop_coming(const struct batch_loop *loop, const struct batch_pipe *pipe)
{
    const struct engine *engine = &loop->engine;
    uint32_t count = engine->is_stopping ? 0 : engine->slot_count - engine->active_count;
    for (const struct batch_pipe *earlier = loop->pipes; earlier < pipe; earlier++)
        count += earlier->waiting.count;
    return count;
}

static uint64_t batch_loop_due_ns(struct batch_loop *loop, struct batch_pipe *pipe)
{
    bool has_any = pipe->waiting.count > 0;
    struct batch_moment moment = {
        .now_ns = has_any ? clock_now_ns() : 0,
        .oldest_ns = has_any ? batch_run_of(pipe->waiting.first)->came_ns : 0,
        .newest_ns = has_any ? batch_run_of(pipe->waiting.last)->came_ns : 0,
        .waiting_count = pipe->waiting.count,
        .coming_count = batch_loop_coming(loop, pipe),
        .has_other_work = loop->engine.ready.count > 0,
    };
    uint64_t due_ns = batch_rule_due_ns(&loop->limits, &pipe->model, &moment);
    batch_model_asked(&pipe->model, moment.now_ns, has_any && due_ns > 0);
    return due_ns;
}

/* What is done after the turn may leave the doorbell disarmed, or armed for too little: then the
 * next turn comes before a sleep. */
bool batch_loop_round(struct batch_loop *loop, uint64_t *due_ns)
{
    for (uint32_t i = 0; i < BATCH_TURN_COUNT_MAX; i++) {
        if (!engine_turn(&loop->engine, due_ns))
            return false;
        if (*due_ns > 0 || loop->engine.ready.count > 0)
            break;
    }
    bool has_done = batch_loop_end_lost(loop);
    for (uint32_t i = 0; i < loop->pipe_count; i++) {
        uint64_t pipe_due_ns = batch_loop_due_ns(loop, &loop->pipes[i]);
        if (pipe_due_ns == 0) {
            batch_loop_call(loop, &loop->pipes[i]);
            has_done = true;
        } else if (pipe_due_ns < *due_ns) {
            *due_ns = pipe_due_ns;
        }
    }
    if (has_done || loop->lost.count > 0)
        *due_ns = 0;
    return true;
}
