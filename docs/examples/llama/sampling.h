/* SPDX-License-Identifier: MIT */
/*
 * sampling.h - which token comes next.
 *
 * The order is: grammar, penalties, top_k, top_p, min_p, temperature, and then one by chance; with
 * a temperature of 0 the likeliest.
 */
#ifndef LLAMA_SAMPLING_H
#define LLAMA_SAMPLING_H

#include "request.h"

struct sampling {
    struct llama_sampler *chain;
    struct llama_sampler *grammar; /* NULL: there is none */
    uint32_t seed;                 /* what was given, or drawn */
};

/* One of the likeliest tokens, or the one that was taken. */
struct likelihood {
    llama_token token;
    float logprob; /* natural logarithm, of the model's own odds */
};

/* Returns 0, or -1 and why. */
int sampling_open(struct sampling *sampling, const struct request *request, struct refusal *why);
void sampling_close(struct sampling *sampling);

/* Takes a token by the odds in row `row` of what was decoded last; -1: the grammar allows none. */
llama_token sampling_take(struct sampling *sampling, int32_t row);

/* The logprob of `token`, and the `count` likeliest ones, the best first. */
float sampling_look(int32_t row, llama_token token, struct likelihood *best, size_t count);

#endif
