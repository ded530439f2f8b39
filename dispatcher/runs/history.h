/* SPDX-License-Identifier: MIT */
/*
 * history.h - the last finished runs, for GET /v4/runs and GET /v4/runs/{id}.
 */
#ifndef DISPATCHER_HISTORY_H
#define DISPATCHER_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/runs/id_index.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/loop/text.h"
#include "millrace/check.h"

#define HISTORY_COUNT 1024u
#define HISTORY_MESSAGE_BYTES 256u

struct history_entry {
    char id[RUN_ID_BYTES];
    uint32_t owner;
    uint32_t pipeline_index;
    double created_at, updated_at;
    uint64_t line_count;
    bool failed;
    enum error_type type;
    const char *state;
    char message[HISTORY_MESSAGE_BYTES];
    struct text outputs; /* JSON text of an asynchronous run's outputs; empty: none are kept */
};

/* The newest HISTORY_COUNT runs; owned by the loop. */
struct history {
    struct history_entry *entries;
    struct id_index index;
    uint64_t count;        /* ever */
    uint64_t output_bytes; /* of all outputs that are kept */
};

int history_init(struct history *history) MUST_USE;
void history_finish(struct history *history);

/* Keeps how a run ended; `failure` NULL: completed. */
void history_add(struct history *history, const struct run *run, double now,
                 const struct run_failure *failure);

/* Gives the newest entry its outputs, which are taken over. Older outputs go when all together
 * would exceed HISTORY_OUTPUT_BYTES_MAX. */
void history_keep(struct history *history, struct text *outputs);

/* The entry of this owner with this id, or NULL. */
const struct history_entry *history_find(const struct history *history, uint32_t owner,
                                         const char *id);

/* Entry number `age` from the newest (0) of all, or NULL. */
const struct history_entry *history_at(const struct history *history, uint64_t age);

#endif
