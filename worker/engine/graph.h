/* SPDX-License-Identifier: MIT */
/*
 * graph.h - a pipeline as its MR_PIPELINE body describes it: inputs, pipes in order, outputs.
 *
 * A variable is an input or the result of a pipe; variables are numbered as they are made, so a
 * pipe's arguments always come before it and the pipes can run in order. This is the `struct
 * mr_builder` of pipeline.h. What is wrong with a graph is said once, by graph_check(): the first
 * mistake.
 */
#ifndef WORKER_GRAPH_H
#define WORKER_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/pipeline.h"
#include "worker/engine/error.h"
#include "worker/engine/job.h"

#define GRAPH_PIPE_COUNT_MAX 64u
#define GRAPH_STARTUP_COUNT_MAX 16u
#define GRAPH_VARIABLE_COUNT_MAX (INPUT_COUNT_MAX + GRAPH_PIPE_COUNT_MAX)

struct graph_variable {
    enum mr_type type;
    bool is_optional;
    bool is_argument;      /* of some pipe */
    uint32_t output_count; /* how often it is an output */
};

struct graph_pipe {
    mr_pipe_fn *function; /* NULL: it is batched, */
    mr_batch_fn *batch;   /* and this is its function */
    char *name;           /* owned */
    int result;           /* variables are known by their index */
    uint32_t argument_count;
    int *arguments; /* owned */
};

struct mr_builder {
    uint32_t variable_count;
    uint32_t input_count;
    uint32_t pipe_count;
    uint32_t batched_count; /* of the pipes */
    uint32_t output_count;
    uint32_t preload_count;
    uint32_t startup_count;
    struct graph_variable variables[GRAPH_VARIABLE_COUNT_MAX];
    struct mr_input_options inputs[INPUT_COUNT_MAX]; /* texts owned */
    const char *schemas[INPUT_COUNT_MAX];            /* of inputs; owned; NULL: not said */
    const char *files[INPUT_COUNT_MAX];              /* likewise: which members are files */
    int input_variables[INPUT_COUNT_MAX];
    struct graph_pipe pipes[GRAPH_PIPE_COUNT_MAX];
    int outputs[OUTPUT_COUNT_MAX];
    mr_pipe_fn *preloads[GRAPH_STARTUP_COUNT_MAX];
    mr_pipe_fn *startups[GRAPH_STARTUP_COUNT_MAX];
    bool has_engine;
    struct mr_engine engine;
    uint32_t engine_argument_count;
    uint32_t engine_arguments[INPUT_COUNT_MAX]; /* which inputs they are */
    void *state;
    void (*destroy)(void *state);
    char mistake[256]; /* the first one; "" while there is none */
};

/* The functions behind the table of pipeline.h. A variable, or one of index -1 after a mistake. */
mr_variable graph_input(struct mr_builder *graph, const struct mr_input_options *options);
void graph_input_schema(struct mr_builder *graph, mr_variable input, const char *json);
void graph_input_files(struct mr_builder *graph, mr_variable input, const char *json);
mr_variable graph_pipe(struct mr_builder *graph, mr_pipe_fn *function, const char *name,
                       const int *type_and_inputs, size_t count);
mr_variable graph_pipe_batched(struct mr_builder *graph, mr_batch_fn *function, const char *name,
                               const int *type_and_inputs, size_t count);
void graph_output(struct mr_builder *graph, mr_variable variable);
void graph_on_preload(struct mr_builder *graph, mr_pipe_fn *hook);
void graph_engine(struct mr_builder *graph, const struct mr_engine *engine, size_t engine_bytes,
                  const int *type_and_inputs, size_t count);
void graph_on_startup(struct mr_builder *graph, mr_pipe_fn *hook);
void graph_state(struct mr_builder *graph, void *state, void (*destroy)(void *state));

/* NULL when the graph is sound, else what is wrong with it; memory of the graph. */
const char *graph_check(struct mr_builder *graph) MUST_USE;

/* Are the inputs that came those which the graph declares? The dispatcher checked them already;
 * pipelines rely on it. 0, or a negative number with `error` set. */
int graph_check_inputs(const struct mr_builder *graph, const struct job *job,
                       struct error *error) MUST_USE;

/* Calls the state's destroy and frees what the graph owns. */
void graph_finish(struct mr_builder *graph);

#endif
