/* SPDX-License-Identifier: MIT */
/* api_missing.c - the answer to who asks for a pipeline that is not served: what is. */
#include <stdlib.h>

#include "dispatcher/api/api.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/runs.h"

#define NAMED_COUNT_MAX 10u
#define MISSING_COUNT_MAX (2 * PIPELINE_COUNT_MAX) /* of which the nearest are named */

struct missing_name {
    const char *pointer;
    size_t distance; /* from what was asked for */
    uint32_t index;
};

/* The nearest first; those that are as near, in the order of the command line. */
static int missing_compare(const void *left, const void *right)
{
    const struct missing_name *a = left, *b = right;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

struct missing_names {
    struct missing_name items[MISSING_COUNT_MAX];
    uint32_t count;
};

static void missing_add(struct missing_names *names, const char *name, const char *pointer)
{
    if (names->count < MISSING_COUNT_MAX)
        names->items[names->count] =
            (struct missing_name){pointer, cli_distance(name, pointer), names->count};
    names->count += names->count < MISSING_COUNT_MAX;
}

/* The nearest ones, as the items of an array. */
static void missing_format(struct text *text, struct missing_names *names)
{
    qsort(names->items, names->count, sizeof(names->items[0]), missing_compare);
    for (uint32_t i = 0; i < names->count && i < NAMED_COUNT_MAX; i++)
        text_add(text, "%s\"%s\"", i > 0 ? "," : "", names->items[i].pointer);
}

/* Whoever may ask for one pipeline may ask for all, so all are named. */
void api_pipeline_missing(struct api *api, struct conn *conn, const char *name)
{
    struct missing_names pipelines = {.count = 0}, aliases = {.count = 0};
    struct text text = {0};
    for (uint32_t i = 0; i < api->runs->pipeline_count; i++)
        missing_add(&pipelines, name, api->runs->pipelines[i]->config->pointer);
    for (const struct alias *alias = aliases_first(&api->runs->aliases); alias;
         alias = alias_next(alias))
        missing_add(&aliases, name, alias->pointer);
    text_add(&text, "{\"detail\":{\"message\":\"Pipeline not found\",\"pipelines\":[");
    missing_format(&text, &pipelines);
    text_add(&text, "],\"total\":%u", api->runs->pipeline_count);
    if (aliases.count > 0) {
        text_add(&text, ",\"aliases\":[");
        missing_format(&text, &aliases);
        text_add(&text, "]");
    }
    text_add(&text, "}}\n");
    front_count_refusal(api->front, REQUEST_REFUSAL_NOT_FOUND);
    response_text(api->front, conn, 404, NULL, &text);
}
