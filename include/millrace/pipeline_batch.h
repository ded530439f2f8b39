/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline_batch.h - pipes that are called for several runs at once; pipeline.h includes
 * it.
 *
 * Runs that reach such a pipe while others wait for it, too, are given to it together: up to
 * --batch-max of them, and --concurrency, which is how many a worker has.
 *
 *     static int score(struct mr_call *const *calls, size_t count)
 *     {
 *         for (size_t i = 0; i < count; i++)
 *             load_row(i, mr_arg_string(calls[i], 0));
 *         if (device_compute(count) != 0)
 *             return mr_batch_fail(MR_ERROR_CUDA, "the device does not answer");
 *         for (size_t i = 0; i < count; i++)
 *             mr_value_fp(mr_return(calls[i]), device_score(i));
 *         return 0;
 *     }
 *
 *     MR_PIPELINE(scorer)
 *     {
 *         mr_variable text = mr_input(builder, MR_STRING);
 *         mr_output(builder, mr_pipe_batched(builder, score, MR_FP, text));
 *     }
 */
#ifndef MILLRACE_PIPELINE_H
#include <millrace/pipeline.h>
#endif
#ifndef MILLRACE_PIPELINE_BATCH_H
#define MILLRACE_PIPELINE_BATCH_H

/* Adds a batched pipe to the graph, as mr_pipe() adds one that is not: mr_pipe_batched(builder,
 * function, type, input...). The function is a mr_batch_fn. */
#ifdef __cplusplus
#define mr_pipe_batched(builder, function, ...)                                                    \
    mr_pipe_batched_(builder, function, #function, __VA_ARGS__)
#else
#define mr_pipe_batched(builder, function, ...)                                                    \
    mr_api_->builder_pipe_batched(builder, function, #function,                                    \
                                  (const int[]){MR_WORDS_(MR_COUNT_(__VA_ARGS__), __VA_ARGS__, )}, \
                                  1 + MR_COUNT_(__VA_ARGS__))
#endif

/* What a batched pipe returns to fail all calls that have no result yet: return mr_batch_fail(
 * MR_ERROR_CUDA, "device lost"). */
MR_PRINTF_(2, 3)
static inline int mr_batch_fail(enum mr_error error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = mr_api_->batch_vfail(error, format, arguments);
    va_end(arguments);
    return result;
}

#ifdef __cplusplus
extern "C++" {
template <typename... Inputs>
static inline mr_variable mr_pipe_batched_(struct mr_builder *builder, mr_batch_fn *function,
                                           const char *name, enum mr_type type, Inputs... inputs)
{
    const int words[] = {mr_type_(type), mr_index_(inputs)...};
    return mr_api_->builder_pipe_batched(builder, function, name, words,
                                         sizeof(words) / sizeof(int));
}
}
#endif

#endif
