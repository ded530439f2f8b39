/* SPDX-License-Identifier: MIT */
/*
 * run_text.h - a run as JSON text, as all formats and the lists of runs show it (docs/api.md,
 * section 3).
 */
#ifndef DISPATCHER_RUN_TEXT_H
#define DISPATCHER_RUN_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/api/api.h"
#include "dispatcher/config/config.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/text/text.h"

/* What only those are told who ask for a run that others made: in Unix seconds, 0: not yet. */
struct run_course {
    double queued, started, first_chunk, ended;
    uint32_t worker; /* or RUN_WORKER_NONE */
    uint32_t attempt;
};

struct run_text {
    const char *id, *pipeline_id, *state;
    double created_at, updated_at;
    long queue_position;               /* -1: null */
    int64_t line_count;                /* -1: not said */
    const struct text *outputs;        /* JSON text of the array; NULL: null */
    const struct run_failure *failure; /* NULL: no error */
    bool has_traceback;                /* clients may see that of the failure */
    const struct run_course *course;   /* NULL: not said */
};

/* Adds the run as a line, newline included. */
void run_text_format(struct text *text, const struct run_text *run);

/* Adds what is posted to a callback_url: {"inputs":null,"outputs":...,"error":...}. */
void run_text_callback(struct text *text, const struct api *api, const struct run_failure *failure,
                       const struct text *outputs);

/* Of the head of an answer: which pipeline an alias led to, in `text`; NULL: the run was not asked
 * for by one. */
#define RUN_TEXT_HEADERS_BYTES (POINTER_BYTES_MAX + 32)
const char *run_text_headers(const struct run *run, char text[RUN_TEXT_HEADERS_BYTES]);

/* Whether clients may see tracebacks. */
static inline bool run_text_shows_tracebacks(const struct api *api)
{
    return api->config->tracebacks == TRACEBACKS_CLIENT;
}

/* Adds how this run ended now; `failure` NULL: completed. `line_count` as above. */
void run_text_end(struct text *text, const struct api *api, const struct run *run,
                  const struct run_failure *failure, int64_t line_count,
                  const struct text *outputs);

#endif
