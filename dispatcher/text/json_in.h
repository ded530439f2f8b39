/* SPDX-License-Identifier: MIT */
/*
 * json_in.h - JSON text as a cJSON tree that has lost nothing.
 *
 * Accepted is what json_scan() accepts, less objects with the same key twice. Integers are exact
 * over the whole of int64_t and uint64_t, and strings may hold U+0000. `valueint` of the tree's
 * nodes belongs to this module; `valuedouble` is to be asked of json_in_number() only.
 */
#ifndef DISPATCHER_JSON_IN_H
#define DISPATCHER_JSON_IN_H

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "dispatcher/text/json_scan.h"
#include "millrace/check.h"
#include "millrace/limits.h"

/* Owns the tree; keeps nothing of the text. */
struct json_document;

struct json_number {
    enum json_token_kind kind; /* JSON_TOKEN_INTEGER, _NATURAL or _FP */
    union {
        int64_t integer;
        uint64_t natural;
        double fp;
    } u;
};

/* 0 and a document that the caller destroys; -EINVAL and what is wrong; -ENOMEM. */
int json_in_parse(struct json_document **out, const char *text, size_t bytes,
                  struct json_error *error) MUST_USE;

/* NULL is none. */
void json_in_destroy(struct json_document *document);

const cJSON *json_in_root(const struct json_document *document);

/* The number a node of this document is. */
struct json_number json_in_number(const struct json_document *document, const cJSON *node);

/* How many bytes a string node has at `valuestring`, NULs inside included. */
size_t json_in_string_bytes(const struct json_document *document, const cJSON *node);

/* A tree in document order, without recursion. Begin with the root and an empty walk; NULL after
 * the last node. While `node` is visited, walk->depth is the number of containers around it, the
 * innermost of which is walk->parents[walk->depth - 1]. */
struct json_walk {
    size_t depth;
    const cJSON *parents[JSON_DEPTH_MAX];
};

const cJSON *json_walk_next(struct json_walk *walk, const cJSON *node);

#endif
