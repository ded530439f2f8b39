/* SPDX-License-Identifier: MIT */
/*
 * step_run.c - handles of runs, and the functions that a pipeline's engine calls with them.
 */
#include "worker/step/step_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/slot.h"

/* Handles for each slot: so many runs come and go before one is used again. */
#define STEP_RUN_HANDLE_COUNT 2u

/* The functions of the table have a run at most to go by. */
static struct step_runs *here;

static void step_run_lose(struct step_runs *runs, struct mr_run *run);

int step_runs_init(struct step_runs *runs, struct engine *engine)
{
    uint32_t count = STEP_RUN_HANDLE_COUNT * engine->slot_count;
    *runs = (struct step_runs){
        .engine = engine,
        .count = count,
        .all = calloc(count, sizeof *runs->all),
        .of_slot = calloc(engine->slot_count, sizeof(struct mr_run *)),
        .is_idle = true,
    };
    if (!runs->all || !runs->of_slot) {
        step_runs_finish(runs);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        run_list_append(&runs->free, &runs->all[i].link);
    here = runs;
    return 0;
}

void step_runs_finish(struct step_runs *runs)
{
    free(runs->all);
    free(runs->of_slot);
    *runs = (struct step_runs){.engine = NULL};
    here = NULL;
}

/* ---- runs come and go ---------------------------------------------------------------------- */

void step_runs_add(struct step_runs *runs, struct job *job)
{
    struct mr_run *run = step_run_of(runs->free.first);
    mr_assert(run);
    mr_assert(run->state == STEP_RUN_GONE);
    mr_assert(!runs->of_slot[job->reply.slot]);
    if (runs->waiting.count == 0)
        runs->may_admit = true;
    run->state = STEP_RUN_WAITING;
    run->job = job;
    runs->of_slot[job->reply.slot] = run;
    run_list_append(&runs->waiting, &run->link);
    /* The worker's engine may have looked for cancelled runs before it took this one. */
    if (slot_cancel_reason(job->slot, job->reply.generation) != CANCEL_NONE)
        step_run_lose(runs, run);
}

struct mr_run *step_runs_find(const struct step_runs *runs, const struct job *job)
{
    struct mr_run *run = runs->of_slot[job->reply.slot];
    bool has_it = run && (run->state == STEP_RUN_ADMITTED || run->state == STEP_RUN_EVICTED);
    return has_it ? run : NULL;
}

void step_runs_hear_end(struct step_runs *runs, const struct job *job)
{
    struct mr_run *run = runs->of_slot[job->reply.slot];
    if (!run)
        return;
    mr_assert(run->job == job);
    runs->of_slot[job->reply.slot] = NULL;
    run->job = NULL;
    step_run_lose(runs, run);
}

/* It ends without the engine's doing: before the next step. */
static void step_run_lose(struct step_runs *runs, struct mr_run *run)
{
    if (run->link.list == &runs->waiting)
        runs->may_admit = true; /* of another one there may be less to have room for */
    run_list_append(&runs->lost, &run->link);
}

void step_runs_hear_cancel(struct step_runs *runs, const struct job *job)
{
    struct mr_run *run = runs->of_slot[job->reply.slot];
    mr_assert(run);
    step_run_lose(runs, run);
}

/* Where a file of the line was refused the run has failed; else it can go on. */
void step_runs_hear_open(struct step_runs *runs, struct job *job)
{
    struct mr_run *run = runs->of_slot[job->reply.slot];
    mr_assert(run);
    if (run->state == STEP_RUN_LEAVING || job->files.is_refused)
        step_run_lose(runs, run);
    else
        runs->is_idle = false;
}

void step_run_take_error(struct step_runs *runs, struct mr_run *run)
{
    const struct error *error = &runs->engine->context->error;
    char *text = run->job ? arena_take(&run->job->arena, error->bytes + 1) : NULL;
    if (text)
        memcpy(text, error->text, error->bytes);
    run->failure = text ? text : "out of memory";
    run->failure_type = text ? error->type : ERROR_OOM;
    char *traceback =
        text && error->traceback ? arena_take(&run->job->arena, error->traceback_bytes) : NULL;
    if (traceback)
        memcpy(traceback, error->traceback, error->traceback_bytes);
    run->failure_traceback = traceback;
    run->failure_traceback_bytes = error->traceback_bytes;
}

void step_run_end(struct step_runs *runs, struct mr_run *run)
{
    struct job *job = run->job;
    runs->may_admit = true;
    if (run == runs->at_hand)
        runs->at_hand = NULL;
    if (job && job->state != JOB_DRIVEN) {
        run->state = STEP_RUN_LEAVING;
        run_list_append(&runs->leaving, &run->link);
        return;
    }
    if (job) {
        struct error *error = &runs->engine->context->error;
        error_clear(error);
        if (run->failure)
            error_set(error, run->failure_type, "%s", run->failure);
        if (run->failure_traceback)
            error_set_traceback(error, run->failure_traceback, run->failure_traceback_bytes);
        runs->of_slot[job->reply.slot] = NULL;
        engine_end_driven(runs->engine, job);
    }
    run_list_append(&runs->free, &run->link);
    *run = (struct mr_run){.link = run->link};
}

/* ---- values -------------------------------------------------------------------------------- */

void step_runs_close_value(struct step_runs *runs)
{
    struct mr_run *run = runs->open;
    if (!run)
        return;
    runs->open = NULL;
    struct context *context = runs->engine->context;
    if (value_check(&context->reply.value) == 0) {
        engine_send_line(runs->engine, run->job);
        runs->value_count++;
    } else {
        engine_abort_line(runs->engine);
        step_run_take_error(runs, run);
        step_run_lose(runs, run);
    }
    error_clear(&context->error);
    context_enter(context, runs->at_hand ? runs->at_hand->job : NULL);
}

/* A value that is not whole is nothing, when its run fails for a reason of its own. */
static void step_run_drop_value(struct step_runs *runs, const struct mr_run *run)
{
    if (runs->open != run || value_check(&runs->engine->context->reply.value) == 0)
        return;
    runs->open = NULL;
    engine_abort_line(runs->engine);
}

static void step_runs_stamp_list(const struct run_list *list, uint64_t stamp_ns)
{
    for (struct run_link *link = list->first; link; link = link->behind)
        if (step_run_of(link)->job)
            slot_progress(step_run_of(link)->job->slot, stamp_ns);
}

void step_runs_stamp(struct step_runs *runs, uint64_t now_ns)
{
    if (now_ns < runs->stamp_ns + STEP_STAMP_NS)
        return;
    runs->stamp_ns = now_ns;
    step_runs_stamp_list(&runs->admitted, now_ns);
    step_runs_stamp_list(&runs->waiting, now_ns);
}

void step_runs_expect_clients(struct step_runs *runs)
{
    if (runs->waiting.count == 0 || runs->admitted.count == 0)
        return;
    for (struct run_link *link = runs->admitted.first; link; link = link->behind)
        if (step_run_of(link)->job->state == JOB_DRIVEN)
            return;
    runs->stamp_ns = 0;
    step_runs_stamp_list(&runs->waiting, clock_now_ns() + RUN_LATER_MS_MAX * CLOCK_NS_PER_MS);
}

/* ---- the functions behind the table -------------------------------------------------------- */

_Noreturn void step_run_refuse(const char *function, const char *why)
{
    fprintf(stderr, "%s: %s\n", function, why);
    abort();
}

/* The runs, when a function of the engine calls with one that it has. */
static struct step_runs *step_run_check(const struct mr_run *run, const char *function)
{
    if (!here || !here->is_inside)
        step_run_refuse(function, "it is for admit(), step() and evict() of an engine");
    if (run < here->all || run >= here->all + here->count)
        step_run_refuse(function, "this is no run");
    if (run->state != STEP_RUN_ADMITTED && run->state != STEP_RUN_EVICTED)
        step_run_refuse(function, "the run is not in: it is over, or yet to be admitted");
    return here;
}

/* Likewise, when it may still do something for it. */
static struct step_runs *step_run_check_admitted(const struct mr_run *run, const char *function)
{
    struct step_runs *runs = step_run_check(run, function);
    if (run->state != STEP_RUN_ADMITTED)
        step_run_refuse(function, "the run is being evicted: nothing more can be done for it");
    return runs;
}

struct job *step_run_job(const struct mr_run *run, const char *function)
{
    step_run_check(run, function);
    return run->job;
}

void *step_run_alloc(struct mr_run *run, size_t bytes)
{
    struct step_runs *runs = step_run_check_admitted(run, "mr_run_alloc");
    void *memory = run->job ? job_alloc(run->job, bytes) : NULL;
    if (!memory && run == runs->at_hand)
        error_set(&runs->engine->context->error, ERROR_OOM,
                  "out of memory: mr_run_alloc() of %zu bytes, a run has %u in all", bytes,
                  RUN_ALLOC_BYTES_MAX);
    return memory;
}

void step_run_set(struct mr_run *run, void *own)
{
    step_run_check(run, "mr_run_set");
    run->own = own;
}

void *step_run_get(struct mr_run *run)
{
    step_run_check(run, "mr_run_get");
    return run->own;
}

/* Of a run that is lost nothing more is sent. */
static bool step_run_is_open(const struct step_runs *runs, const struct mr_run *run)
{
    return run->link.list == &runs->admitted && run->job->state == JOB_DRIVEN;
}

struct mr_value *step_run_emit(struct mr_run *run)
{
    struct step_runs *runs = step_run_check_admitted(run, "mr_emit");
    step_runs_close_value(runs);
    if (!step_run_is_open(runs, run))
        return NULL;
    struct mr_value *value = engine_open_line(runs->engine, run->job);
    if (value_outputs(value, 1) == 0)
        value_expect(value);
    runs->open = run;
    return value;
}

bool step_run_is_full(struct mr_run *run)
{
    struct step_runs *runs = step_run_check_admitted(run, "mr_run_is_full");
    step_runs_close_value(runs);
    return !step_run_is_open(runs, run);
}

bool step_run_is_cancelled(struct mr_run *run)
{
    struct step_runs *runs = step_run_check(run, "mr_run_is_cancelled");
    step_runs_stamp(runs, clock_coarse_ns());
    return run->state != STEP_RUN_ADMITTED || run->link.list == &runs->lost ||
           slot_cancel_reason(run->job->slot, run->job->reply.generation) != CANCEL_NONE;
}

void step_run_finish(struct mr_run *run)
{
    struct step_runs *runs = step_run_check_admitted(run, "mr_run_finish");
    step_runs_close_value(runs);
    step_run_end(runs, run);
}

int step_run_vfail(struct mr_run *run, enum mr_error error, const char *format, va_list arguments)
{
    struct step_runs *runs = step_run_check_admitted(run, "mr_run_fail");
    step_run_drop_value(runs, run);
    step_runs_close_value(runs);
    error_vset(&runs->engine->context->error, (enum error_type)error, format, arguments);
    step_run_take_error(runs, run);
    error_clear(&runs->engine->context->error); /* it is this run's alone */
    step_run_end(runs, run);
    return -ECANCELED;
}

int step_engine_vfail(enum mr_error error, const char *format, va_list arguments)
{
    if (!here || !here->is_inside)
        step_run_refuse("mr_engine_fail", "it is for step() of an engine");
    step_runs_close_value(here);
    error_vset(&here->engine->context->error, (enum error_type)error, format, arguments);
    return -ECANCELED;
}
