/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline_engine.h - a pipeline whose runs are stepped together; pipeline.h includes it.
 *
 * Where iterators give each run a next() of its own, an engine has one step() for all runs that it
 * has admitted: a batch on a device, say.
 *
 *     static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};
 *
 *     MR_PIPELINE(batched)
 *     {
 *         mr_engine(builder, &engine, mr_input(builder, MR_STRING, .title = "prompt"));
 *     }
 *
 * The functions are called in turn from the one thread of the worker, and what is here is for them,
 * but for mr_engine(). A struct mr_run is a run's until mr_run_finish(), mr_run_fail() or evict():
 * to use one that is gone ends the worker, as a mistake of the pipeline.
 */
#ifndef MILLRACE_PIPELINE_H
#include <millrace/pipeline.h>
#endif
#ifndef MILLRACE_PIPELINE_ENGINE_H
#define MILLRACE_PIPELINE_ENGINE_H

struct mr_engine {
    /* A run came: 0, it is in from now on; MR_LATER, there is no room for it now; or a failure of
     * it. Runs are asked for in the order in which they came; after MR_LATER the same one is, once
     * another is over or the engine was woken. */
    int (*admit)(struct mr_run *run);

    /* Called while there are runs, with the pointer given to mr_set_state(). 0: there is more to
     * do; MR_LATER: not before a run is admitted or evicted, a window opens or the engine is woken;
     * or a failure of all runs that are in, which are evicted. */
    int (*step)(void *state);

    /* The run was cancelled, or its time is over, or it failed without the engine: it is gone. */
    void (*evict)(struct mr_run *run);

    /* How many runs there is room for at once, whatever they are: rows of a batch, say. Others wait
     * where any worker of the pipeline may take them, and not for this one. Asked once, when the
     * startup hooks are through, with the pointer given to mr_set_state(). NULL, or less than 1: as
     * many as --concurrency says. */
    int (*capacity)(void *state);
};

/* Declares the engine, which is copied, with the inputs that are arguments of its runs: mr_engine(
 * builder, &engine, input...). It makes the pipeline's one output, a stream; there are no pipes. */
#ifdef __cplusplus
#define mr_engine(builder, ...) mr_engine_(builder, __VA_ARGS__)
#else
#define mr_engine(builder, ...)                                                                    \
    mr_api_->builder_engine(                                                                       \
        builder, MR_FIRST_(__VA_ARGS__, ), sizeof(struct mr_engine),                               \
        (const int[]){MR_ENGINE_WORDS_(MR_COUNT_(__VA_ARGS__), __VA_ARGS__, )},                    \
        1 + MR_COUNT_(__VA_ARGS__))
#define MR_FIRST_(first, ...) first
#define MR_ENGINE_WORDS_(count, ...) MR_ENGINE_WORDS_OF_(count, __VA_ARGS__)
#define MR_ENGINE_WORDS_OF_(count, engine, ...) MR_STREAM, MR_I##count##_(__VA_ARGS__)
#endif

/* ---- the run's arguments, and what the engine keeps of it ---------------------------------- */

static inline size_t mr_run_arg_count(struct mr_run *run)
{
    return mr_api_->run_arg_count(run);
}

/* Argument `index` of those that mr_engine() names, as mr_arg() is of a pipe. */
static inline const struct mr_object *mr_run_arg(struct mr_run *run, size_t index)
{
    return mr_api_->run_arg(run, index);
}

/* The same as plain values, as mr_arg_string() and its like read them. */
static inline const char *mr_run_arg_string(struct mr_run *run, size_t index)
{
    const struct mr_object *object = mr_api_->run_arg(run, index);
    return object->type == MR_STRING ? object->u.string.bytes : NULL;
}

static inline int64_t mr_run_arg_integer(struct mr_run *run, size_t index)
{
    const struct mr_object *object = mr_api_->run_arg(run, index);
    if (object->type == MR_BOOLEAN)
        return object->u.boolean ? 1 : 0;
    return object->type == MR_INTEGER ? object->u.integer : 0;
}

static inline double mr_run_arg_fp(struct mr_run *run, size_t index)
{
    const struct mr_object *object = mr_api_->run_arg(run, index);
    if (object->type == MR_FP)
        return object->u.fp;
    if (object->type == MR_INTEGER && object->is_unsigned)
        return (double)object->u.natural;
    return (double)mr_run_arg_integer(run, index);
}

