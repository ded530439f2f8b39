/* SPDX-License-Identifier: MIT */
/*
 * model.h - the model of this worker, on the worker's device, and its one context.
 */
#ifndef LLAMA_MODEL_H
#define LLAMA_MODEL_H

#include "library.h"
#include "settings.h"

struct model {
    struct settings settings;
    struct llama_model *weights;
    const struct llama_vocab *vocab;
    struct llama_context *context;
    llama_memory_t memory;   /* NULL: the model keeps nothing of what it has read */
    const char *template;    /* of chats, NULL: it has none */
    int32_t word_count;      /* of the vocabulary */
    int32_t piece_bytes_max; /* of its longest word */
    int32_t context_tokens;  /* of a run */
    int32_t batch_tokens;    /* of a call of llama_decode() */
    bool can_share;          /* what was read can be cut, and copied to another run */
};

extern struct model model;

/* Startup hooks: the model for answers, or for vectors. */
int model_open(struct mr_call *call);
int model_open_for_vectors(struct mr_call *call);

/* When the worker stops. */
void model_close(void *unused);

/* The kind of failure, from what llama.cpp has told its log. */
enum mr_error model_error_kind(void);

#endif
