/* SPDX-License-Identifier: MIT */
/* history.c - finished runs, a list for each owner. */
#include "dispatcher/runs/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "millrace/limits.h"

static struct history_entry *history_place_find(struct history *history, uint32_t adder);
static void history_link_newest(struct history *history, struct history_entry *entry);

int history_init(struct history *history, uint32_t owner_count)
{
    *history = (struct history){.entries = calloc(HISTORY_COUNT, sizeof(*history->entries)),
                                .owners = calloc(owner_count, sizeof(*history->owners)),
                                .owner_count = owner_count};
    if (!history->entries || !history->owners)
        return -ENOMEM;
    for (uint32_t i = 0; i < owner_count; i++)
        history->owners[i].newest = history->owners[i].oldest = history->owners[i].kept = ID_NONE;
    return id_index_init(&history->index, HISTORY_COUNT);
}

int history_reserve_owners(struct history *history, uint32_t owner_count)
{
    if (owner_count <= history->owner_count)
        return 0;
    struct history_owner *owners = realloc(history->owners, owner_count * sizeof *owners);
    if (!owners)
        return -ENOMEM;
    history->owners = owners;
    for (; history->owner_count < owner_count; history->owner_count++)
        owners[history->owner_count] =
            (struct history_owner){.newest = ID_NONE, .oldest = ID_NONE, .kept = ID_NONE};
    return 0;
}

void history_finish(struct history *history)
{
    for (uint32_t i = 0; i < history->count; i++) {
        text_finish(&history->entries[i].outputs);
        free(history->entries[i].words);
    }
    free(history->entries);
    free(history->owners);
    id_index_finish(&history->index);
    *history = (struct history){0};
}

static uint32_t history_place_of(const struct history *history, const struct history_entry *entry)
{
    return (uint32_t)(entry - history->entries);
}

/* ---- what has to go -------------------------------------------------------------------------- */

static void history_outputs_drop(struct history *history, struct history_entry *entry)
{
    struct history_owner *owner = &history->owners[entry->owner];
    owner->output_bytes -= entry->outputs.count;
    history->output_bytes -= entry->outputs.count;
    text_finish(&entry->outputs);
    if (owner->kept != history_place_of(history, entry))
        return;
    while (owner->kept != ID_NONE && history->entries[owner->kept].outputs.count == 0)
        owner->kept = history->entries[owner->kept].newer;
}

/* Whose oldest entry makes room for one of `adder`: his who would have most of them, himself if
 * others have as many. When all places are taken, somebody has one. */
static uint32_t history_longest(const struct history *history, uint32_t adder)
{
    uint32_t longest = adder;
    for (uint32_t i = 0; i < history->owner_count; i++)
        if (history->owners[i].count > history->owners[longest].count + (longest == adder))
            longest = i;
    return longest;
}

/* Likewise whose outputs make room for `bytes` more of `adder`; ID_NONE: none are kept. */
static uint32_t history_largest(const struct history *history, uint32_t adder, uint64_t bytes)
{
    uint32_t largest = ID_NONE;
    uint64_t most = 0;
    for (uint32_t i = 0; i < history->owner_count; i++) {
        uint64_t held = history->owners[i].output_bytes + (i == adder ? bytes : 0);
        if (history->owners[i].kept != ID_NONE && (held > most || (held == most && i == adder))) {
            largest = i;
            most = held;
        }
    }
    return largest;
}

