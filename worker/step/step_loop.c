/* SPDX-License-Identifier: MIT */
/*
 * step_loop.c - one round: what came, who is lost, who waits, and one step.
 */
#include "worker/step/step_loop.h"

#include <errno.h>
#include <string.h>

#include "shm/calls.h"
#include "shm/clock.h"
#include "worker/engine/leave.h"

/* Turns of the worker's engine in a round: each takes a few requests. */
#define STEP_TURN_COUNT_MAX 64u

/* mr_engine_waker() has nothing to go by. */
static struct step_loop *here;

static int step_loop_start(struct host *host, struct job *job);
static void step_loop_hear_end(struct host *host, struct job *job);
static void step_loop_hear_cancel(struct host *host, struct job *job);
static void step_loop_hear_open(struct host *host, struct job *job);
static bool step_loop_has_work(const struct step_loop *loop);
static bool step_loop_turn(struct step_loop *loop, bool is_awake, uint64_t *due_ns);
static bool step_loop_evict(struct step_loop *loop);
static bool step_loop_admit(struct step_loop *loop);
static bool step_loop_step(struct step_loop *loop);

int step_loop_init(struct step_loop *loop, struct context *context, struct step_host *pipeline)
{
    *loop = (struct step_loop){.host = {.start = step_loop_start,
                                        .finish = step_loop_hear_end,
                                        .cancel = step_loop_hear_cancel,
                                        .resume = step_loop_hear_open},
                               .pipeline = pipeline};
    if (engine_init(&loop->engine, context, &loop->host) != 0)
        return -ENOMEM;
    if (step_runs_init(&loop->runs, &loop->engine) != 0) {
        engine_finish(&loop->engine);
        return -ENOMEM;
    }
    here = loop;
    return 0;
}

/* What other threads may still use stays: the queue, and the waker if they hold it. */
void step_loop_finish(struct step_loop *loop)
{
    step_runs_finish(&loop->runs);
    engine_finish(&loop->engine);
    waker_release(loop->waker);
    loop->waker = NULL;
    here = NULL;
}

void step_loop_say_capacity(struct step_loop *loop)
{
    int capacity = loop->pipeline->capacity(loop->pipeline);
    attachment_say_capacity(&loop->engine.context->attachment,
                            capacity > 0 ? (uint32_t)capacity : 0);
}

void step_loop_run(struct step_loop *loop)
{
    struct attachment *attachment = &loop->engine.context->attachment;
    uint64_t due_ns;
    while (step_loop_round(loop, &due_ns)) {
        if (due_ns == 0)
            continue;
        step_runs_expect_clients(&loop->runs);
        if (attachment_sleep(attachment, due_ns) != 0)
            leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
    }
}

/* What is done after the turn may leave the doorbell disarmed, or armed for too little: then the
 * next turn comes before a sleep. */
bool step_loop_round(struct step_loop *loop, uint64_t *due_ns)
{
    bool is_awake = step_loop_has_work(loop);
    if (!step_loop_turn(loop, is_awake, due_ns))
        return false;
    bool has_evicted = step_loop_evict(loop);
    bool has_admitted = step_loop_admit(loop);
    bool has_stepped = step_loop_step(loop);
    if (is_awake || has_evicted || has_admitted || has_stepped)
        *due_ns = 0;
    return true;
}

struct mr_waker *step_loop_waker(void)
{
    if (!here)
        return NULL;
    if (!here->waker &&
        waker_create(&here->waker, &here->woken, &here->engine.context->attachment, 0, 0) != 0)
        return NULL;
    return waker_hold(here->waker);
}

/* ---- as the host of the worker's engine ---------------------------------------------------- */

static struct step_loop *step_loop_of(struct host *host)
{
    return (struct step_loop *)(void *)host; /* host is its first member */
}

static int step_loop_start(struct host *host, struct job *job)
{
    struct step_loop *loop = step_loop_of(host);
    int rc = loop->pipeline->start(loop->pipeline, job);
    if (rc != 0)
        return rc;
    step_runs_add(&loop->runs, job);
    return HOST_DRIVEN;
}

static void step_loop_hear_end(struct host *host, struct job *job)
{
    struct step_loop *loop = step_loop_of(host);
    step_runs_hear_end(&loop->runs, job);
    if (loop->pipeline->finish)
        loop->pipeline->finish(loop->pipeline, job);
}

static void step_loop_hear_cancel(struct host *host, struct job *job)
{
    step_runs_hear_cancel(&step_loop_of(host)->runs, job);
}

static void step_loop_hear_open(struct host *host, struct job *job)
{
    step_runs_hear_open(&step_loop_of(host)->runs, job);
}

/* Whether there is something to do before a sleep, whatever comes. */
static bool step_loop_has_work(const struct step_loop *loop)
{
    const struct step_runs *runs = &loop->runs;
    return runs->lost.first || (runs->may_admit && runs->waiting.first) ||
           (runs->admitted.first && !runs->is_idle);
}

