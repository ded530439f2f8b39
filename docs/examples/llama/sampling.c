/* SPDX-License-Identifier: MIT */
/*
 * sampling.c - samplers of llama.cpp, in a chain.
 *
 * A grammar looks at all words of the vocabulary, which takes long. So a token is taken without it
 * first, and again with it if the grammar does not have that one. To accept a token that a grammar
 * does not have is an exception of C++, which would end the worker.
 */
#include "sampling.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define refuse(why, ...) (snprintf((why)->text, sizeof(why)->text, __VA_ARGS__), -1)

/* For all words of the vocabulary; runs are sampled one after another. */
static llama_token_data *candidates;

static uint32_t draw_seed(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed || seed == LLAMA_DEFAULT_SEED)
        return 0;
    return seed;
}

static void build(struct sampling *sampling, const struct request *request)
{
    struct llama_sampler *chain = sampling->chain;
    if (request->repeat_last_n > 0 &&
        (request->repeat_penalty != 1 || request->frequency_penalty != 0 ||
         request->presence_penalty != 0))
        library.llama_sampler_chain_add(
            chain,
            library.llama_sampler_init_penalties(
                model.word_count, (int32_t)request->repeat_last_n, (float)request->repeat_penalty,
                (float)request->frequency_penalty, (float)request->presence_penalty));
    if (request->temperature == 0) {
        library.llama_sampler_chain_add(chain, library.llama_sampler_init_greedy());
        return;
    }
    if (request->top_k > 0)
        library.llama_sampler_chain_add(chain,
                                        library.llama_sampler_init_top_k((int32_t)request->top_k));
    if (request->top_p < 1)
        library.llama_sampler_chain_add(chain,
                                        library.llama_sampler_init_top_p((float)request->top_p, 1));
    if (request->min_p > 0)
        library.llama_sampler_chain_add(chain,
                                        library.llama_sampler_init_min_p((float)request->min_p, 1));
    library.llama_sampler_chain_add(chain,
                                    library.llama_sampler_init_temp((float)request->temperature));
    library.llama_sampler_chain_add(chain, library.llama_sampler_init_dist(sampling->seed));
}

int sampling_open(struct sampling *sampling, const struct request *request, struct refusal *why)
{
    *sampling =
        (struct sampling){.seed = request->seed >= 0 ? (uint32_t)request->seed : draw_seed()};
    if (request->grammar) {
        sampling->grammar =
            library.llama_sampler_init_grammar(model.vocab, request->grammar, "root");
        if (!sampling->grammar)
            return refuse(why, "options: grammar is not one that llama.cpp can read; the log says "
                               "where");
    }
    sampling->chain =
        library.llama_sampler_chain_init(library.llama_sampler_chain_default_params());
    build(sampling, request);
    return 0;
}

void sampling_close(struct sampling *sampling)
{
    if (sampling->chain)
        library.llama_sampler_free(sampling->chain);
    if (sampling->grammar)
        library.llama_sampler_free(sampling->grammar);
    *sampling = (struct sampling){.chain = NULL};
}

/* Fills the candidates with the odds of a row. */
static llama_token_data_array all_of(int32_t row)
{
    const float *odds = library.llama_get_logits_ith(model.context, row);
    for (llama_token word = 0; word < model.word_count; word++)
        candidates[word] = (llama_token_data){word, odds[word], 0};
    return (llama_token_data_array){candidates, (size_t)model.word_count, -1, false};
}

static bool grammar_has(struct llama_sampler *grammar, llama_token token)
{
    llama_token_data one = {token, 1, 0};
    llama_token_data_array array = {&one, 1, -1, false};
    library.llama_sampler_apply(grammar, &array);
    return !isinf(one.logit);
}

/* -1: there is none. */
static llama_token pick(struct llama_sampler *chain, llama_token_data_array *array)
{
    library.llama_sampler_apply(chain, array);
    if (array->selected < 0 || (size_t)array->selected >= array->size)
        return -1;
    const llama_token_data *taken = &array->data[array->selected];
    return isinf(taken->logit) && taken->logit < 0 ? -1 : taken->id;
}

static llama_token take_with_grammar(struct sampling *sampling, int32_t row)
{
    if (!candidates)
        candidates = calloc((size_t)model.word_count, sizeof *candidates);
    if (!candidates)
        return -1;
    llama_token_data_array array = all_of(row);
    llama_token token = pick(sampling->chain, &array);
    if (token < 0 || !grammar_has(sampling->grammar, token)) {
        array = all_of(row);
        library.llama_sampler_apply(sampling->grammar, &array);
        token = pick(sampling->chain, &array);
        if (token < 0 || !grammar_has(sampling->grammar, token))
            return -1;
    }
    library.llama_sampler_accept(sampling->grammar, token);
    library.llama_sampler_accept(sampling->chain, token);
    return token;
}

llama_token sampling_take(struct sampling *sampling, int32_t row)
{
    if (sampling->grammar)
        return take_with_grammar(sampling, row);
    return library.llama_sampler_sample(sampling->chain, model.context, row);
}

/* Keeps the best ones in order. */
static void rank(struct likelihood *best, size_t count, llama_token token, float odds)
{
    size_t at = count;
    while (at > 0 && (best[at - 1].token < 0 || best[at - 1].logprob < odds))
        at--;
    if (at == count)
        return;
    for (size_t i = count - 1; i > at; i--)
        best[i] = best[i - 1];
    best[at] = (struct likelihood){token, odds};
}

float sampling_look(int32_t row, llama_token token, struct likelihood *best, size_t count)
{
    const float *odds = library.llama_get_logits_ith(model.context, row);
    float most = odds[0];
    double sum = DBL_MIN;
    for (size_t i = 0; i < count; i++)
        best[i].token = -1;
    for (llama_token word = 0; word < model.word_count; word++) {
        if (odds[word] > most)
            most = odds[word];
        rank(best, count, word, odds[word]);
    }
    for (llama_token word = 0; word < model.word_count; word++)
        sum += exp((double)(odds[word] - most));
    float whole = most + (float)log(sum);
    for (size_t i = 0; i < count; i++)
        best[i].logprob -= whole;
    return odds[token] - whole;
}
