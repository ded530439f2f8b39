/* SPDX-License-Identifier: MIT */
/* routes.c - the table of routes; who may, and what a request without a place is told. */
#include "dispatcher/api/routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/version.h"
#include "dispatcher/api/api.h"
#include "dispatcher/api/api_rank.h"
#include "dispatcher/api/origin.h"
#include "dispatcher/api/signed_url.h"
#include "dispatcher/config/owner.h"
#include "dispatcher/files/files.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/runs.h"

#define GET ((1u << HTTP_GET) | (1u << HTTP_HEAD))
#define POST (1u << HTTP_POST)
#define DELETE (1u << HTTP_DELETE)

/* A path that ends in '/' stands for all below it, but for "/" itself; an exact path comes before
 * those. */
/* clang-format off */
static const struct route routes[] = {
    {"/",                   GET,    false, .handle = api_index},
    {"/v4/runs/stream",     POST,   true,  .handle = api_run_stream},
    {"/v4/runs",            POST,   true,  .handle = api_run_result},
    {"/v4/runs",            GET,    true,  .handle = api_runs_list},
    {"/v4/runs/",           GET,    true,  .handle = api_run_get},
    {"/v4/runs/",           DELETE, true,  .handle = api_run_delete},
    {"/v4/files",           POST,   true,  .stream = &api_upload},
    {"/v4/files",           GET,    true,  .answer = api_files_list},
    {"/v4/files/download/", GET,    true,  .stream = &api_download, .signature = signed_download},
    {"/v4/files/parts/",    1u << HTTP_PUT, true,  .stream = &api_part, .signature = signed_part},
    {"/v4/files/",          GET,    true,  .answer = api_file_get},
    {"/v4/files/",          DELETE, true,  .answer = api_file_delete},
    {"/v3/pipeline_files/initiate-multipart-upload", POST, true, .stream = &api_parts_begin},
    {"/v3/pipeline_files/presigned-url", POST, true, .stream = &api_parts_url},
    {"/v3/pipeline_files/finalise-multipart-upload", POST, true, .stream = &api_parts_join},
    {"/v3/pipeline_files/", GET,    true,  .answer = api_file_get},
    {"/v4/pipelines",       GET,    true,  .handle = api_pipelines_list},
    {"/v4/pipelines/",      GET,    true,  .handle = api_pipeline_get},
    {"/v4/tokens/validate", GET,    true,  .handle = api_token_validate},
    {"/status",             GET,    false, .handle = api_status},
    {"/livez",              GET,    false, .handle = api_livez},
    {"/readyz",             GET,    false, .handle = api_readyz},
    {"/v4/container/state", GET,    false, .handle = api_container_state},
    {"/metrics",            GET,    false, .handle = api_metrics},
};
/* clang-format on */

static bool routes_path_matches(const struct route *route, struct http_text path, bool *exact)
{
    size_t count = strlen(route->path);
    *exact = path.bytes == count && memcmp(path.data, route->path, count) == 0;
    if (*exact || route->path[count - 1] != '/' || count == 1)
        return *exact;
    return path.bytes > count && memcmp(path.data, route->path, count) == 0;
}

static bool routes_is_off(const struct api *api, const struct route *route)
{
    return route->handle == api_metrics && api->config->metrics_access == METRICS_OFF;
}

/* The route for path and method. `allowed` collects the methods the path has. */
static const struct route *routes_find(const struct api *api, struct http_text path,
                                       enum http_method method, unsigned *allowed)
{
    *allowed = 0;
    for (int want_exact = 1; want_exact >= 0 && *allowed == 0; want_exact--) {
        for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
            bool exact;
            if (!routes_path_matches(&routes[i], path, &exact) || (want_exact && !exact) ||
                routes_is_off(api, &routes[i]))
                continue;
            *allowed |= routes[i].methods;
            if (routes[i].methods & (1u << method))
                return &routes[i];
        }
    }
    return NULL;
}

static bool routes_needs_token(const struct api *api, const struct route *route)
{
    return route->needs_token ||
           (route->handle == api_metrics && api->config->metrics_access == METRICS_TOKEN);
}

static const struct {
    unsigned bit;
    const char *name, *allowed;
} methods[] = {{1u << HTTP_GET, "GET", "GET, HEAD"},
               {1u << HTTP_POST, "POST", "POST"},
               {1u << HTTP_PUT, "PUT", "PUT"},
               {1u << HTTP_DELETE, "DELETE", "DELETE"}};

static void routes_method_refuse(struct api *api, struct conn *conn, unsigned allowed)
{
    static const char body[] = "{\"detail\":\"Method Not Allowed\"}\n";
    char headers[64];
    const char *between = "Allow: ";
    int at = 0;
    front_count_refusal(api->front, REQUEST_REFUSAL_BAD_REQUEST);
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (allowed & methods[i].bit) {
            at += snprintf(headers + at, sizeof headers - (size_t)at, "%s%s", between,
                           methods[i].allowed);
            between = ", ";
        }
    snprintf(headers + at, sizeof headers - (size_t)at, "\r\n");
    response_send(
        api->front, conn,
        &(struct response){
            .status = 405, .headers = headers, .body = body, .body_bytes = sizeof(body) - 1});
}

