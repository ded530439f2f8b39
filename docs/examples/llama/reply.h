/* SPDX-License-Identifier: MIT */
/*
 * reply.h - the values of an answer, as its client sees them.
 *
 *     {"text": " light", "logprobs": [{"token", "text", "logprob", "top": [...]}]}
 *     {"text": ".", "finish_reason": "stop", "seed": 7,
 *      "usage": {"prompt_tokens": 9, "completion_tokens": 24, "cached_tokens": 0}}
 *
 * or the texts alone, where the client has asked for that.
 */
#ifndef LLAMA_REPLY_H
#define LLAMA_REPLY_H

#include "sampling.h"

struct usage {
    int32_t prompt_tokens, completion_tokens;
    int32_t cached_tokens; /* of the prompt, which were not read again */
};

struct reply {
    const struct request *request;
    struct text *text; /* what is ready of it is sent */
    int32_t row;       /* of the token that was taken last, for logprobs */
    llama_token token;
    const char *finish_reason; /* NULL: there is more to come */
    const struct usage *usage;
    uint32_t seed;
};

/* Sends the value, if there is something to say. */
void reply_emit(struct mr_run *run, const struct reply *reply);

#endif
