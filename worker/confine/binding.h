/* SPDX-License-Identifier: MIT */
/*
 * binding.h - the process runs near its device, and has its memory there.
 *
 * It takes nothing from a pipeline, which may bind its threads otherwise; and what cannot be had on
 * this machine makes it slower, no more. Both outlive an exec.
 */
#ifndef WORKER_BINDING_H
#define WORKER_BINDING_H

#include <limits.h>

#include "millrace/check.h"

/* Processing units of the largest machine that Linux can be built for; of nodes it has less. */
#define BINDING_NUMBER_COUNT 8192u
#define BINDING_WORD_BITS (CHAR_BIT * sizeof(unsigned long))

/* Numbers of processing units or of nodes: the bits of words, as the kernel takes both. */
struct binding_list {
    const char *text; /* as it was said, memory of who said it; NULL: it was not */
    unsigned long bits[BINDING_NUMBER_COUNT / BINDING_WORD_BITS];
};

struct binding {
    struct binding_list cores;
    struct binding_list memory_nodes;
};

/* Understands "0-3,8": numbers and ranges of them. 0, or -EINVAL. */
int binding_parse(struct binding_list *out, const char *text) MUST_USE;

/* Puts what was said in force, for this thread and all that it starts. Where the kernel refuses,
 * that is a line on stderr, and all stays as it was. */
void binding_enter(const struct binding *binding);

#endif
