/* SPDX-License-Identifier: MIT */
/*
 * generate.c - runs come, are read and answered a token a step, and go.
 */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "reply.h"

/* Of prompts, in a step, where --step-budget says nothing. */
#define BUDGET_TOKENS 256

/* A place is nobody's while it has no run. */
struct generation {
    struct mr_run *run;
    uint64_t arrived;
    struct sequence *sequence; /* NULL: its prompt is not begun */
    bool waits_for_room;       /* the context has none for it, until another run is over */
    llama_token *prompt;       /* memory of the run */
    int32_t limit;             /* of tokens to be written */
    struct usage usage;
    struct request request;
    struct sampling sampling;
    struct text text;
};

static struct generation *all;
static int32_t place_count, running;
static uint64_t arrivals;
static llama_token *scratch; /* of a context's size */

int generate_open(struct mr_call *call)
{
    if (model_open(call) != 0)
        return -1;
    place_count = (int32_t)model.settings.parallel_count;
    all = calloc((size_t)place_count, sizeof *all);
    scratch = calloc((size_t)model.context_tokens, sizeof *scratch);
    if (!all || !scratch || sequences_open() != 0 || batch_open() != 0)
        return mr_fail(call, MR_ERROR_STARTUP, "out of memory");
    return 0;
}

void generate_close(void *unused)
{
    for (int32_t i = 0; all && i < place_count; i++)
        sampling_close(&all[i].sampling);
    free(all);
    free(scratch);
    batch_close();
    sequences_close();
    model_close(unused);
}

/* ---- runs come and go ---------------------------------------------------------------------- */

static struct generation *find_place(void)
{
    for (int32_t i = 0; i < place_count; i++)
        if (!all[i].run)
            return &all[i];
    return NULL;
}

static int32_t read_prompt(struct mr_run *run, struct refusal *why)
{
    const struct mr_object *prompt = mr_run_arg(run, GENERATE_PROMPT);
    const struct mr_object *messages = mr_run_arg(run, GENERATE_MESSAGES);
    if ((prompt->type == MR_NONE) == (messages->type == MR_NONE)) {
        snprintf(why->text, sizeof why->text, "give either a prompt or messages");
        return -1;
    }
    if (prompt->type != MR_NONE)
        return prompt_read(prompt, scratch, model.context_tokens, why);
    return prompt_read_messages(messages, scratch, model.context_tokens, why);
}

/* How many tokens may be written; -1, and why: there is no room for them. */
static int32_t find_limit(const struct request *request, int32_t prompt_count, struct refusal *why)
{
    int32_t room = model.context_tokens - prompt_count;
    if (room < 1) {
        snprintf(why->text, sizeof why->text,
                 "the prompt has %d tokens, and the context of %d none left for an answer",
                 prompt_count, model.context_tokens);
        return -1;
    }
    if (request->max_tokens > room) {
        snprintf(why->text, sizeof why->text,
                 "the prompt of %d tokens and max_tokens of %lld are more than the context of %d",
                 prompt_count, (long long)request->max_tokens, model.context_tokens);
        return -1;
    }
    return request->max_tokens > 0 ? (int32_t)request->max_tokens : room;
}

static int admit(struct mr_run *run)
{
    struct refusal why;
    struct generation *place = find_place();
    if (!place)
        return MR_LATER;
    struct request *request = &place->request;
    if (request_read(request, mr_run_arg(run, GENERATE_OPTIONS), &why) != 0)
        return mr_run_fail(run, MR_ERROR_INPUT, "%s", why.text);
    int32_t count = read_prompt(run, &why);
    int32_t limit = count < 0 ? -1 : find_limit(request, count, &why);
    if (limit < 0)
        return mr_run_fail(run, MR_ERROR_INPUT, "%s", why.text);
    llama_token *prompt = mr_run_alloc(run, (size_t)count * sizeof *prompt);
    if (!prompt)
        return -1;
    memcpy(prompt, scratch, (size_t)count * sizeof *prompt);
    if (sampling_open(&place->sampling, request, &why) != 0)
        return mr_run_fail(run, MR_ERROR_INPUT, "%s", why.text);
    place->run = run;
    place->arrived = ++arrivals;
    place->sequence = NULL;
    place->waits_for_room = false;
    place->prompt = prompt;
    place->limit = limit;
    place->usage = (struct usage){.prompt_tokens = count};
    place->text = (struct text){.stops = request->stops, .stop_count = request->stop_count};
    mr_run_set(run, place);
    running++;
    return 0;
}

