/* SPDX-License-Identifier: MIT */
/*
 * history.h - the last finished runs, for GET /v4/runs and GET /v4/runs/{id}.
 *
 * There is room for HISTORY_COUNT of them, with what each may say of its failure, and for
 * HISTORY_OUTPUT_BYTES_MAX of their outputs. Who has most makes room for what comes, with his
 * oldest: an owner with a few results keeps them however many runs the others make.
 */
#ifndef DISPATCHER_HISTORY_H
#define DISPATCHER_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/reactor/identity.h"
#include "dispatcher/runs/id_index.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"

#define HISTORY_COUNT 1024u
/* What is kept of a failure: the beginning of its message, the end of its traceback. */
#define HISTORY_MESSAGE_BYTES_MAX ERROR_MESSAGE_BYTES_MAX
#define HISTORY_TRACEBACK_BYTES_MAX (16u * 1024)

struct history_entry {
    char id[RUN_ID_BYTES];
    uint32_t owner;
    uint32_t newer, older; /* of the same owner, or ID_NONE */
    char pipeline_id[PIPELINE_ID_BYTES];
    double created_at, started_at, first_chunk_at, updated_at; /* 0: never */
    uint64_t line_count;
    uint32_t worker; /* within its pipeline, or RUN_WORKER_NONE */
    uint32_t offer_count;
    bool failed;
    enum error_type type;
    const char *state;
    char *words; /* of one that failed: its message, then its traceback; owned; NULL: none */
    uint32_t message_bytes, traceback_bytes;
    struct text outputs; /* JSON text of an asynchronous run's outputs; empty: none are kept */
};

/* How a run ended; texts are borrowed. */
struct history_end {
    const char *id, *pipeline_id;
    uint32_t owner;
    double created_at, started_at, first_chunk_at, updated_at;
    uint64_t line_count;
    uint32_t worker, offer_count;
    bool failed;
    enum error_type type; /* of one that failed */
    const char *state;    /* a constant */
    const char *message;
    size_t message_bytes;
    const char *traceback; /* NULL: none */
    size_t traceback_bytes;
};

/* Of each owner: ends of a list, which are places among the entries or ID_NONE. */
struct history_owner {
    uint32_t newest, oldest;
    uint32_t kept; /* the oldest that has outputs */
    uint32_t count;
    uint64_t output_bytes;
};

/* Owned by the loop. */
struct history {
    struct history_entry *entries; /* HISTORY_COUNT of them */
    struct history_owner *owners;
    uint32_t owner_count;
    struct id_index index;
    uint32_t count;        /* entries in use */
    uint64_t output_bytes; /* of all outputs that are kept */
};

int history_init(struct history *history, uint32_t owner_count) MUST_USE;
void history_finish(struct history *history);

/* There may be so many owners from now on; those there are keep their numbers. 0 or -ENOMEM. */
int history_reserve_owners(struct history *history, uint32_t owner_count) MUST_USE;

/* Keeps how a run ended; without memory for its words, without them. */
void history_add(struct history *history, const struct history_end *end);

/* Gives this run of the owner a traceback that became known after its end. Nothing is done where it
 * is forgotten, did not fail or has one, nor without memory. */
void history_explain(struct history *history, uint32_t owner, const char *id, const char *traceback,
                     size_t bytes);

/* Gives the owner's newest entry its outputs, which are taken over. */
void history_keep(struct history *history, uint32_t owner, struct text *outputs);

/* The entry of this owner with this id, or NULL. */
const struct history_entry *history_find(const struct history *history, uint32_t owner,
                                         const char *id);

/* The newest entry of this owner, and the one before an entry; or NULL. */
const struct history_entry *history_newest(const struct history *history, uint32_t owner);
const struct history_entry *history_older(const struct history *history,
                                          const struct history_entry *entry);

#endif