static bool routes_argument_take(struct request *request, const struct route *route,
                                 struct http_text path)
{
    size_t prefix = strlen(route->path);
    if (path.bytes <= prefix)
        return true;
    struct http_text rest = {path.data + prefix, path.bytes - prefix};
    if (rest.bytes > REQUEST_ARGUMENT_BYTES_MAX)
        return false;
    int64_t count = http_percent_decode(rest, request->argument);
    if (count < 0)
        return false;
    request->argument[count] = '\0';
    return true;
}

/* What else may let him in is the URL. 0; -ENOENT: it has no signature, or none is looked at;
 * -EACCES: a wrong one; -ETIME: its time is over. */
static int routes_signature_take(struct api *api, const struct route *route,
                                 struct request *request, const struct http_head *head)
{
    if (!route->signature || !routes_argument_take(request, route, head->path))
        return -ENOENT;
    int rc = route->signature(api, request->argument, head->query);
    request->is_signed = rc == 0;
    request->is_trusted = request->is_trusted || request->is_signed;
    return rc;
}

/* Without a good token, or without any from where none may call. Nothing more is taken from such a
 * client: it would be for the same answer. */
static void routes_caller_refuse(struct api *api, struct conn *conn, const struct http_head *head,
                                 int signature_rc)
{
    static const char body[] = "{\"detail\":{\"message\":\"Not authenticated.\"}}\n";
    conn->request.keep_alive = false;
    if (signature_rc != -ENOENT) {
        response_detail(api->front, conn, 403, signed_url_refusal(signature_rc));
        return;
    }
    if (api->config->tokens.count == 0) {
        response_detail(api->front, conn, 403, origin_refusal(api->config, head));
        return;
    }
    front_count_refusal(api->front, REQUEST_REFUSAL_UNAUTHORIZED);
    response_send(api->front, conn,
                  &(struct response){.status = 401,
                                     .headers = "WWW-Authenticate: Bearer\r\n",
                                     .body = body,
                                     .body_bytes = sizeof(body) - 1});
}

/* Whatever the path: the answer to a request for a wrong one is to be read, too. Any header may be
 * sent, of which those named first are for browsers that do not know the word for all; it never
 * stands for Authorization. Browsers keep the answer for two hours at most. */
static void routes_preflight_answer(struct api *api, struct conn *conn)
{
    if (conn->request.page == 0) {
        response_detail(api->front, conn, 403,
                        "Web pages of this origin may not call. millrace serve lets them with "
                        "--cors-origin ORIGIN.");
        return;
    }
    response_send(
        api->front, conn,
        &(struct response){
            .status = 200,
            .content_type = "text/plain",
            .headers = "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE\r\n"
                       "Access-Control-Allow-Headers: Authorization, Content-Type, X-Request-Id, "
                       "X-Request-Timeout, X-Request-Class, *\r\n"
                       "Access-Control-Max-Age: 7200\r\n",
            .body = "",
        });
}

/* Who calls, and whether he may. */
static void routes_caller_take(const struct api *api, struct request *request,
                               const struct http_head *head)
{
    const struct tokens *tokens = &api->config->tokens;
    const struct token_entry *entry = NULL;
    struct http_text token;
    if (tokens->count > 0 && http_head_bearer(head, &token))
        entry = tokens_find(tokens, token.data, token.bytes);
    request->token = entry ? entry->name : NULL;
    request->token_index = entry ? (uint32_t)(entry - tokens->entries) : 0;
    request->owner = owner_of(api->config, entry);
    request->is_trusted = entry || (tokens->count == 0 && !origin_refusal(api->config, head));
}

/* A client's own id is echoed when it is short and harmless, else one is made. */
static void routes_request_id_take(struct api *api, struct request *request,
                                   const struct http_head *head)
{
    const struct http_header *header = http_head_find(head, "x-request-id");
    if (header && header->value.bytes > 0 && header->value.bytes <= REQUEST_ID_BYTES_MAX) {
        bool fine = true;
        for (size_t i = 0; i < header->value.bytes; i++)
            fine = fine && header->value.data[i] > ' ' && header->value.data[i] < 0x7f;
        if (fine) {
            memcpy(request->id, header->value.data, header->value.bytes);
            request->id[header->value.bytes] = '\0';
            return;
        }
    }
    identity_hex(&api->reactor->identity, request->id);
}

/* X-Request-Timeout: seconds, like 30 or 2.5. False when it is something else. */
static bool routes_timeout_take(struct request *request, const struct http_head *head)
{
    const struct http_header *header = http_head_find(head, "x-request-timeout");
    if (!header)
        return true;
    char text[16];
    if (header->value.bytes == 0 || header->value.bytes >= sizeof(text))
        return false;
    memcpy(text, header->value.data, header->value.bytes);
    text[header->value.bytes] = '\0';
    if (strspn(text, "0123456789.") != header->value.bytes)
        return false;
    char *end;
    double seconds = strtod(text, &end);
    if (*end != '\0' || seconds < 0.001 || seconds > 86400)
        return false;
    request->timeout_ms = (uint32_t)(seconds * 1000 + 0.5);
    return true;
}