/* Of those that wait for room the one that came first; NULL: none does. */
static struct generation *find_waiting(void)
{
    struct generation *first = NULL;
    for (int32_t i = 0; i < place_count; i++)
        if (all[i].run && all[i].waits_for_room && (!first || all[i].arrived < first->arrived))
            first = &all[i];
    return first;
}

static void leave(struct generation *place)
{
    if (place->sequence)
        sequence_give_back(place->sequence);
    sampling_close(&place->sampling);
    place->run = NULL;
    place->sequence = NULL;
    running--;
    struct generation *first = find_waiting();
    if (first)
        first->waits_for_room = false;
}

static void evict(struct mr_run *run)
{
    leave(mr_run_get(run));
}

/* ---- what a step reads --------------------------------------------------------------------- */

/* Runs that are in, in the order in which they came. */
static int compare(const void *left, const void *right)
{
    const struct generation *const *a = left, *const *b = right;
    return (*a)->arrived < (*b)->arrived ? -1 : 1;
}

static int32_t list_runs(struct generation **list)
{
    int32_t count = 0;
    for (int32_t i = 0; i < place_count; i++)
        if (all[i].run)
            list[count++] = &all[i];
    qsort(list, (size_t)count, sizeof *list, compare);
    return count;
}

static int32_t count_unread(const struct generation *place)
{
    return place->sequence->count - place->sequence->kept;
}

