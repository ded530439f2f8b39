/* SPDX-License-Identifier: MIT */
/*
 * grammar.h - a look at a grammar before llama.cpp reads it, whose reader trusts it too far.
 */
#ifndef LLAMA_GRAMMAR_H
#define LLAMA_GRAMMAR_H

#include <stddef.h>

#define GRAMMAR_DEPTH_MAX 64

/* NULL, or what llama.cpp cannot be given: brackets too deep for its stack, or a repetition whose
 * end is below its beginning, {3,1}, at which it would never stop. */
const char *grammar_look(const char *text, size_t count);

#endif
