/* SPDX-License-Identifier: MIT */
/*
 * graph.c - builds and checks a pipeline's graph.
 */
#include "worker/engine/graph.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "worker/engine/object.h"

__attribute__((format(printf, 2, 3))) static mr_variable graph_mistake(struct mr_builder *graph,
                                                                       const char *format, ...);
static const char *graph_copy(struct mr_builder *graph, const char *text);
static bool graph_has_variable(const struct mr_builder *graph, int variable);
static int graph_add_variable(struct mr_builder *graph, enum mr_type type, bool is_optional);
static bool graph_argument_is_sound(struct mr_builder *graph, const char *name, size_t index,
                                    int variable);
static void graph_free_text(const char *text);

mr_variable graph_input(struct mr_builder *graph, const struct mr_input_options *options)
{
    if (graph->input_count == INPUT_COUNT_MAX)
        return graph_mistake(graph, "it has more than %u inputs", INPUT_COUNT_MAX);
    if (options->type == MR_STREAM || (unsigned)options->type >= MR_TYPE_COUNT)
        return graph_mistake(graph, "input %u is %s, which no input can be", graph->input_count + 1,
                             object_type_name(options->type));
    graph->inputs[graph->input_count] = (struct mr_input_options){
        .type = options->type,
        .title = graph_copy(graph, options->title),
        .description = graph_copy(graph, options->description),
        .examples = graph_copy(graph, options->examples),
        .default_json = graph_copy(graph, options->default_json),
        .gt = graph_copy(graph, options->gt),
        .ge = graph_copy(graph, options->ge),
        .lt = graph_copy(graph, options->lt),
        .le = graph_copy(graph, options->le),
        .multiple_of = graph_copy(graph, options->multiple_of),
        .choices = graph_copy(graph, options->choices),
        .min_length = options->min_length,
        .max_length = options->max_length,
        .optional = options->optional,
    };
    int variable = graph_add_variable(graph, options->type, options->optional);
    graph->input_variables[graph->input_count++] = variable;
    return (mr_variable){variable};
}

/* Which input of the graph a variable is; as many as there are: none. */
static uint32_t graph_find_input(const struct mr_builder *graph, int variable)
{
    uint32_t at = 0;
    while (at < graph->input_count && graph->input_variables[at] != variable)
        at++;
    return at;
}

/* Keeps what is said of an input beside its options, once. */
static void graph_input_say(struct mr_builder *graph, mr_variable input, const char **texts,
                            const char *what, const char *json)
{
    uint32_t at = graph_find_input(graph, input.index_);
    if (at == graph->input_count)
        graph_mistake(graph, "%s of something that is no input of this graph", what);
    else if (texts[at])
        graph_mistake(graph, "input %u has %s twice", at + 1, what);
    else
        texts[at] = graph_copy(graph, json);
}

void graph_input_schema(struct mr_builder *graph, mr_variable input, const char *json)
{
    graph_input_say(graph, input, graph->schemas, "a schema", json);
}

void graph_input_files(struct mr_builder *graph, mr_variable input, const char *json)
{
    graph_input_say(graph, input, graph->files, "files", json);
}

/* `kind` has one of the functions. */
static mr_variable graph_add_pipe(struct mr_builder *graph, const struct graph_pipe *kind,
                                  const char *name, const int *type_and_inputs, size_t count)
{
    if (graph->pipe_count == GRAPH_PIPE_COUNT_MAX)
        return graph_mistake(graph, "it has more than %u pipes", GRAPH_PIPE_COUNT_MAX);
    bool has_function = kind->function || kind->batch;
    if (!has_function || count == 0 || type_and_inputs[0] < 0 ||
        type_and_inputs[0] >= MR_TYPE_COUNT)
        return graph_mistake(graph, "pipe %s has no function or no type", name);
    for (size_t i = 1; i < count; i++) {
        if (!graph_argument_is_sound(graph, name, i - 1, type_and_inputs[i]))
            return (mr_variable){-1};
    }
    struct graph_pipe *pipe = &graph->pipes[graph->pipe_count];
    *pipe = *kind;
    pipe->arguments = calloc(count, sizeof *pipe->arguments);
    pipe->name = strdup(name);
    if (!pipe->arguments || !pipe->name) {
        free(pipe->arguments);
        free(pipe->name);
        return graph_mistake(graph, "out of memory");
    }
    pipe->argument_count = (uint32_t)(count - 1);
    for (size_t i = 1; i < count; i++) {
        pipe->arguments[i - 1] = type_and_inputs[i];
        graph->variables[type_and_inputs[i]].is_argument = true;
    }
    graph->pipe_count++;
    graph->batched_count += pipe->batch != NULL;
    pipe->result = graph_add_variable(graph, (enum mr_type)type_and_inputs[0], false);
    return (mr_variable){pipe->result};
}

