/* SPDX-License-Identifier: MIT */
/*
 * vectors.h - the engine that makes embeddings: texts of all runs, in one batch.
 */
#ifndef LLAMA_VECTORS_H
#define LLAMA_VECTORS_H

#include <millrace/pipeline.h>

extern const struct mr_engine vectors_engine;

int vectors_open(struct mr_call *call);
void vectors_close(void *unused);

enum { VECTORS_TEXTS = 0, VECTORS_NORMALIZE };

#endif
