/* SPDX-License-Identifier: MIT */
/* history.c - a circle of finished runs. */
#include "dispatcher/runs/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "millrace/limits.h"

int history_init(struct history *history)
{
    *history = (struct history){.entries = calloc(HISTORY_COUNT, sizeof(struct history_entry))};
    return history->entries ? id_index_init(&history->index, HISTORY_COUNT) : -ENOMEM;
}

static void outputs_drop(struct history *history, struct history_entry *entry)
{
    history->output_bytes -= entry->outputs.count;
    text_finish(&entry->outputs);
}

void history_finish(struct history *history)
{
    for (size_t i = 0; history->entries && i < HISTORY_COUNT; i++)
        outputs_drop(history, &history->entries[i]);
    free(history->entries);
    id_index_finish(&history->index);
    *history = (struct history){0};
}

void history_add(struct history *history, const struct run *run, double now,
                 const struct run_failure *failure)
{
    uint32_t place = (uint32_t)(history->count % HISTORY_COUNT);
    struct history_entry *entry = &history->entries[place];
    outputs_drop(history, entry);
    if (history->count++ >= HISTORY_COUNT)
        id_index_remove(&history->index, entry->id, place);
    *entry = (struct history_entry){.owner = run->owner,
                                    .pipeline_index = run->pipeline_index,
                                    .created_at = run->created_at,
                                    .updated_at = now,
                                    .line_count = run->line_count,
                                    .state = "completed"};
    memcpy(entry->id, run->id, sizeof(entry->id));
    id_index_add(&history->index, entry->id, place);
    if (!failure)
        return;
    size_t count = failure->message_count;
    if (count > HISTORY_MESSAGE_BYTES - 1)
        count = HISTORY_MESSAGE_BYTES - 1;
    entry->failed = true;
    entry->type = failure->type;
    entry->state = failure->state ? failure->state : "failed";
    memcpy(entry->message, failure->message, count);
    entry->message[count] = '\0';
}

void history_keep(struct history *history, struct text *outputs)
{
    mr_assert(history->count > 0);
    uint64_t oldest = history->count > HISTORY_COUNT ? history->count - HISTORY_COUNT : 0;
    for (; oldest < history->count; oldest++) {
        if (history->output_bytes + outputs->count <= HISTORY_OUTPUT_BYTES_MAX)
            break;
        outputs_drop(history, &history->entries[oldest % HISTORY_COUNT]);
    }
    struct history_entry *entry = &history->entries[(history->count - 1) % HISTORY_COUNT];
    entry->outputs = *outputs;
    history->output_bytes += outputs->count;
    *outputs = (struct text){0};
}

const struct history_entry *history_at(const struct history *history, uint64_t age)
{
    if (age >= history->count || age >= HISTORY_COUNT)
        return NULL;
    return &history->entries[(history->count - 1 - age) % HISTORY_COUNT];
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
