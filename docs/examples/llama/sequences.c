/* SPDX-License-Identifier: MIT */
/*
 * sequences.c - prefixes in common.
 *
 * Where each run has a part of the context of its own, llama.cpp copies the whole part: that is
 * worth it for some number of tokens only. Where all share it a copy is but a mark.
 */
#include "sequences.h"

#include <stdlib.h>
#include <string.h>

#define TAKEN_TOKENS_MIN 16
/* A copy moves all of a part, however little of it is in use. */
#define COPIED_PART_MIN 64
/* Rows of runs that are over are kept this long at least; beyond the runs that are in. */
#define SPARE_COUNT_MIN 8

static struct sequence *all;
static int32_t sequence_count;
static uint64_t turn;

int sequences_open(void)
{
    sequence_count = (int32_t)model.settings.parallel_count;
    all = calloc((size_t)sequence_count, sizeof *all);
    if (!all)
        return -1;
    for (int32_t i = 0; i < sequence_count; i++) {
        all[i].id = i;
        all[i].tokens = calloc((size_t)model.context_tokens, sizeof(llama_token));
        if (!all[i].tokens)
            return -1;
    }
    return 0;
}

void sequences_close(void)
{
    for (int32_t i = 0; all && i < sequence_count; i++)
        free(all[i].tokens);
    free(all);
    all = NULL;
}

struct sequence *sequence_at(int32_t id)
{
    return &all[id];
}

static int32_t count_common(const struct sequence *sequence, int32_t limit,
                            const llama_token *prompt, int32_t count)
{
    int32_t most = limit < count ? limit : count, common = 0;
    while (common < most && sequence->tokens[common] == prompt[common])
        common++;
    return common;
}

static int32_t count_worth_copying(void)
{
    int32_t part = model.context_tokens / COPIED_PART_MIN;
    bool is_shared = model.settings.shared_tokens > 0;
    return is_shared || part < TAKEN_TOKENS_MIN ? TAKEN_TOKENS_MIN : part;
}

/* Some models cannot forget a part of what they have read. */
void sequence_cut(struct sequence *sequence, int32_t kept)
{
    sequence->kept = kept;
    if (library.llama_memory_seq_rm(model.memory, sequence->id, kept, -1))
        return;
    library.llama_memory_seq_rm(model.memory, sequence->id, -1, -1);
    sequence->kept = 0;
}

/* Of those that no run has the one that was left first. Few of them are looked at: runs that are
 * next to each other are computed together. */
static struct sequence *find_unused(const struct sequence *besides, int32_t running)
{
    int32_t spare = sequence_count / 4 > SPARE_COUNT_MIN ? sequence_count / 4 : SPARE_COUNT_MIN;
    int32_t most = running + spare < sequence_count ? running + spare : sequence_count;
    struct sequence *found = NULL;
    for (int32_t i = 0; i < sequence_count && (i < most || !found); i++) {
        struct sequence *sequence = &all[i];
        if (!sequence->is_used && sequence != besides &&
            (!found || sequence->used_at < found->used_at))
            found = sequence;
    }
    return found;
}

/* The one that begins most like the prompt; NULL where one will soon that is being read. */
static struct sequence *find_alike(const llama_token *prompt, int32_t count, int32_t *common)
{
    struct sequence *best = &all[0];
    int32_t most = 0, soon = 0;
    for (int32_t i = 0; model.can_share && i < sequence_count; i++) {
        struct sequence *sequence = &all[i];
        int32_t alike = count_common(sequence, sequence->kept, prompt, count - 1);
        if (alike > most) {
            best = sequence;
            most = alike;
        }
        int32_t later =
            sequence->is_reading ? count_common(sequence, sequence->count, prompt, count - 1) : 0;
        if (later > soon)
            soon = later;
    }
    if (soon > most && soon >= count_worth_copying())
        return NULL;
    *common = most;
    return best;
}

static void copy(const struct sequence *from, struct sequence *to, int32_t common)
{
    bool is_shared = model.settings.shared_tokens > 0;
    library.llama_memory_seq_rm(model.memory, to->id, -1, -1);
    library.llama_memory_seq_cp(model.memory, from->id, to->id, is_shared ? 0 : -1,
                                is_shared ? common : -1);
    sequence_cut(to, common);
}

struct sequence *sequence_take(const llama_token *prompt, int32_t count, int32_t running)
{
    int32_t common = 0;
    struct sequence *alike = find_alike(prompt, count, &common), *taken;
    if (!alike)
        return NULL;
    int32_t least = count_worth_copying();
    struct sequence *unused = find_unused(common > 0 ? alike : NULL, running);
    bool is_free = !alike->is_used && common > 0;
    if (is_free && (!unused || common < least || 2 * common >= alike->kept)) {
        taken = alike;
        sequence_cut(taken, common);
    } else if (common >= least) {
        taken = unused;
        copy(alike, taken, common);
    } else {
        taken = unused;
        sequence_cut(taken, 0);
    }
    memcpy(taken->tokens, prompt, (size_t)count * sizeof *prompt);
    taken->count = count;
    taken->is_used = taken->is_reading = true;
    return taken;
}

void sequence_give_back(struct sequence *sequence)
{
    sequence->is_used = sequence->is_reading = false;
    sequence->count = sequence->kept;
    sequence->used_at = ++turn;
}

bool sequences_forget_unused(void)
{
    bool has_forgotten = false;
    for (int32_t i = 0; i < sequence_count; i++) {
        if (all[i].is_used || all[i].kept == 0)
            continue;
        sequence_cut(&all[i], 0);
        all[i].count = 0;
        has_forgotten = true;
    }
    return has_forgotten;
}

void sequences_forget_all(void)
{
    library.llama_memory_clear(model.memory, false);
    for (int32_t i = 0; i < sequence_count; i++)
        all[i].kept = 0;
}
