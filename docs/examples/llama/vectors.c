/* SPDX-License-Identifier: MIT */
/*
 * vectors.c - as many texts in a batch as there is room for, some of each run.
 */
#include "vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prompt.h"

#define TEXT_COUNT_MAX 4096

struct vectors {
    struct mr_run *run;
    const struct mr_object *texts;
    size_t count, next; /* texts, and the first one that was not sent */
    bool is_normalized;
};

/* What a sequence of the batch is. */
struct row {
    struct vectors *owner;
    size_t index;
    int32_t tokens;
};

static struct vectors *all;
static struct row *rows;
static int32_t place_count, width, turn;
static struct llama_batch batch;
static llama_token *scratch;

int vectors_open(struct mr_call *call)
{
    if (model_open_for_vectors(call) != 0)
        return -1;
    place_count = (int32_t)model.settings.parallel_count;
    width = library.llama_model_n_embd_out(model.weights);
    all = calloc((size_t)place_count, sizeof *all);
    rows = calloc((size_t)place_count, sizeof *rows);
    scratch = calloc((size_t)model.batch_tokens, sizeof *scratch);
    batch = library.llama_batch_init(model.batch_tokens, 0, 1);
    if (!all || !rows || !scratch || !batch.token)
        return mr_fail(call, MR_ERROR_STARTUP, "out of memory");
    return 0;
}

void vectors_close(void *unused)
{
    free(all);
    free(rows);
    free(scratch);
    if (batch.token)
        library.llama_batch_free(batch);
    model_close(unused);
}

/* ---- runs come and go ---------------------------------------------------------------------- */

static int admit(struct mr_run *run)
{
    struct vectors *place = NULL;
    for (int32_t i = 0; i < place_count && !place; i++)
        if (!all[i].run)
            place = &all[i];
    if (!place)
        return MR_LATER;
    const struct mr_object *texts = mr_run_arg(run, VECTORS_TEXTS);
    const struct mr_object *normalize = mr_run_arg(run, VECTORS_NORMALIZE);
    size_t count = texts->u.array.count;
    if (count < 1 || count > TEXT_COUNT_MAX)
        return mr_run_fail(run, MR_ERROR_INPUT, "texts: from 1 to %d", TEXT_COUNT_MAX);
    for (size_t i = 0; i < count; i++)
        if (texts->u.array.items[i].type != MR_STRING)
            return mr_run_fail(run, MR_ERROR_INPUT, "texts[%zu] is no string", i);
    *place = (struct vectors){run, texts->u.array.items, count, 0,
                              normalize->type == MR_NONE || normalize->u.boolean};
    mr_run_set(run, place);
    return 0;
}

static void evict(struct mr_run *run)
{
    struct vectors *place = mr_run_get(run);
    place->run = NULL;
}

/* ---- a step -------------------------------------------------------------------------------- */

/* True: the text is in the batch; false: there is no room left for it, or its run has failed. */
static bool add_text(struct vectors *owner, size_t index, int32_t id)
{
    struct refusal why;
    int32_t count = prompt_read(&owner->texts[index], scratch, model.batch_tokens, &why);
    if (count < 0 && index == owner->next) {
        mr_run_fail(owner->run, MR_ERROR_INPUT, "texts[%zu]: %s", index, why.text);
        owner->run = NULL;
    }
    if (count < 0 || count > model.batch_tokens - batch.n_tokens)
        return false;
    for (int32_t i = 0; i < count; i++) {
        int32_t row = batch.n_tokens++;
        batch.token[row] = scratch[i];
        batch.pos[row] = i;
        batch.n_seq_id[row] = 1;
        batch.seq_id[row][0] = id;
        batch.logits[row] = true;
    }
    rows[id] = (struct row){owner, index, count};
    return true;
}

/* Fills the batch, another run first each time; returns how many texts it has. */
static int32_t fill(void)
{
    int32_t count = 0;
    batch.n_tokens = 0;
    turn = (turn + 1) % place_count;
    for (int32_t i = 0; i < place_count; i++) {
        struct vectors *owner = &all[(turn + i) % place_count];
        if (!owner->run || mr_run_is_full(owner->run))
            continue;
        size_t index = owner->next;
        while (owner->run && index < owner->count && count < place_count &&
               add_text(owner, index, count)) {
            index++;
            count++;
        }
    }
    return count;
}

static float length_of(const float *vector)
{
    double sum = 0;
    for (int32_t i = 0; i < width; i++)
        sum += (double)vector[i] * (double)vector[i];
    return sum > 0 ? (float)sqrt(sum) : 1;
}

static void put(struct mr_value *value, const struct row *row, const float *vector)
{
    float length = row->owner->is_normalized ? length_of(vector) : 1;
    mr_value_dictionary(value, 3);
    mr_value_string(value, "index", 5);
    mr_value_integer(value, (int64_t)row->index);
    mr_value_string(value, "tokens", 6);
    mr_value_integer(value, row->tokens);
    mr_value_string(value, "embedding", 9);
    mr_value_array(value, (size_t)width);
    for (int32_t i = 0; i < width; i++)
        mr_value_fp(value, (double)(vector[i] / length));
}

/* What a client does not take now is computed again. */
static void send(const struct row *row, const float *vector)
{
    struct vectors *owner = row->owner;
    if (!owner->run || row->index != owner->next)
        return;
    struct mr_value *value = mr_emit(owner->run);
    if (!value)
        return;
    put(value, row, vector);
    owner->next++;
    if (owner->next < owner->count)
        return;
    mr_run_finish(owner->run);
    owner->run = NULL;
}

static int step(void *unused)
{
    (void)unused;
    int32_t count = fill();
    if (count == 0)
        return MR_LATER;
    library_forget_error();
    int32_t rc = library.llama_decode(model.context, batch);
    for (int32_t id = 0; rc == 0 && id < count; id++) {
        const float *vector = library.llama_get_embeddings_seq(model.context, id);
        if (vector)
            send(&rows[id], vector);
        else
            rc = -1;
    }
    if (model.memory)
        library.llama_memory_clear(model.memory, false);
    if (rc != 0)
        return mr_engine_fail(model_error_kind(), "the model failed (%d): %s", rc, library_error());
    return 0;
}

static int capacity(void *unused)
{
    (void)unused;
    return place_count;
}

const struct mr_engine vectors_engine = {
    .admit = admit, .step = step, .evict = evict, .capacity = capacity};
