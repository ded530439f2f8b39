/* SPDX-License-Identifier: MIT */
/*
 * batch.h - what one call of llama_decode() computes.
 */
#ifndef LLAMA_BATCH_H
#define LLAMA_BATCH_H

#include "sequences.h"

/* Returns 0, or -1: there is no memory. */
int batch_open(void);
void batch_close(void);

/* Begins an empty one. */
void batch_clear(void);

/* Says that `count` tokens of the sequence are to be read, the ones behind those that are kept. The
 * whole of a batch is at most model.batch_tokens. */
void batch_want(const struct sequence *sequence, int32_t count);

enum batch_result {
    BATCH_DONE = 0, /* the sequences keep what was read */
    BATCH_NO_ROOM,  /* the context has no room for it: nothing was read */
    BATCH_STOPPED,  /* is_over() said so: nothing was read, and it can be tried again */
    BATCH_FAILED    /* library_error() says why; the state of the context is not known */
};

/* Computes what is wanted. `is_over` is asked meanwhile, each millisecond or so, on the CPU alone:
 * whether to stop. */
enum batch_result batch_compute(bool (*is_over)(void));

/* The row with the odds of what follows the last wanted token of the sequence; -1: it was none of
 * the batch, or has more tokens to be read. Until the next batch. */
int32_t batch_row(const struct sequence *sequence);

#endif
