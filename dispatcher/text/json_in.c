/* SPDX-License-Identifier: MIT */
/*
 * json_in.c - the scan decides, cJSON builds, and one walk ties the two together.
 *
 * Both go through the text in the same order. The scan has numbered the values; the walk counts the
 * nodes, and where the numbers meet, the node gets the index of its token.
 */
#include "dispatcher/text/json_in.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_NONE (-1)

struct json_document {
    cJSON *root;
    struct json_tokens tokens;
};

static int json_in_tie(struct json_document *document, struct json_error *error);
static const struct json_token *json_in_token_of(const struct json_document *document,
                                                 const cJSON *node);
static int json_in_check_node(const struct json_document *document, const cJSON *node,
                              struct json_error *error);
static int json_in_check_keys(const cJSON *object, struct json_error *error);
static int json_in_fail_double_key(const char *key, struct json_error *error);

int json_in_parse(struct json_document **out, const char *text, size_t bytes,
                  struct json_error *error)
{
    struct json_document *document = calloc(1, sizeof(*document));
    if (document == NULL)
        return -ENOMEM;
    int rc = json_scan(text, bytes, &document->tokens, error);
    if (rc < 0)
        goto destroy_document;
    document->root = cJSON_ParseWithLength(text, bytes);
    if (document->root == NULL) {
        /* The scan accepts nothing that cJSON refuses, so that only memory can have failed. */
        rc = -ENOMEM;
        goto destroy_document;
    }
    rc = json_in_tie(document, error);
    if (rc < 0)
        goto destroy_document;
    *out = document;
    return 0;

destroy_document:
    json_in_destroy(document);
    return rc;
}

void json_in_destroy(struct json_document *document)
{
    if (document == NULL)
        return;
    cJSON_Delete(document->root);
    json_tokens_finish(&document->tokens);
    free(document);
}

const cJSON *json_in_root(const struct json_document *document)
{
    return document->root;
}

struct json_number json_in_number(const struct json_document *document, const cJSON *node)
{
    mr_assert(cJSON_IsNumber(node));
    const struct json_token *token = json_in_token_of(document, node);
    struct json_number number = {.kind = (enum json_token_kind)token->kind};
    switch (number.kind) {
    case JSON_TOKEN_INTEGER:
        number.u.integer = token->u.integer;
        break;
    case JSON_TOKEN_NATURAL:
        number.u.natural = token->u.natural;
        break;
    case JSON_TOKEN_FP:
    case JSON_TOKEN_NUL_STRING:
    case JSON_TOKEN_KIND_COUNT:
        mr_assert(number.kind == JSON_TOKEN_FP);
        number.u.fp = node->valuedouble;
        break;
    }
    return number;
}

size_t json_in_string_bytes(const struct json_document *document, const cJSON *node)
{
    mr_assert(cJSON_IsString(node));
    if (node->valueint == TOKEN_NONE)
        return strlen(node->valuestring);
    return json_in_token_of(document, node)->u.bytes;
}

const cJSON *json_walk_next(struct json_walk *walk, const cJSON *node)
{
    if (node->child != NULL) {
        mr_assert(walk->depth < JSON_DEPTH_MAX);
        walk->parents[walk->depth++] = node;
        return node->child;
    }
    while (walk->depth > 0) {
        if (node->next != NULL)
            return node->next;
        node = walk->parents[--walk->depth];
    }
    return NULL;
}

static int json_in_tie(struct json_document *document, struct json_error *error)
{
    const struct json_tokens *tokens = &document->tokens;
    struct json_walk walk = {0};
    uint32_t value_index = 0;
    size_t token_index = 0;
    for (cJSON *node = document->root; node != NULL; value_index++) {
        bool is_tied =
            token_index < tokens->count && tokens->items[token_index].value_index == value_index;
        node->valueint = is_tied ? (int)token_index++ : TOKEN_NONE;
        int rc = json_in_check_node(document, node, error);
        if (rc < 0)
            return rc;
        /* The walk is written for readers; the nodes are ours. */
        node = (cJSON *)(uintptr_t)json_walk_next(&walk, node);
    }
    mr_assert(token_index == tokens->count);
    return 0;
}

/* The token a node was tied to; only numbers and strings have one. */
static const struct json_token *json_in_token_of(const struct json_document *document,
                                                 const cJSON *node)
{
    mr_assert(node->valueint >= 0);
    mr_assert((size_t)node->valueint < document->tokens.count);
    return &document->tokens.items[node->valueint];
}

/* What the scan could not see: doubles that overflow, keys that occur twice. */
static int json_in_check_node(const struct json_document *document, const cJSON *node,
                              struct json_error *error)
{
    if (cJSON_IsObject(node))
        return json_in_check_keys(node, error);
    if (!cJSON_IsNumber(node)) {
        mr_assert(node->valueint == TOKEN_NONE || cJSON_IsString(node));
        return 0;
    }
    const struct json_token *token = json_in_token_of(document, node);
    mr_assert(token->kind != JSON_TOKEN_NUL_STRING);
    if (token->kind == JSON_TOKEN_FP && !isfinite(node->valuedouble)) {
        error->offset = token->u.offset;
        snprintf(error->message, sizeof(error->message), "a number is too large for a double");
        return -EINVAL;
    }
    return 0;
}

/* ---- keys ---------------------------------------------------------------------------------- */

/* So few keys are compared each with each. */
#define KEYS_COMPARED_MAX 8

static int json_in_compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The work stays bounded: n log n comparisons, and all keys together are no longer than the
 * text. */
static int json_in_check_sorted_keys(const cJSON *object, size_t count, struct json_error *error)
{
    const char **keys = calloc(count, sizeof(*keys));
    if (keys == NULL)
        return -ENOMEM;
    size_t index = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        keys[index++] = item->string;
    qsort(keys, count, sizeof(*keys), json_in_compare_keys);
    int rc = 0;
    for (size_t i = 1; i < count && rc == 0; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0)
            rc = json_in_fail_double_key(keys[i], error);
    }
    free(keys);
    return rc;
}

static int json_in_check_keys(const cJSON *object, struct json_error *error)
{
    size_t count = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        count++;
    if (count > KEYS_COMPARED_MAX)
        return json_in_check_sorted_keys(object, count, error);
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        for (const cJSON *other = item->next; other != NULL; other = other->next) {
            if (strcmp(item->string, other->string) == 0)
                return json_in_fail_double_key(item->string, error);
        }
    }
    return 0;
}

static int json_in_fail_double_key(const char *key, struct json_error *error)
{
    error->offset = JSON_OFFSET_NONE;
    snprintf(error->message, sizeof(error->message),
             "the key \"%.100s\" occurs twice in one object", key);
    return -EINVAL;
}
