/* SPDX-License-Identifier: MIT */
/* control_request.c - JSON becomes what an operator wants. */
#include "dispatcher/control/control_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/refuse.h"
#include "dispatcher/text/json_in.h"

static int request_take(struct control_request *request, const struct json_document *document,
                        unsigned members, char reason[CLI_REASON_BYTES]);

int control_request_parse(struct control_request *out, const char *body, size_t bytes,
                          unsigned members, char reason[CLI_REASON_BYTES])
{
    struct json_document *document;
    struct json_error wrong;
    struct control_request request = {.wait = true};
    snprintf(reason, CLI_REASON_BYTES, "Out of memory.");
    if (bytes == 0) {
        *out = request;
        return 0;
    }
    int rc = json_in_parse(&document, body, bytes, &wrong);
    if (rc == -EINVAL)
        return refuse(reason, "The body is no JSON: %.200s.", wrong.message);
    if (rc < 0)
        return rc;
    rc = request_take(&request, document, members, reason);
    json_in_destroy(document);
    if (rc < 0)
        control_request_finish(&request);
    else
        *out = request;
    return rc;
}

void control_request_finish(struct control_request *request)
{
    free(request->pipeline);
    free(request->config);
    *request = (struct control_request){0};
}

static int request_take_text(char **out, const struct json_document *document, const cJSON *node,
                             char reason[CLI_REASON_BYTES])
{
    if (!cJSON_IsString(node) || json_in_string_bytes(document, node) != strlen(node->valuestring))
        return refuse(reason, "%s must be a text.", node->string);
    *out = strdup(node->valuestring);
    return *out ? 0 : -ENOMEM;
}

static int request_take_flag(bool *out, const cJSON *node, char reason[CLI_REASON_BYTES])
{
    if (!cJSON_IsBool(node))
        return refuse(reason, "%s must be true or false.", node->string);
    *out = cJSON_IsTrue(node);
    return 0;
}

static bool request_is_number(const struct json_document *document, const cJSON *node,
                              uint32_t *out)
{
    if (!cJSON_IsNumber(node))
        return false;
    struct json_number number = json_in_number(document, node);
    if (number.kind == JSON_TOKEN_FP || number.u.integer < 0 || number.u.integer > UINT32_MAX)
        return false;
    *out = (uint32_t)number.u.integer;
    return true;
}

static int request_take_workers(struct control_request *request,
                                const struct json_document *document, const cJSON *node,
                                char reason[CLI_REASON_BYTES])
{
    const cJSON *min = cJSON_GetObjectItemCaseSensitive(node, "min");
    const cJSON *max = cJSON_GetObjectItemCaseSensitive(node, "max");
    bool is_range = min && max && cJSON_GetArraySize(node) == 2 &&
                    request_is_number(document, min, &request->workers_min) &&
                    request_is_number(document, max, &request->workers_max);
    request->has_workers = true;
    if (is_range)
        return 0;
    if (!request_is_number(document, node, &request->workers_min))
        return refuse(reason, "workers must be a number, or {\"min\":1,\"max\":8}.");
    request->workers_max = request->workers_min;
    return 0;
}

static int request_take_member(struct control_request *request,
                               const struct json_document *document, const cJSON *node,
                               unsigned members, char reason[CLI_REASON_BYTES])
{
    if (members & CONTROL_PIPELINE && strcmp(node->string, "pipeline") == 0)
        return request_take_text(&request->pipeline, document, node, reason);
    if (members & CONTROL_CONFIG && strcmp(node->string, "config") == 0)
        return request_take_text(&request->config, document, node, reason);
    if (members & CONTROL_WAIT && strcmp(node->string, "wait") == 0)
        return request_take_flag(&request->wait, node, reason);
    if (members & CONTROL_NOW && strcmp(node->string, "now") == 0)
        return request_take_flag(&request->now, node, reason);
    if (members & CONTROL_WORKERS && strcmp(node->string, "workers") == 0)
        return request_take_workers(request, document, node, reason);
    return refuse(reason, "The body has a member that means nothing here.");
}

static int request_take(struct control_request *request, const struct json_document *document,
                        unsigned members, char reason[CLI_REASON_BYTES])
{
    const cJSON *root = json_in_root(document), *node;
    int rc = 0;
    if (!cJSON_IsObject(root))
        return refuse(reason, "The body must be an object.");
    /* Also null: who says "pipeline" and has none does not mean all of them. */
    for (node = root->child; node && rc == 0; node = node->next)
        rc = request_take_member(request, document, node, members, reason);
    return rc;
}
