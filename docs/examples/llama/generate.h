/* SPDX-License-Identifier: MIT */
/*
 * generate.h - the engine that writes answers: all runs in one batch.
 *
 * A step reads the token that each run wrote last, and of prompts as many tokens as the step budget
 * allows; then each run that has read all that it has is given its next token.
 */
#ifndef LLAMA_GENERATE_H
#define LLAMA_GENERATE_H

#include <millrace/pipeline.h>

extern const struct mr_engine generate_engine;

/* A startup hook, and what is called when the worker stops. */
int generate_open(struct mr_call *call);
void generate_close(void *unused);

/* The arguments of a run. */
enum { GENERATE_PROMPT = 0, GENERATE_MESSAGES, GENERATE_OPTIONS };

#endif