mr_variable graph_pipe(struct mr_builder *graph, mr_pipe_fn *function, const char *name,
                       const int *type_and_inputs, size_t count)
{
    return graph_add_pipe(graph, &(struct graph_pipe){.function = function}, name, type_and_inputs,
                          count);
}

mr_variable graph_pipe_batched(struct mr_builder *graph, mr_batch_fn *function, const char *name,
                               const int *type_and_inputs, size_t count)
{
    return graph_add_pipe(graph, &(struct graph_pipe){.batch = function}, name, type_and_inputs,
                          count);
}

void graph_output(struct mr_builder *graph, mr_variable variable)
{
    if (graph->output_count == OUTPUT_COUNT_MAX) {
        graph_mistake(graph, "it has more than %u outputs", OUTPUT_COUNT_MAX);
        return;
    }
    if (!graph_has_variable(graph, variable.index_)) {
        graph_mistake(graph, "output %u is no variable of this graph", graph->output_count + 1);
        return;
    }
    graph->variables[variable.index_].output_count++;
    graph->outputs[graph->output_count++] = variable.index_;
}

void graph_engine(struct mr_builder *graph, const struct mr_engine *engine, size_t engine_bytes,
                  const int *type_and_inputs, size_t count)
{
    struct mr_engine known = {.admit = NULL};
    if (engine)
        memcpy(&known, engine, engine_bytes < sizeof known ? engine_bytes : sizeof known);
    if (graph->has_engine || !known.admit || !known.step || !known.evict) {
        graph_mistake(graph, graph->has_engine ? "it has two engines"
                                               : "an engine has no admit, step or evict");
        return;
    }
    if (count - 1 > INPUT_COUNT_MAX) {
        graph_mistake(graph, "its engine has more than %u arguments", INPUT_COUNT_MAX);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        uint32_t input = graph_find_input(graph, type_and_inputs[i]);
        if (input == graph->input_count) {
            graph_mistake(graph, "argument %zu of its engine is no input of this graph", i);
            return;
        }
        graph->engine_arguments[i - 1] = input;
    }
    graph->has_engine = true;
    graph->engine = known;
    graph->engine_argument_count = (uint32_t)(count - 1);
    graph_output(graph, (mr_variable){graph_add_variable(graph, MR_STREAM, false)});
}

static void graph_add_hook(struct mr_builder *graph, mr_pipe_fn **hooks, uint32_t *count,
                           mr_pipe_fn *hook)
{
    if (!hook || *count == GRAPH_STARTUP_COUNT_MAX) {
        graph_mistake(graph, "a startup hook is NULL, or there are more than %u",
                      GRAPH_STARTUP_COUNT_MAX);
        return;
    }
    /* cppcheck-suppress AssignmentAddressToInteger ; it takes the typedef of a function for an
     * int */
    hooks[(*count)++] = hook;
}

void graph_on_preload(struct mr_builder *graph, mr_pipe_fn *hook)
{
    graph_add_hook(graph, graph->preloads, &graph->preload_count, hook);
}

void graph_on_startup(struct mr_builder *graph, mr_pipe_fn *hook)
{
    graph_add_hook(graph, graph->startups, &graph->startup_count, hook);
}

void graph_state(struct mr_builder *graph, void *state, void (*destroy)(void *state))
{
    graph->state = state;
    graph->destroy = destroy;
}

