/* SPDX-License-Identifier: MIT */
/*
 * graph_run.c - pipes in order; each result is kept as what it is needed for: packed for an output,
 * unpacked for an argument, or an iterator.
 */
#include "worker/native/graph_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "worker/engine/object.h"

static int graph_run_take_inputs(struct graph_execution *execution);
static int graph_run_pipe(struct graph_execution *execution, const struct graph_pipe *pipe);
static int graph_run_keep(struct graph_execution *execution, int variable, struct mr_value *value);
static int graph_run_start_line(struct graph_execution *execution);

int graph_run(const struct mr_builder *graph, struct job *job, struct buffer *scratch,
              struct error *error)
{
    struct graph_execution execution = {
        .graph = graph, .job = job, .scratch = scratch, .error = error};
    int rc = graph_begin(&execution);
    return rc == 0 ? graph_go_on(&execution) : rc;
}

int graph_begin(struct graph_execution *execution)
{
    uint32_t count = execution->graph->variable_count;
    execution->results = arena_take(&execution->job->arena, count * sizeof(struct graph_result));
    if (!execution->results) {
        error_set(execution->error, ERROR_OOM, "out of memory");
        return -ENOMEM;
    }
    return graph_run_take_inputs(execution);
}

int graph_go_on(struct graph_execution *execution)
{
    const struct mr_builder *graph = execution->graph;
    int rc = 0;
    while (rc == 0 && execution->next < graph->pipe_count) {
        const struct graph_pipe *pipe = &graph->pipes[execution->next];
        if (pipe->batch)
            return GRAPH_STANDS;
        rc = graph_run_pipe(execution, pipe);
    }
    if (rc == 0)
        rc = graph_run_start_line(execution);
    if (rc != 0)
        graph_close(execution);
    return rc;
}

static int graph_run_take_inputs(struct graph_execution *execution)
{
    const struct mr_builder *graph = execution->graph;
    const struct job *job = execution->job;
    int rc = graph_check_inputs(graph, job, execution->error);
    for (uint32_t i = 0; rc == 0 && i < graph->input_count; i++) {
        const struct mr_object *input = &job->inputs[i];
        int variable = graph->input_variables[i];
        execution->results[variable].object = input;
        if (graph->variables[variable].output_count == 0)
            continue;
        struct mr_value value;
        value_start_in_buffer(&value, execution->scratch, execution->error);
        rc = value_object(&value, input);
        if (rc > 0)
            rc = graph_run_keep(execution, variable, &value);
    }
    return rc;
}

int call_return_stream(struct mr_call *call, const struct mr_iterator *iterator)
{
    if (call->has_iterator || !iterator->next) {
        error_set(call->error, ERROR_PIPELINE, "mr_return_stream() was called %s",
                  call->has_iterator ? "twice" : "without a next()");
        if (iterator->close)
            iterator->close(iterator->state);
        return -EINVAL;
    }
    call->has_iterator = true;
    call->iterator = *iterator;
    return MR_ITEM;
}

/* Did the pipe answer with what the graph declares? 0, or a failure that is set. */
static int graph_run_check_answer(const struct mr_call *call, enum mr_type type,
                                  struct error *error)
{
    const struct mr_value *value = &call->value;
    if (type == MR_STREAM) {
        if (call->has_iterator && value->at == value->begin)
            return 0;
        error_set(error, ERROR_PIPELINE,
                  call->has_iterator ? "it returned a stream and a value"
                                     : "it returned no stream, which the graph declares");
        return -EINVAL;
    }
    if (call->has_iterator) {
        error_set(error, ERROR_PIPELINE, "it returned a stream, the graph declares %s",
                  object_type_name(type));
        return -EINVAL;
    }
    struct mr_object written = {.type = value_packed_type(*value->begin)};
    if (written.type == MR_NONE || object_fits(&written, type))
        return 0;
    error_set(error, ERROR_PIPELINE, "it returned %s, the graph declares %s",
              object_type_name(written.type), object_type_name(type));
    return -EINVAL;
}

/* What a pipe's return value, its value and its failure come to. */
static int graph_run_check_call(struct mr_call *call, int rc, enum mr_type type)
{
    struct error *error = call->error;
    if (rc < 0)
        return rc;
    if (error->is_set)
        return -EINVAL;
    if (rc == MR_LATER) {
        error_set(error, ERROR_PIPELINE, "it returned MR_LATER, which only next() may");
        return -EINVAL;
    }
    if (!call->has_iterator && type != MR_STREAM) {
        rc = value_check(&call->value);
        if (rc != 0)
            return rc;
    }
    return graph_run_check_answer(call, type, error);
}

void graph_open_call(const struct graph_execution *execution, struct mr_call *call,
                     const struct mr_object **arguments, struct buffer *scratch,
                     struct error *error)
{
    const struct graph_pipe *pipe = &execution->graph->pipes[execution->next];
    for (uint32_t i = 0; i < pipe->argument_count; i++)
        arguments[i] = execution->results[pipe->arguments[i]].object;
    *call = (struct mr_call){
        .graph = execution->graph,
        .job = execution->job,
        .arguments = arguments,
        .argument_count = pipe->argument_count,
        .error = error,
    };
    value_start_in_buffer(&call->value, scratch, error);
}