/* ?limit= of a list: 1 to LIST_COUNT_MAX. What else a query has is not looked at. */
static bool routes_limit_take(struct request *request, struct http_text query)
{
    struct http_text limit;
    uint64_t count;
    if (!http_query_find(query, "limit", &limit))
        return true;
    if (!http_text_number(limit, &count) || count < 1 || count > LIST_COUNT_MAX)
        return false;
    request->list_count_max = (uint32_t)count;
    return true;
}

/* It is fine, and whoever it is for begins. */
static bool routes_take(struct api *api, struct conn *conn, const struct http_head *head,
                        bool keep_alive)
{
    const struct route *route = conn->request.route;
    if (!route->handle)
        api->front->counts.request_count += route->answer || !route->stream->body;
    if (route->answer) {
        route->answer(api, conn, head);
        return false;
    }
    if (route->stream)
        return route->stream->begin(api, conn, head);
    conn->request.keep_alive = keep_alive;
    if (files_are_on(api->files))
        conn->request.base_number = bases_take(&api->bases, head);
    return true;
}

bool routes_begin(struct api *api, struct conn *conn, const struct http_head *head)
{
    struct request *request = &conn->request;
    unsigned allowed;
    request->method = head->method;
    request->minor = head->minor;
    request->keep_alive = head->keep_alive;
    request->has_body = head->chunked || (head->has_length && head->content_length > 0);
    request->wants_events = http_head_accepts(head, "text/event-stream");
    request->wants_openmetrics = http_head_accepts(head, "application/openmetrics-text");
    routes_caller_take(api, request, head);
    conn->is_known = request->is_trusted;
    routes_request_id_take(api, request, head);
    request->page = origin_page(api->config, head);
    api_alias_keys_take(api, request, head);
    bool is_class_known = api_rank_head_take(api, request, head);
    const struct route *route = routes_find(api, head->path, head->method, &allowed);
    request->route = route;
    const int signature_rc = route ? routes_signature_take(api, route, request, head) : -ENOENT;
    bool keep_alive = request->keep_alive;
    if (request->has_body)
        request->keep_alive = false; /* an answer now would leave the body unread */
    if (api->config->cors.count > 0 && origin_is_preflight(head))
        routes_preflight_answer(api, conn);
    else if (!route && allowed == 0)
        response_detail(api->front, conn, 404, "Not Found");
    else if (!route)
        routes_method_refuse(api, conn, allowed);
    else if (routes_needs_token(api, route) && !request->is_trusted)
        routes_caller_refuse(api, conn, head, signature_rc);
    else if (!routes_argument_take(request, route, head->path))
        response_detail(api->front, conn, 404, "Not Found");
    else if (!routes_timeout_take(request, head))
        response_detail(api->front, conn, 400,
                        "X-Request-Timeout must be seconds, from 0.001 to 86400.");
    else if (!is_class_known)
        response_detail(api->front, conn, 400,
                        "X-Request-Class must be interactive, batch, or 0 to 9.");
    else if ((route->handle == api_runs_list || route->answer == api_files_list) &&
             !routes_limit_take(request, head->query))
        response_detail(api->front, conn, 400, "limit must be a number from 1 to 100.");
    else if (head->content_encoded)
        response_detail(api->front, conn, 415, "Content-Encoding is not supported.");
    else
        return routes_take(api, conn, head, keep_alive);
    return false;
}

static void routes_methods_format(struct text *text, unsigned which)
{
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (which & methods[i].bit) {
            text_add(text, "%s\"%s\"", comma, methods[i].name);
            comma = ",";
        }
}

/* What this is and where to go on, for people who try the address. */
void api_index(struct api *api, struct conn *conn, const char *body, size_t bytes)
{
    (void)body, (void)bytes;
    struct text text = {0};
    const char *comma = "";
    text_add(&text, "{\"name\":\"millrace\",\"version\":\"%s\",\"routes\":[", MILLRACE_VERSION);
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        const struct route *route = &routes[i];
        bool has_argument = route->path[1] && route->path[strlen(route->path) - 1] == '/';
        const bool is_of_files = route->stream || route->answer;
        if (routes_is_off(api, route) || (is_of_files && !files_are_on(api->files)))
            continue;
        text_add(&text, "%s{\"path\":\"%s%s\",\"methods\":[", comma, route->path,
                 has_argument ? "{id}" : "");
        routes_methods_format(&text, route->methods);
        text_add(&text, "],\"token\":%s}",
                 api->config->tokens.count > 0 && routes_needs_token(api, route) ? "true"
                                                                                 : "false");
        comma = ",";
    }
    text_add(&text, "]}\n");
    response_text(api->front, conn, 200, NULL, &text);
}
