/* SPDX-License-Identifier: MIT */
/* reload_after.c - room is made for a pipeline, and taken back. */
#include "dispatcher/server/reload_after.h"

#include <string.h>

#include "dispatcher/runs/runs.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

void reload_after_start(struct runs *runs, struct pipeline *coming)
{
    struct pipeline *former = runs_find_pipeline(runs, coming->config->pointer);
    coming->starts_after = former && !runs_has_yielded(runs, former);
    if (!coming->starts_after)
        supervisor_resize(runs->fleet, coming->pool);
}

static bool after_has_workers(const struct pipeline *list, const char *pointer)
{
    while (list && (strcmp(list->config->pointer, pointer) != 0 || pool_is_vacant(list->pool)))
        list = list->next;
    return list != NULL;
}

bool reload_after_end(struct runs *runs)
{
    bool is_done = true;
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        struct pipeline *pipeline = runs->pipelines[i];
        if (!pipeline->is_yielding)
            continue;
        if (after_has_workers(runs->leaving, pipeline->config->pointer))
            is_done = false;
        else
            runs_take_back_pipeline(runs, pipeline);
    }
    return is_done;
}