/* Takes the oldest entry off its owner's list. There is one. */
static struct history_entry *history_oldest_take(struct history *history,
                                                 struct history_owner *owner)
{
    mr_assert(owner->oldest != ID_NONE);
    struct history_entry *entry = &history->entries[owner->oldest];
    history_outputs_drop(history, entry);
    free(entry->words);
    entry->words = NULL;
    id_index_remove(&history->index, entry->id, owner->oldest);
    owner->oldest = entry->newer;
    if (owner->oldest == ID_NONE)
        owner->newest = ID_NONE;
    else
        history->entries[owner->oldest].older = ID_NONE;
    owner->count--;
    return entry;
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void history_words_keep(struct history_entry *entry, const struct history_end *end)
{
    size_t message = end->message_bytes, traceback = end->traceback ? end->traceback_bytes : 0;
    size_t skipped = 0;
    if (message > HISTORY_MESSAGE_BYTES_MAX)
        message = HISTORY_MESSAGE_BYTES_MAX;
    if (traceback > HISTORY_TRACEBACK_BYTES_MAX)
        skipped = traceback - HISTORY_TRACEBACK_BYTES_MAX; /* what failed is at its end */
    /* Not in the middle of a character. */
    while (skipped > 0 && skipped < traceback && (end->traceback[skipped] & 0xc0) == 0x80)
        skipped++;
    traceback -= skipped;
    if (message + traceback == 0)
        return;
    entry->words = malloc(message + traceback);
    if (!entry->words)
        return;
    memcpy(entry->words, end->message, message);
    if (traceback > 0)
        memcpy(entry->words + message, end->traceback + skipped, traceback);
    entry->message_bytes = (uint32_t)message;
    entry->traceback_bytes = (uint32_t)traceback;
}

void history_add(struct history *history, const struct history_end *end)
{
    mr_assert(end->owner < history->owner_count);
    struct history_entry *entry = history_place_find(history, end->owner);
    *entry = (struct history_entry){.owner = end->owner,
                                    .created_at = end->created_at,
                                    .started_at = end->started_at,
                                    .first_chunk_at = end->first_chunk_at,
                                    .updated_at = end->updated_at,
                                    .line_count = end->line_count,
                                    .worker = end->worker,
                                    .offer_count = end->offer_count,
                                    .failed = end->failed,
                                    .type = end->type,
                                    .state = end->state};
    memcpy(entry->id, end->id, sizeof entry->id);
    memcpy(entry->pipeline_id, end->pipeline_id, sizeof entry->pipeline_id);
    if (end->failed)
        history_words_keep(entry, end);
    id_index_add(&history->index, entry->id, history_place_of(history, entry));
    history_link_newest(history, entry);
}

void history_explain(struct history *history, uint32_t owner, const char *id, const char *traceback,
                     size_t bytes)
{
    mr_assert(bytes <= HISTORY_TRACEBACK_BYTES_MAX);
    const struct history_entry *found = history_find(history, owner, id);
    if (!found || !found->failed || found->traceback_bytes > 0)
        return;
    struct history_entry *entry = &history->entries[found - history->entries];
    char *words = realloc(entry->words, entry->message_bytes + bytes);
    if (!words)
        return;
    memcpy(words + entry->message_bytes, traceback, bytes);
    entry->words = words;
    entry->traceback_bytes = (uint32_t)bytes;
}

void history_keep(struct history *history, uint32_t owner_index, struct text *outputs)
{
    struct history_owner *owner = &history->owners[owner_index];
    mr_assert(owner->newest != ID_NONE);
    struct history_entry *entry = &history->entries[owner->newest];
    mr_assert(entry->outputs.count == 0);
    while (history->output_bytes + outputs->count > HISTORY_OUTPUT_BYTES_MAX) {
        uint32_t from = history_largest(history, owner_index, outputs->count);
        if (from == ID_NONE)
            break; /* it is larger than all that may be kept, and the only one */
        history_outputs_drop(history, &history->entries[history->owners[from].kept]);
    }
    entry->outputs = *outputs;
    *outputs = (struct text){0};
    if (entry->outputs.count > 0 && owner->kept == ID_NONE)
        owner->kept = owner->newest;
    owner->output_bytes += entry->outputs.count;
    history->output_bytes += entry->outputs.count;
}

static struct history_entry *history_place_find(struct history *history, uint32_t adder)
{
    if (history->count < HISTORY_COUNT)
        return &history->entries[history->count++];
    return history_oldest_take(history, &history->owners[history_longest(history, adder)]);
}

static void history_link_newest(struct history *history, struct history_entry *entry)
{
    struct history_owner *owner = &history->owners[entry->owner];
    uint32_t place = history_place_of(history, entry);
    entry->newer = ID_NONE;
    entry->older = owner->newest;
    if (owner->newest == ID_NONE)
        owner->oldest = place;
    else
        history->entries[owner->newest].newer = place;
    owner->newest = place;
    owner->count++;
}

/* ---- looking up ------------------------------------------------------------------------------ */

const struct history_entry *history_newest(const struct history *history, uint32_t owner)
{
    mr_assert(owner < history->owner_count);
    uint32_t place = history->owners[owner].newest;
    return place == ID_NONE ? NULL : &history->entries[place];
}

const struct history_entry *history_older(const struct history *history,
                                          const struct history_entry *entry)
{
    return entry->older == ID_NONE ? NULL : &history->entries[entry->older];
}

const struct history_entry *history_find(const struct history *history, uint32_t owner,
                                         const char *id)
{
    for (uint32_t i = id_index_first(&history->index, id); i != ID_NONE;
         i = id_index_next(&history->index, i))
        if (strcmp(history->entries[i].id, id) == 0 && history->entries[i].owner == owner)
            return &history->entries[i];
    return NULL;
}
