/* SPDX-License-Identifier: MIT */
/* api_missing.c - the answer to who asks for a pipeline that is not served: what is. */
#include <stdlib.h>

#include "dispatcher/api/api.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/runs.h"

#define NAMED_COUNT_MAX 10u

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

/* Whoever may ask for one pipeline may ask for all, so all are named. */
void api_pipeline_missing(struct api *api, struct conn *conn, const char *name)
{
    struct missing_name names[PIPELINE_COUNT_MAX];
    uint32_t count = api->runs->pipeline_count;
    struct text text = {0};
    mr_assert(count <= PIPELINE_COUNT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const char *pointer = api->runs->pipelines[i]->config->pointer;
        names[i] = (struct missing_name){pointer, cli_distance(name, pointer), i};
    }
    qsort(names, count, sizeof(names[0]), missing_compare);
    text_add(&text, "{\"detail\":{\"message\":\"Pipeline not found\",\"pipelines\":[");
    for (uint32_t i = 0; i < count && i < NAMED_COUNT_MAX; i++)
        text_add(&text, "%s\"%s\"", i > 0 ? "," : "", names[i].pointer);
    text_add(&text, "],\"total\":%u}}\n", count);
    front_count_refusal(api->front, REQUEST_REFUSAL_NOT_FOUND);
    response_text(api->front, conn, 404, NULL, &text);
}
