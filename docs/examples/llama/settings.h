/* SPDX-License-Identifier: MIT */
/*
 * settings.h - what the operator says about the model: variables, as README.md lists them.
 */
#ifndef LLAMA_SETTINGS_H
#define LLAMA_SETTINGS_H

#include <llama.h>

#include <millrace/pipeline.h>

/* What llama.cpp can have. */
#define PARALLEL_COUNT_MAX 256

struct settings {
    const char *model;       /* LLAMA_MODEL */
    const char *library;     /* LLAMA_LIBRARY; NULL: the system's */
    uint32_t context_tokens; /* LLAMA_CONTEXT: of a run, prompt and answer; 0: the model's */
    uint32_t parallel_count; /* LLAMA_PARALLEL: runs in a batch */
    uint32_t batch_tokens;   /* LLAMA_BATCH: of prompts, the most that a step can be told to read */
    uint32_t shared_tokens;  /* LLAMA_SHARED: that all runs have together; 0: each its own */
    uint32_t grammar_bytes_max; /* LLAMA_GRAMMAR_BYTES; 0: there are no grammars */
    int32_t gpu_layers;         /* LLAMA_GPU_LAYERS; -1: all */
    int32_t thread_count;       /* LLAMA_THREADS; 0: one less than the worker has cores */
    enum ggml_type kv_type;     /* LLAMA_KV_TYPE */
};

/* Returns 0, or the failure of a startup hook. */
int settings_read(struct settings *settings, struct mr_call *call);

#endif
