/* SPDX-License-Identifier: MIT */
/* history.c - a circle of finished runs. */
#include "dispatcher/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int history_init(struct history *history)
{
    *history = (struct history){.entries = calloc(HISTORY_COUNT, sizeof(struct history_entry))};
    return history->entries ? 0 : -ENOMEM;
}

void history_finish(struct history *history)
{
    free(history->entries);
    *history = (struct history){0};
}

void history_add(struct history *history, const struct run *run, double now,
                 const struct run_failure *failure)
{
    struct history_entry *entry = &history->entries[history->count++ % HISTORY_COUNT];
    *entry = (struct history_entry){.pipeline_index = run->pipeline_index,
                                    .created_at = run->created_at,
                                    .updated_at = now,
                                    .line_count = run->line_count,
                                    .state = "completed"};
    memcpy(entry->id, run->id, sizeof(entry->id));
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

const struct history_entry *history_at(const struct history *history, uint64_t age)
{
    if (age >= history->count || age >= HISTORY_COUNT)
        return NULL;
    return &history->entries[(history->count - 1 - age) % HISTORY_COUNT];
}

const struct history_entry *history_find(const struct history *history, const char *id)
{
    const struct history_entry *entry;
    for (uint64_t age = 0; (entry = history_at(history, age)) != NULL; age++)
        if (strcmp(entry->id, id) == 0)
            return entry;
    return NULL;
}
