/* SPDX-License-Identifier: MIT */
/* api_alias.c - aliases as clients meet them: by what they are known, and where they are led. */
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/text/text.h"

_Static_assert(REQUEST_KEY_COUNT_MAX >= 2 * ALIAS_HEADER_COUNT_MAX, "of this and the next one");

static const struct request_key *alias_key_find(const struct request *request, uint64_t name)
{
    for (uint32_t i = 0; i < request->key_count; i++)
        if (request->keys[i].name == name)
            return &request->keys[i];
    return NULL;
}

/* Which alias is asked for only the body says, and then the head is gone. */
void api_alias_keys_take(const struct api *api, struct request *request,
                         const struct http_head *head)
{
    const struct aliases *aliases = &api->runs->aliases;
    if (aliases->header_count == 0)
        return;
    for (const struct alias *alias = aliases_first(aliases); alias; alias = alias_next(alias)) {
        if (!alias->header || request->key_count == REQUEST_KEY_COUNT_MAX ||
            alias_key_find(request, alias->header_hash))
            continue;
        const struct http_header *header = http_head_find(head, alias->header);
        if (header && header->value.bytes > 0)
            request->keys[request->key_count++] = (struct request_key){
                alias->header_hash, alias_hash(header->value.data, header->value.bytes)};
    }
}

struct pipeline *api_alias_lead(struct api *api, struct alias *alias, const struct request *request)
{
    const struct request_key *found = NULL;
    uint64_t token;
    const uint64_t *key = NULL;
    switch (alias->sticky) {
    case ALIAS_STICKY_TOKEN:
        token = request->token ? alias_hash(request->token, strlen(request->token)) : 0;
        key = request->token ? &token : NULL;
        break;
    case ALIAS_STICKY_HEADER:
        found = alias_key_find(request, alias->header_hash);
        key = found ? &found->value : NULL;
        break;
    case ALIAS_STICKY_NOT:
    case ALIAS_STICKY_COUNT:
        break;
    }
    return runs_find_pipeline(api->runs, alias_choose(alias, key));
}

struct pipeline *api_alias_main(const struct api *api, const struct alias *alias)
{
    uint32_t most = 0;
    for (uint32_t i = 1; i < alias->place_count; i++)
        if (alias->choices[i].weight > alias->choices[most].weight)
            most = i;
    return runs_find_pipeline(api->runs, alias->places[most].pointer);
}

void api_alias_format(const struct api *api, struct text *text, const struct alias *alias)
{
    text_add(text, "{\"pointer\":\"%s\",\"sticky\":", alias->pointer);
    if (alias->sticky == ALIAS_STICKY_NOT)
        text_add(text, "null");
    else if (alias->header)
        text_add(text, "\"header %s\"", alias->header);
    else
        text_add(text, "\"token\"");
    text_add(text, ",\"targets\":[");
    for (uint32_t i = 0; i < alias->place_count; i++) {
        const struct alias_place *place = &alias->places[i];
        const struct pipeline *pipeline = runs_find_pipeline(api->runs, place->pointer);
        text_add(text, "%s{\"pointer\":\"%s\",\"id\":\"%s\",\"weight\":%u,\"runs\":%llu}",
                 i > 0 ? "," : "", place->pointer, pipeline ? pipeline->config->id : "",
                 alias->choices[i].weight, (unsigned long long)place->run_count);
    }
    text_add(text, "]}");
}
