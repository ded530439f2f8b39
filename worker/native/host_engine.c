/* SPDX-License-Identifier: MIT */
/*
 * host_engine.c - calls of the graph's engine, and its runs' arguments.
 */
#include "worker/native/host_engine.h"

#include "worker/step/step_run.h"

/* The functions of the table have a run at most to go by. */
static const struct mr_builder *here;

static struct host_engine *host_engine_of(struct step_host *host)
{
    return (struct host_engine *)(void *)host; /* host is its first member */
}

static int host_engine_start(struct step_host *host, struct job *job)
{
    struct host_engine *self = host_engine_of(host);
    return graph_check_inputs(self->graph, job, self->error);
}

static int host_engine_admit(struct step_host *host, struct mr_run *run)
{
    return host_engine_of(host)->graph->engine.admit(run);
}

static int host_engine_step(struct step_host *host)
{
    const struct mr_builder *graph = host_engine_of(host)->graph;
    return graph->engine.step(graph->state);
}

static void host_engine_evict(struct step_host *host, struct mr_run *run)
{
    host_engine_of(host)->graph->engine.evict(run);
}

static int host_engine_capacity(struct step_host *host)
{
    const struct mr_builder *graph = host_engine_of(host)->graph;
    return graph->engine.capacity ? graph->engine.capacity(graph->state) : 0;
}

void host_engine_init(struct host_engine *engine, const struct mr_builder *graph,
                      struct error *error)
{
    *engine = (struct host_engine){.host = {.start = host_engine_start,
                                            .admit = host_engine_admit,
                                            .step = host_engine_step,
                                            .evict = host_engine_evict,
                                            .capacity = host_engine_capacity},
                                   .graph = graph,
                                   .error = error};
    here = graph;
}

size_t host_engine_arg_count(struct mr_run *run)
{
    step_run_job(run, "mr_run_arg_count");
    return here->engine_argument_count;
}

const struct mr_object *host_engine_arg(struct mr_run *run, size_t index)
{
    static const struct mr_object none = {.type = MR_NONE};
    const struct job *job = step_run_job(run, "mr_run_arg");
    if (index >= here->engine_argument_count)
        step_run_refuse("mr_run_arg", "there are not so many arguments");
    return job ? &job->inputs[here->engine_arguments[index]] : &none;
}