const char *graph_check(struct mr_builder *graph)
{
    if (graph->mistake[0] == '\0' && graph->output_count == 0)
        graph_mistake(graph, "it has no output");
    if (graph->has_engine && (graph->pipe_count > 0 || graph->output_count > 1))
        graph_mistake(graph, "it has an engine, whose stream is its one output, and %s",
                      graph->pipe_count > 0 ? "a pipe" : "another output");
    for (uint32_t i = 0; i < graph->pipe_count; i++) {
        const struct graph_pipe *pipe = &graph->pipes[i];
        const struct graph_variable *result = &graph->variables[pipe->result];
        if (result->type == MR_STREAM && result->output_count != 1)
            graph_mistake(graph, "the stream of pipe %s is %s; it must be one output, once",
                          pipe->name, result->output_count == 0 ? "no output" : "several outputs");
    }
    return graph->mistake[0] == '\0' ? NULL : graph->mistake;
}

int graph_check_inputs(const struct mr_builder *graph, const struct job *job, struct error *error)
{
    if (job->input_count != graph->input_count) {
        error_set(error, ERROR_INPUT, "%zu inputs came, the pipeline has %u", job->input_count,
                  graph->input_count);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct mr_object *input = &job->inputs[i];
        const struct graph_variable *declared = &graph->variables[graph->input_variables[i]];
        if (!object_fits(input, declared->type) &&
            !(declared->is_optional && input->type == MR_NONE)) {
            error_set(error, ERROR_INPUT, "input %u is %s, it should be %s", i + 1,
                      object_type_name(input->type), object_type_name(declared->type));
            return -EINVAL;
        }
    }
    return 0;
}

void graph_finish(struct mr_builder *graph)
{
    if (graph->destroy)
        graph->destroy(graph->state);
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct mr_input_options *input = &graph->inputs[i];
        graph_free_text(input->title);
        graph_free_text(input->description);
        graph_free_text(input->examples);
        graph_free_text(input->default_json);
        graph_free_text(input->gt);
        graph_free_text(input->ge);
        graph_free_text(input->lt);
        graph_free_text(input->le);
        graph_free_text(input->multiple_of);
        graph_free_text(input->choices);
        graph_free_text(graph->schemas[i]);
        graph_free_text(graph->files[i]);
    }
    for (uint32_t i = 0; i < graph->pipe_count; i++) {
        free(graph->pipes[i].arguments);
        free(graph->pipes[i].name);
    }
    graph->destroy = NULL;
    graph->input_count = 0;
    graph->pipe_count = 0;
}

/* Remembers the first mistake; later ones mostly follow from it. */
__attribute__((format(printf, 2, 3))) static mr_variable graph_mistake(struct mr_builder *graph,
                                                                       const char *format, ...)
{
    if (graph->mistake[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(graph->mistake, sizeof graph->mistake, format, arguments);
        va_end(arguments);
    }
    return (mr_variable){-1};
}

/* An owned copy, or NULL where nothing was said. */
static const char *graph_copy(struct mr_builder *graph, const char *text)
{
    if (!text)
        return NULL;
    const char *copy = strdup(text);
    if (!copy)
        graph_mistake(graph, "out of memory");
    return copy;
}

static bool graph_has_variable(const struct mr_builder *graph, int variable)
{
    return variable >= 0 && (uint32_t)variable < graph->variable_count;
}

static int graph_add_variable(struct mr_builder *graph, enum mr_type type, bool is_optional)
{
    mr_assert(graph->variable_count < GRAPH_VARIABLE_COUNT_MAX);
    graph->variables[graph->variable_count] =
        (struct graph_variable){.type = type, .is_optional = is_optional};
    return (int)graph->variable_count++;
}

static bool graph_argument_is_sound(struct mr_builder *graph, const char *name, size_t index,
                                    int variable)
{
    if (!graph_has_variable(graph, variable)) {
        graph_mistake(graph, "argument %zu of pipe %s is no variable of this graph", index + 1,
                      name);
        return false;
    }
    if (graph->variables[variable].type == MR_STREAM) {
        graph_mistake(graph, "argument %zu of pipe %s is a stream, which only an output can be",
                      index + 1, name);
        return false;
    }
    return true;
}

/* free() takes a pointer to what may be written; the texts are ours, and const to all others. */
static void graph_free_text(const char *text)
{
    union {
        const char *shown;
        void *owned;
    } pointer = {.shown = text};
    free(pointer.owned);
}
