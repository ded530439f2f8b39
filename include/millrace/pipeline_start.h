/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline_start.h - what is done before the first run; pipeline.h includes it.
 */
#ifndef MILLRACE_PIPELINE_H
#include <millrace/pipeline.h>
#endif
#ifndef MILLRACE_PIPELINE_START_H
#define MILLRACE_PIPELINE_START_H

/* Runs `hook` once in each worker before its first run. A failure is a startup_error. It reads
 * mr_state() and has no arguments. */
static inline void mr_on_startup(struct mr_builder *builder, mr_pipe_fn *hook)
{
    mr_api_->builder_on_startup(builder, hook);
}

/* Runs `hook` once, before startup hooks: where the server preloads the pipeline (--preload) in a
 * template that all workers are copies of, else in each worker. It loads what workers have in
 * common, weights say, and touches no device, and starts no thread and no process. */
static inline void mr_on_preload(struct mr_builder *builder, mr_pipe_fn *hook)
{
    mr_api_->builder_on_preload(builder, hook);
}

/* Says how far the start is, from a startup hook, or from MR_PIPELINE: `fraction` from 0 to 1, less
 * or NAN where it is not known; `text` in a few words, or NULL. It is a sign of life besides:
 * --start-timeout counts from the last one. Once the pipeline serves it does nothing. */
static inline void mr_startup_progress(double fraction, const char *text)
{
    mr_api_->startup_progress(fraction, text);
}

#endif