int graph_close_call(struct graph_execution *execution, struct mr_call *call, int rc)
{
    const struct graph_pipe *pipe = &execution->graph->pipes[execution->next++];
    enum mr_type type = execution->graph->variables[pipe->result].type;
    struct graph_result *result = &execution->results[pipe->result];
    rc = graph_run_check_call(call, rc, type);
    result->name = pipe->name;
    result->has_iterator = call->has_iterator;
    result->iterator = call->iterator;
    if (rc != 0) {
        error_explain(call->error, "pipe", pipe->name, rc);
        return rc;
    }
    return type == MR_STREAM ? 0 : graph_run_keep(execution, pipe->result, &call->value);
}

static int graph_run_pipe(struct graph_execution *execution, const struct graph_pipe *pipe)
{
    const struct mr_object *arguments[GRAPH_VARIABLE_COUNT_MAX];
    struct mr_call call;
    graph_open_call(execution, &call, arguments, execution->scratch, execution->error);
    return graph_close_call(execution, &call, pipe->function(&call));
}

static uint8_t *graph_run_copy_packed(struct graph_execution *execution,
                                      const struct mr_value *value, size_t bytes)
{
    uint8_t *copy = arena_take(&execution->job->arena, bytes + 1);
    if (copy)
        memcpy(copy, value->begin, bytes);
    else
        error_set(value->error, ERROR_OOM, "out of memory for a value of %zu bytes", bytes);
    return copy;
}

/* Keeps a packed result. Unpacking writes into the text, so each use has a copy of its own. */
static int graph_run_keep(struct graph_execution *execution, int variable, struct mr_value *value)
{
    const struct graph_variable *declared = &execution->graph->variables[variable];
    struct graph_result *result = &execution->results[variable];
    size_t bytes = (size_t)(value->at - value->begin);
    if (declared->output_count > 0) {
        result->packed = graph_run_copy_packed(execution, value, bytes);
        if (!result->packed)
            return -ENOMEM;
        result->packed_bytes = bytes;
    }
    if (!declared->is_argument || result->object)
        return 0;
    uint8_t *copy = graph_run_copy_packed(execution, value, bytes);
    if (!copy)
        return -ENOMEM;
    int rc = object_unpack(&execution->job->arena, copy, bytes, &(struct object_files){0},
                           &result->object);
    if (rc != 0)
        error_set(value->error, ERROR_PIPELINE,
                  "the result of pipe %s cannot be given to another one: %s", result->name,
                  rc == -EBADMSG ? "it is a file, or has one in it" : strerror(-rc));
    return rc;
}

static int graph_run_start_line(struct graph_execution *execution)
{
    const struct mr_builder *graph = execution->graph;
    struct lockstep_output *outputs =
        arena_take(&execution->job->arena, graph->output_count * sizeof *outputs);
    if (!outputs) {
        error_set(execution->error, ERROR_OOM, "out of memory");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const struct graph_result *result = &execution->results[graph->outputs[i]];
        outputs[i] = (struct lockstep_output){
            .iterator = result->iterator,
            .is_stream = result->has_iterator,
            .is_open = result->has_iterator,
            .name = result->name,
            .packed = result->packed,
            .packed_bytes = result->packed_bytes,
        };
    }
    lockstep_start(&execution->job->lockstep, outputs, graph->output_count);
    return 0;
}

void graph_close(struct graph_execution *execution)
{
    uint32_t count = execution->results ? execution->graph->variable_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct graph_result *result = &execution->results[i];
        if (result->has_iterator && result->iterator.close)
            result->iterator.close(result->iterator.state);
    }
}

static int graph_call_hook(const struct mr_builder *graph, mr_pipe_fn *hook, struct error *error)
{
    struct mr_call call = {.graph = graph, .error = error};
    struct buffer nothing = {.data = NULL};
    value_start_in_buffer(&call.value, &nothing, error);
    call.value.remaining = 0; /* a hook has no result: writing one is a failure */
    int rc = hook(&call);
    buffer_finish(&nothing);
    if (rc >= 0 && error->is_set)
        rc = -EINVAL;
    if (call.has_iterator && call.iterator.close)
        call.iterator.close(call.iterator.state);
    return rc;
}

static int graph_call_hooks(const struct mr_builder *graph, const char *what,
                            mr_pipe_fn *const *hooks, uint32_t count, struct error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        int rc = graph_call_hook(graph, hooks[i], error);
        if (rc >= 0)
            continue;
        char number[16];
        snprintf(number, sizeof number, "%u", i + 1);
        error_explain(error, what, number, rc);
        error->type = ERROR_STARTUP;
        return rc;
    }
    return 0;
}

int graph_preload(const struct mr_builder *graph, struct error *error)
{
    return graph_call_hooks(graph, "preload hook", graph->preloads, graph->preload_count, error);
}

int graph_start_up(const struct mr_builder *graph, struct error *error)
{
    return graph_call_hooks(graph, "startup hook", graph->startups, graph->startup_count, error);
}
