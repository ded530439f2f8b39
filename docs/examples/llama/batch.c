/* SPDX-License-Identifier: MIT */
/*
 * batch.c - rows of a batch, in the order of their sequences.
 *
 * Where each run has a part of the context of its own, llama.cpp computes those sequences together
 * whose ids follow each other. A gap of a few, of runs that are over or whose clients do not read,
 * is bridged by a row of each that is forgotten at once: that costs less than to go through the
 * weights once more.
 */
#include "batch.h"

#include <stdlib.h>
#include <time.h>

#define BRIDGED_COUNT_MAX 4
#define ASK_NS 1000000

static struct llama_batch rows;
/* Of each sequence: how many tokens are wanted, and the row of the last one. */
static int32_t *wanted, *last_row;
static bool *is_bridged;
static int32_t sequence_count;
static bool (*is_over_now)(void);
static int64_t asked_ns;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ggml asks between the parts of its work, in the thread that called it. */
static bool should_stop(void *unused)
{
    (void)unused;
    int64_t at_ns = now_ns();
    if (at_ns - asked_ns < ASK_NS)
        return false;
    asked_ns = at_ns;
    return is_over_now && is_over_now();
}

int batch_open(void)
{
    sequence_count = (int32_t)model.settings.parallel_count;
    rows = library.llama_batch_init(model.batch_tokens, 0, 1);
    wanted = calloc((size_t)sequence_count, sizeof *wanted);
    last_row = calloc((size_t)sequence_count, sizeof *last_row);
    is_bridged = calloc((size_t)sequence_count, sizeof *is_bridged);
    if (!rows.token || !wanted || !last_row || !is_bridged)
        return -1;
    library.llama_set_abort_callback(model.context, should_stop, NULL);
    return 0;
}

void batch_close(void)
{
    if (rows.token)
        library.llama_batch_free(rows);
    free(wanted);
    free(last_row);
    free(is_bridged);
}

void batch_clear(void)
{
    for (int32_t i = 0; i < sequence_count; i++)
        wanted[i] = 0;
}

void batch_want(const struct sequence *sequence, int32_t count)
{
    wanted[sequence->id] = count;
}

int32_t batch_row(const struct sequence *sequence)
{
    return last_row[sequence->id];
}

static void add_row(llama_token token, int32_t place, int32_t id, bool has_odds)
{
    int32_t row = rows.n_tokens++;
    rows.token[row] = token;
    rows.pos[row] = place;
    rows.n_seq_id[row] = 1;
    rows.seq_id[row][0] = id;
    rows.logits[row] = has_odds;
    if (has_odds)
        last_row[id] = row;
}

static void add_sequence(const struct sequence *sequence)
{
    for (int32_t i = 0; i < wanted[sequence->id]; i++) {
        int32_t place = sequence->kept + i;
        add_row(sequence->tokens[place], place, sequence->id, place + 1 == sequence->count);
    }
}

/* Between two ids that are in the batch. */
static void bridge(int32_t before, int32_t behind)
{
    if (!model.can_share || model.settings.shared_tokens > 0 ||
        behind - before - 1 > BRIDGED_COUNT_MAX)
        return;
    for (int32_t id = before + 1; id < behind; id++)
        if (sequence_at(id)->kept >= model.context_tokens)
            return;
    for (int32_t id = before + 1; id < behind; id++) {
        add_row(0, sequence_at(id)->kept, id, false);
        is_bridged[id] = true;
    }
}

static void build(void)
{
    int32_t before = -1;
    rows.n_tokens = 0;
    for (int32_t id = 0; id < sequence_count; id++) {
        last_row[id] = -1;
        is_bridged[id] = false;
        if (wanted[id] == 0)
            continue;
        if (before >= 0)
            bridge(before, id);
        add_sequence(sequence_at(id));
        before = id;
    }
}

/* Of each sequence the context has what it had before, or that and what was wanted. */
static void settle(bool is_read)
{
    for (int32_t id = 0; id < sequence_count; id++) {
        struct sequence *sequence = sequence_at(id);
        if (wanted[id] > 0 && is_read)
            sequence->kept += wanted[id];
        else if (wanted[id] > 0 || is_bridged[id])
            sequence_cut(sequence, sequence->kept);
    }
}

enum batch_result batch_compute(bool (*is_over)(void))
{
    build();
    library_forget_error();
    is_over_now = is_over;
    asked_ns = now_ns();
    int32_t rc = library.llama_decode(model.context, rows);
    if (rc == 1) {
        settle(false);
        return BATCH_NO_ROOM;
    }
    if (rc == 2) {
        settle(false);
        return BATCH_STOPPED;
    }
    if (rc != 0)
        return BATCH_FAILED;
    settle(true);
    return BATCH_DONE;
}