/* Those that wait because another one reads the same beginning are asked again with each step. */
static void begin(struct generation *place)
{
    place->sequence = sequence_take(place->prompt, place->usage.prompt_tokens, running);
    if (place->sequence)
        place->usage.cached_tokens = place->sequence->kept;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Of prompts: the first one that came has half of the budget at least; then the shortest comes
 * first, so that a long one does not hold up many. */
static void want_prompts(struct generation **reading, int32_t count)
{
    uint64_t most = model.settings.batch_tokens, told = mr_step_budget(BUDGET_TOKENS);
    int32_t left = (int32_t)(told < most ? told : most);
    int32_t first = least(count_unread(reading[0]), (left + 1) / 2);
    left -= first;
    for (int32_t done = 1; done < count && left > 0; done++) {
        int32_t shortest = done;
        for (int32_t i = done + 1; i < count; i++)
            if (count_unread(reading[i]) < count_unread(reading[shortest]))
                shortest = i;
        struct generation *place = reading[shortest];
        memmove(&reading[done + 1], &reading[done], (size_t)(shortest - done) * sizeof *reading);
        reading[done] = place;
        int32_t taken = least(count_unread(place), left);
        batch_want(place->sequence, taken);
        left -= taken;
    }
    batch_want(reading[0]->sequence, least(count_unread(reading[0]), first + left));
}

/* Returns how many runs take part. */
static int32_t plan(void)
{
    struct generation *list[PARALLEL_COUNT_MAX] = {NULL}, *reading[PARALLEL_COUNT_MAX];
    int32_t count = list_runs(list), reading_count = 0, writing_count = 0;
    bool is_crowded = find_waiting() != NULL;
    batch_clear();
    for (int32_t i = 0; i < count; i++) {
        struct generation *place = list[i];
        if (mr_run_is_full(place->run) || place->waits_for_room)
            continue;
        if (!place->sequence && !is_crowded)
            begin(place);
        if (!place->sequence)
            continue;
        if (count_unread(place) == 1) {
            batch_want(place->sequence, 1);
            writing_count++;
        } else {
            reading[reading_count++] = place;
        }
    }
    if (reading_count > 0)
        want_prompts(reading, reading_count);
    return writing_count + reading_count;
}

/* ---- what comes of it ---------------------------------------------------------------------- */

static bool has_cancelled_reader(void)
{
    for (int32_t i = 0; i < place_count; i++)
        if (all[i].run && all[i].sequence && all[i].sequence->is_reading &&
            mr_run_is_cancelled(all[i].run))
            return true;
    return false;
}

/* Adds a token to the answer. Returns why it ends with it, or NULL. */
static const char *add_token(struct generation *place, llama_token token)
{
    struct sequence *sequence = place->sequence;
    char piece[TEXT_PIECE_BYTES_MAX];
    place->usage.completion_tokens++;
    if (!place->request.ignores_end && library.llama_vocab_is_eog(model.vocab, token))
        return "stop";
    int32_t bytes = library.llama_token_to_piece(model.vocab, token, piece, sizeof piece, 0, false);
    if (bytes > 0)
        text_add(&place->text, piece, (size_t)bytes);
    if (place->text.is_stopped)
        return "stop";
    if (place->usage.completion_tokens == place->limit)
        return "length";
    sequence->tokens[sequence->count++] = token;
    return NULL;
}

static void write_token(struct generation *place, int32_t row)
{
    struct mr_run *run = place->run;
    llama_token token = sampling_take(&place->sampling, row);
    place->sequence->is_reading = false;
    if (token < 0) {
        leave(place);
        mr_run_fail(run, MR_ERROR_INPUT, "no word of the model goes on as the grammar demands");
        return;
    }
    const char *reason = add_token(place, token);
    if (reason)
        text_end(&place->text);
    reply_emit(run, &(struct reply){&place->request, &place->text, row, token, reason,
                                    &place->usage, place->sampling.seed});
    text_take(&place->text);
    if (!reason)
        return;
    leave(place);
    mr_run_finish(run);
}

/* True: the one is to wait rather than the other. */
static bool waits_rather(const struct generation *one, const struct generation *other)
{
    bool is_full = mr_run_is_full(one->run);
    if (is_full != mr_run_is_full(other->run))
        return is_full;
    return one->arrived > other->arrived;
}

/* What runs left behind goes first. Then a run has to wait until another one is over: one whose
 * client does not read, or else the one that came last. What it has read and written is read again
 * later. One alone has room: the context is no smaller than a run may be. */
static int make_room(void)
{
    struct generation *waits = NULL;
    int32_t count = 0;
    if (sequences_forget_unused())
        return 0;
    for (int32_t i = 0; i < place_count; i++) {
        struct generation *place = &all[i];
        if (!place->run || !place->sequence || place->waits_for_room)
            continue;
        count++;
        if (!waits || waits_rather(place, waits))
            waits = place;
    }
    if (count < 2)
        return mr_engine_fail(MR_ERROR_PIPELINE, "the context has no room for one run");
    waits->waits_for_room = waits->sequence->is_reading = true;
    sequence_cut(waits->sequence, 0);
    return 0;
}

static int step(void *unused)
{
    (void)unused;
    if (plan() == 0)
        return MR_LATER;
    switch (batch_compute(has_cancelled_reader)) {
    case BATCH_DONE:
        break;
    case BATCH_NO_ROOM:
        return make_room();
    case BATCH_STOPPED:
        mr_log(MR_LOG_DEBUG, "a step was stopped: a run was cancelled that read its prompt");
        return 0; /* it is evicted before the next one */
    case BATCH_FAILED:
    default:
        sequences_forget_all();
        return mr_engine_fail(model_error_kind(), "the model failed: %s", library_error());
    }
    for (int32_t i = 0; i < place_count; i++) {
        struct generation *place = &all[i];
        int32_t row = place->run && place->sequence ? batch_row(place->sequence) : -1;
        if (row >= 0)
            write_token(place, row);
    }
    return 0;
}

static int capacity(void *unused)
{
    (void)unused;
    return place_count;
}

const struct mr_engine generate_engine = {
    .admit = admit, .step = step, .evict = evict, .capacity = capacity};
