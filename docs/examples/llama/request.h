/* SPDX-License-Identifier: MIT */
/*
 * request.h - the options of a run, checked: `options`, a dictionary, as README.md lists them.
 */
#ifndef LLAMA_REQUEST_H
#define LLAMA_REQUEST_H

#include "prompt.h"
#include "text.h"

#define TOP_LOGPROBS_MAX 20

struct request {
    double temperature;
    double top_p, min_p;
    int64_t top_k;
    double repeat_penalty, frequency_penalty, presence_penalty;
    int64_t repeat_last_n;
    int64_t seed;        /* -1: any */
    int64_t max_tokens;  /* -1: as many as the context has room for */
    int64_t logprobs;    /* -1: none; else how many besides that of the token itself */
    bool is_plain;       /* strings, in the place of objects */
    bool ignores_end;    /* a word that ends answers is a word like others */
    const char *grammar; /* NULL: none; of the run's arguments, as stop strings are */
    size_t stop_count;
    struct stop stops[STOP_COUNT_MAX];
};

/* JSON Schema of what request_read() takes. */
extern const char request_schema[];

/* Returns 0, or -1 and why. `options` may be none. */
int request_read(struct request *request, const struct mr_object *options, struct refusal *why);

#endif