static bool step_loop_turn(struct step_loop *loop, bool is_awake, uint64_t *due_ns)
{
    for (uint32_t i = 0; i < STEP_TURN_COUNT_MAX; i++) {
        if (!(is_awake ? engine_turn_awake : engine_turn)(&loop->engine, due_ns))
            return false;
        if (*due_ns > 0)
            break;
    }
    if (waker_queue_is_empty(&loop->woken))
        return true;
    struct mr_waker *list = waker_queue_take(&loop->woken);
    uint16_t slot;
    uint32_t generation;
    while (waker_next(&list, &slot, &generation))
        continue;
    loop->runs.is_idle = false;
    loop->runs.may_admit = true;
    return true;
}

/* ---- calls of the pipeline's engine -------------------------------------------------------- */

/* Log lines and failures are of the run, if it is one's. */
static void step_loop_enter(struct step_loop *loop, struct mr_run *run)
{
    struct context *context = loop->engine.context;
    error_clear(&context->error);
    context_enter(context, run ? run->job : NULL);
    loop->runs.at_hand = run;
    loop->runs.is_inside = true;
}

static void step_loop_leave(struct step_loop *loop)
{
    loop->runs.is_inside = false;
    loop->runs.at_hand = NULL;
    context_enter(loop->engine.context, NULL);
}

/* The worker's error says what a function failed with that returned `rc`, if it did. A value that
 * cannot be sent is a failure of its run, which is not that. */
static bool step_loop_has_failed(struct step_loop *loop, const char *function, int rc)
{
    struct error *error = &loop->engine.context->error;
    step_runs_close_value(&loop->runs);
    if (error->is_set)
        return true;
    if (rc < 0)
        error_explain(error, "the engine's", function, rc);
    else if (rc != 0 && rc != MR_LATER)
        error_set(error, ERROR_PIPELINE, "the engine's %s returned %d", function, rc);
    return error->is_set;
}

/* True when there was one. */
static bool step_loop_evict(struct step_loop *loop)
{
    struct step_runs *runs = &loop->runs;
    bool has_lost = runs->lost.first != NULL;
    struct mr_run *run;
    while ((run = step_run_of(runs->lost.first)) != NULL) {
        if (run->state == STEP_RUN_ADMITTED) {
            run->state = STEP_RUN_EVICTED;
            runs->is_idle = false;
            step_loop_enter(loop, run);
            loop->pipeline->evict(loop->pipeline, run);
            step_runs_close_value(runs);
            step_loop_leave(loop);
        }
        step_run_end(runs, run);
    }
    return has_lost;
}

/* Asks for the first run that waits. */
static void step_loop_admit_first(struct step_loop *loop)
{
    struct step_runs *runs = &loop->runs;
    struct mr_run *run = step_run_of(runs->waiting.first);
    runs->may_admit = false; /* unless one is over meanwhile */
    run->state = STEP_RUN_ADMITTED;
    run_list_append(&runs->admitted, &run->link);
    step_loop_enter(loop, run);
    int rc = loop->pipeline->admit(loop->pipeline, run);
    bool has_failed = step_loop_has_failed(loop, "admit()", rc);
    bool is_over = runs->at_hand != run; /* it was finished, or failed */
    if (has_failed && !is_over && !run->failure)
        step_run_take_error(runs, run);
    step_loop_leave(loop);
    if (is_over)
        return;
    if (has_failed) {
        step_run_end(runs, run);
    } else if (rc != MR_LATER) {
        runs->is_idle = false;
        runs->may_admit = true;
    } else {
        run->state = STEP_RUN_WAITING;
        if (run->link.list == &runs->admitted)
            run_list_prepend(&runs->waiting, &run->link);
    }
}

/* True when one was asked for. */
static bool step_loop_admit(struct step_loop *loop)
{
    struct step_runs *runs = &loop->runs;
    if (!runs->may_admit || runs->waiting.count == 0)
        return false;
    while (runs->may_admit && runs->waiting.count > 0)
        step_loop_admit_first(loop);
    return true;
}

/* All that are in fail with the worker's error. */
static void step_loop_fail(struct step_loop *loop)
{
    struct step_runs *runs = &loop->runs;
    while (runs->admitted.first) {
        step_run_take_error(runs, step_run_of(runs->admitted.first));
        run_list_append(&runs->lost, runs->admitted.first);
    }
    error_clear(&loop->engine.context->error);
}

/* True when there was a step to be made. */
static bool step_loop_step(struct step_loop *loop)
{
    struct step_runs *runs = &loop->runs;
    if (runs->admitted.count == 0 || runs->is_idle)
        return false;
    uint64_t began_ns = clock_now_ns(), value_count = runs->value_count;
    step_runs_stamp(runs, began_ns);
    step_loop_enter(loop, NULL);
    int rc = loop->pipeline->step(loop->pipeline);
    bool has_failed = step_loop_has_failed(loop, "step()", rc);
    calls_add(&loop->engine.context->attachment.segment.header->steps, clock_now_ns() - began_ns,
              runs->value_count - value_count);
    if (rc == MR_LATER)
        runs->is_idle = true;
    step_loop_leave(loop);
    if (has_failed)
        step_loop_fail(loop);
    return true;
}