static inline bool mr_run_arg_boolean(struct mr_run *run, size_t index)
{
    return mr_run_arg_integer(run, index) != 0;
}

static inline const char *mr_run_arg_file(struct mr_run *run, size_t index)
{
    const struct mr_object *object = mr_api_->run_arg(run, index);
    return object->type == MR_FILE ? object->u.file.path : NULL;
}

/* Memory of the run, zeroed, which is freed when it has ended; as mr_alloc(). NULL: there is none
 * left; admit() then returns any negative number, and the failure says why. */
static inline void *mr_run_alloc(struct mr_run *run, size_t bytes)
{
    return mr_api_->run_alloc(run, bytes);
}

/* A pointer that the engine keeps with the run; NULL until one is set. */
static inline void mr_run_set(struct mr_run *run, void *state)
{
    mr_api_->run_set(run, state);
}

static inline void *mr_run_get(struct mr_run *run)
{
    return mr_api_->run_get(run);
}

/* ---- in admit() and step() ----------------------------------------------------------------- */

/* The next value of the run: mr_value_integer(mr_emit(run), 5). It is sent when the next function
 * of this header is called, or step() returns, and log lines are the run's until then. A value that
 * cannot be sent fails its run, which is evicted.
 *
 * NULL when the run is full: its client has not taken what was sent. */
static inline struct mr_value *mr_emit(struct mr_run *run)
{
    return mr_api_->run_emit(run);
}

/* True while mr_emit() would give NULL. Skip the run; step() is called when it is open again. */
static inline bool mr_run_is_full(struct mr_run *run)
{
    return mr_api_->run_is_full(run);
}

/* True when the run was cancelled and is to be evicted: long steps ask, and stop. To ask is a sign
 * of life of all runs. */
static inline bool mr_run_is_cancelled(struct mr_run *run)
{
    return mr_api_->run_is_cancelled(run);
}

/* Ends the run; all that was emitted reaches its client. Its arguments and its memory are gone. */
static inline void mr_run_finish(struct mr_run *run)
{
    mr_api_->run_finish(run);
}

/* Ends it with a failure; in admit(): return mr_run_fail(run, MR_ERROR_INPUT, "no text"). */
MR_PRINTF_(3, 4)
static inline int mr_run_fail(struct mr_run *run, enum mr_error error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = mr_api_->run_vfail(run, error, format, arguments);
    va_end(arguments);
    return result;
}

/* What step() returns to fail all runs: return mr_engine_fail(MR_ERROR_CUDA, "device lost"). */
MR_PRINTF_(2, 3)
static inline int mr_engine_fail(enum mr_error error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = mr_api_->engine_vfail(error, format, arguments);
    va_end(arguments);
    return result;
}

/* How much work a step may take up, in units of the engine's own, such as tokens: what its operator
 * says by --step-budget, or `otherwise` when nothing was said. A step that takes up a long prompt
 * whole delays the next value of all other runs by as much; one that takes up so many of its tokens
 * does not, and goes on with the rest in the next step. To be asked anew in each step: the operator
 * may say another one while the engine runs. */
static inline uint64_t mr_step_budget(uint64_t otherwise)
{
    uint64_t units = mr_api_->step_budget();
    return units > 0 ? units : otherwise;
}

/* What another thread wakes the engine with, as mr_waker_get() gives it for a run: mr_wake() has
 * step() called again, and admit(), when they had answered with MR_LATER. To be released. Also for
 * startup hooks; NULL: there is none, in a template or for want of memory. */
static inline struct mr_waker *mr_engine_waker(void)
{
    return mr_api_->engine_waker();
}

#ifdef __cplusplus
extern "C++" {
template <typename... Inputs>
static inline void mr_engine_(struct mr_builder *builder, const struct mr_engine *engine,
                              Inputs... inputs)
{
    const int words[] = {mr_type_(MR_STREAM), mr_index_(inputs)...};
    mr_api_->builder_engine(builder, engine, sizeof *engine, words, sizeof(words) / sizeof(int));
}
}
#endif

#endif
