/* SPDX-License-Identifier: MIT */
/* api_rank.c - by what a run is scheduled: what its request says, and what its token allows. */
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/api_rank.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/runs/runs.h"

#define CLASS_HEADER "x-request-class"

_Static_assert(REQUEST_KEY_COUNT_MAX >= 2 * RANK_HEADER_COUNT_MAX + 8, "with those of aliases");

bool api_rank_head_take(const struct api *api, struct request *request,
                        const struct http_head *head)
{
    const struct config *config = api->config;
    const struct rank_headers *headers = &config->rank_headers;
    request->class = RUN_CLASS_NONE;
    for (uint32_t i = 0; i < headers->count && request->key_count < REQUEST_KEY_COUNT_MAX; i++) {
        const struct http_header *header = http_head_find(head, headers->items[i].text);
        if (header && header->value.bytes > 0)
            request->keys[request->key_count++] = (struct request_key){
                headers->items[i].name,
                rank_hash(&api->runs->rank_secret, header->value.data, header->value.bytes)};
    }
    const struct http_header *class =
        config->has_classes ? http_head_find(head, CLASS_HEADER) : NULL;
    return !class || run_class_read(class->value.data, class->value.bytes, &request->class) == 0;
}

/* The hash of the value that a header had; 0: there was none. */
static uint64_t rank_header_value(const struct request *request, uint64_t name)
{
    for (uint32_t i = 0; i < request->key_count; i++)
        if (request->keys[i].name == name)
            return request->keys[i].value;
    return 0;
}

static uint64_t rank_source_value(const struct api *api, const struct request *request,
                                  const struct rank_source *by, const char *field)
{
    if (by->kind == RANK_BY_HEADER)
        return rank_header_value(request, by->header);
    if (by->kind == RANK_BY_FIELD && field)
        return rank_hash(&api->runs->rank_secret, field, strlen(field));
    return 0;
}

/* The best that it may have, or a worse one that it asks for; in the body before the header. */
static uint32_t rank_class(const struct api *api, const struct request *request, uint32_t in_body)
{
    const struct config *config = api->config;
    uint32_t best =
        request->token ? config->tokens.entries[request->token_index].class : config->others_class;
    uint32_t asked = in_body != RUN_CLASS_NONE ? in_body : request->class;
    if (best == RUN_CLASS_NONE)
        return RUN_CLASS_USUAL; /* nobody says that they may ask */
    return asked == RUN_CLASS_NONE || asked < best ? best : asked;
}

/* A token's, and of what it says of its tenants: nobody speaks for those of another one. */
static uint64_t rank_tenant(const struct api *api, const struct request *request, uint64_t said)
{
    const uint64_t parts[] = {request->token ? request->token_index + UINT64_C(1) : 0, said};
    return rank_hash(&api->runs->rank_secret, parts, sizeof parts);
}

struct run_rank api_rank(const struct api *api, const struct pipeline *pipeline,
                         const struct request *request,
                         const struct run_request_scheduling *scheduling)
{
    const struct pipeline_config *config = pipeline->config;
    struct run_rank rank = {.class = RUN_CLASS_USUAL};
    if (pipeline_is_fair(pipeline)) {
        rank.class = rank_class(api, request, scheduling->class);
        rank.tenant = rank_tenant(
            api, request, rank_source_value(api, request, &config->tenant_by, scheduling->tenant));
    }
    rank.affinity = rank_source_value(api, request, &config->affinity_by, scheduling->affinity);
    return rank;
}
