/* SPDX-License-Identifier: MIT */
/*
 * prompt.h - from what a client gives to tokens.
 */
#ifndef LLAMA_PROMPT_H
#define LLAMA_PROMPT_H

#include "model.h"

/* Why there are no tokens: a sentence for the client. */
struct refusal {
    char text[256];
};

/* Tokens of `prompt`, a string, of which special words are words like others; or of `messages`, an
 * array of {"role", "content"}, by the model's own template. Returns how many tokens were written,
 * at most `limit`; or -1, and why. */
int32_t prompt_read(const struct mr_object *prompt, llama_token *tokens, int32_t limit,
                    struct refusal *why);
int32_t prompt_read_messages(const struct mr_object *messages, llama_token *tokens, int32_t limit,
                             struct refusal *why);

#endif
