/* SPDX-License-Identifier: MIT */
/*
 * batch_call.c - the items of a call are apart: each has its value, its failure and its memory.
 */
#include "worker/native/batch_call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shm/clock.h"
#include "shm/slot.h"

/* Memory for a large result that an idle worker keeps, of each item. */
#define BATCH_BUFFER_KEEP_BYTES 4096u

/* The call that is being made: mr_cancelled() and mr_batch_fail() have nothing to go by. */
static struct batch_call *here;

static uint32_t batch_call_arguments(const struct mr_builder *graph)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < graph->pipe_count; i++)
        if (graph->pipes[i].batch && graph->pipes[i].argument_count > most)
            most = graph->pipes[i].argument_count;
    return most;
}

int batch_call_init(struct batch_call *call, const struct engine *engine,
                    const struct mr_builder *graph, uint32_t count_max)
{
    uint32_t argument_count_max = batch_call_arguments(graph);
    *call = (struct batch_call){
        .engine = engine,
        .count_max = count_max,
        .argument_count_max = argument_count_max,
        .items = calloc(count_max, sizeof *call->items),
        .pointers = calloc(count_max, sizeof(struct mr_call *)),
        .arguments =
            calloc((size_t)count_max * argument_count_max, sizeof(const struct mr_object *)),
        .buffers = calloc(count_max, sizeof *call->buffers),
        .errors = calloc(count_max, sizeof *call->errors),
        .runs = calloc(count_max, sizeof(struct batch_run *)),
        .error = calloc(1, sizeof *call->error),
    };
    if (call->items && call->pointers && call->arguments && call->buffers && call->errors &&
        call->runs && call->error)
        return 0;
    batch_call_finish(call);
    return -ENOMEM;
}

void batch_call_finish(struct batch_call *call)
{
    for (uint32_t i = 0; call->buffers && i < call->count_max; i++)
        buffer_finish(&call->buffers[i]);
    free(call->items);
    free(call->pointers);
    free((void *)call->arguments);
    free(call->buffers);
    free(call->errors);
    free(call->runs);
    free(call->error);
    *call = (struct batch_call){.engine = NULL};
}

void batch_call_add(struct batch_call *call, struct batch_run *run)
{
    mr_assert(call->count < call->count_max && !run->link.list);
    uint32_t at = call->count++;
    call->runs[at] = run;
    call->pointers[at] = &call->items[at];
    error_clear(&call->errors[at]);
    graph_open_call(&run->execution, &call->items[at],
                    &call->arguments[(size_t)at * call->argument_count_max], &call->buffers[at],
                    &call->errors[at]);
}

/* Of all runs that are in the call or wait for one, at most once in a tick of the coarse clock. */
static void batch_call_stamp(struct batch_call *call)
{
    const struct engine *engine = call->engine;
    uint64_t now_ns = clock_coarse_ns();
    if (now_ns == call->stamp_ns)
        return;
    call->stamp_ns = now_ns;
    for (uint32_t i = 0; i < engine->active_count; i++) {
        const struct job *job = &engine->jobs[engine->active[i]];
        if (job->state == JOB_DRIVEN)
            slot_progress(job->slot, now_ns);
    }
}

void batch_call_make(struct batch_call *call)
{
    const struct graph_execution *any = &call->runs[0]->execution;
    const struct graph_pipe *pipe = &any->graph->pipes[any->next];
    struct context *context = call->engine->context;
    batch_call_stamp(call);
    error_clear(call->error);
    here = call;
    context_enter(context, call->count == 1 ? any->job : NULL);
    call->rc = pipe->batch(call->pointers, call->count);
    context_enter(context, NULL);
    here = NULL;
    if (call->rc == MR_LATER)
        error_set(call->error, ERROR_PIPELINE, "it returned MR_LATER, which only next() may");
}

static bool batch_call_has_result(const struct mr_call *item)
{
    const struct mr_value *value = &item->value;
    return item->has_iterator || (value->status == 0 && value->depth == 0 && value->remaining == 0);
}

int batch_call_result(struct batch_call *call, uint32_t index)
{
    struct batch_run *run = call->runs[index];
    struct mr_call *item = &call->items[index];
    struct error *error = &call->errors[index];
    bool has_failed = call->rc < 0 || call->error->is_set;
    int rc = 0;
    if (has_failed && !error->is_set && !batch_call_has_result(item)) {
        rc = call->rc < 0 ? call->rc : -EINVAL;
        if (call->error->is_set)
            *error = *call->error;
    }
    rc = graph_close_call(&run->execution, item, rc);
    if (rc != 0) {
        call->engine->context->error = *error;
        graph_close(&run->execution);
    }
    return rc;
}

void batch_call_clear(struct batch_call *call)
{
    for (uint32_t i = 0; i < call->count; i++)
        buffer_trim(&call->buffers[i], BATCH_BUFFER_KEEP_BYTES);
    call->count = 0;
}

bool batch_call_is_made(void)
{
    return here != NULL;
}

bool batch_call_is_cancelled(void)
{
    batch_call_stamp(here);
    for (uint32_t i = 0; i < here->count; i++)
        if (!batch_run_is_cancelled(here->runs[i]))
            return false;
    return true;
}

int batch_call_vfail(enum mr_error error, const char *format, va_list arguments)
{
    if (!here) {
        fprintf(stderr, "mr_batch_fail: it is for batched pipes\n");
        abort();
    }
    error_vset(here->error, (enum error_type)error, format, arguments);
    return -ECANCELED;
}
