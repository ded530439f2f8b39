/* SPDX-License-Identifier: MIT */
/* document.c - a YAML 1.1 document as a tree, read by libyaml. */
#include "dispatcher/text/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "millrace/limits.h"

struct document {
    yaml_document_t yaml;
    bool is_empty; /* there is no root */
};

static int document_depth_check(const char *text, size_t bytes, struct document_place *place,
                                char reason[DOCUMENT_REASON_BYTES]);
static int document_compose(struct document *document, yaml_parser_t *parser,
                            struct document_place *place, char reason[DOCUMENT_REASON_BYTES]);
static int document_fail(const yaml_parser_t *parser, const char *text, size_t bytes,
                         struct document_place *place, char reason[DOCUMENT_REASON_BYTES]);
static int document_check(const struct document *document, struct document_place *place,
                          char reason[DOCUMENT_REASON_BYTES]);
static int document_mapping_check(const struct document *document, uint32_t node,
                                  struct document_place *place, char reason[DOCUMENT_REASON_BYTES]);
static const yaml_node_t *document_node(const struct document *document, uint32_t node);
static bool document_tag_is_usual(const yaml_node_t *node);

int document_read(const char *text, size_t bytes, struct document **out,
                  struct document_place *place, char reason[DOCUMENT_REASON_BYTES])
{
    yaml_parser_t parser;
    *place = (struct document_place){0};
    if (bytes > DOCUMENT_BYTES_MAX) {
        snprintf(reason, DOCUMENT_REASON_BYTES, "it is larger than %u bytes", DOCUMENT_BYTES_MAX);
        return -EINVAL;
    }
    int rc = document_depth_check(text, bytes, place, reason);
    if (rc < 0)
        return rc;
    struct document *document = calloc(1, sizeof *document);
    if (!document || !yaml_parser_initialize(&parser)) {
        free(document);
        snprintf(reason, DOCUMENT_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    rc = document_compose(document, &parser, place, reason);
    if (rc < 0 && parser.error != YAML_NO_ERROR)
        rc = document_fail(&parser, text, bytes, place, reason);
    yaml_parser_delete(&parser);
    if (rc == 0)
        rc = document_check(document, place, reason);
    if (rc < 0)
        document_free(document);
    else
        *out = document;
    return rc;
}

void document_free(struct document *document)
{
    if (!document)
        return;
    yaml_document_delete(&document->yaml);
    free(document);
}

/* Before a tree is made, and only as far as it is not too deep. What is no YAML is found later. */
static int document_depth_check(const char *text, size_t bytes, struct document_place *place,
                                char reason[DOCUMENT_REASON_BYTES])
{
    yaml_parser_t parser;
    yaml_event_t event;
    uint32_t depth = 0;
    bool is_over = false;
    if (!yaml_parser_initialize(&parser)) {
        snprintf(reason, DOCUMENT_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    while (!is_over && depth <= DOCUMENT_DEPTH_MAX && yaml_parser_parse(&parser, &event)) {
        is_over = event.type == YAML_STREAM_END_EVENT;
        depth += event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
        depth -= event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        *place = (struct document_place){(uint32_t)event.start_mark.line + 1,
                                         (uint32_t)event.start_mark.column + 1};
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (depth <= DOCUMENT_DEPTH_MAX)
        return 0;
    snprintf(reason, DOCUMENT_REASON_BYTES, "lists and mappings are nested more than %u deep",
             DOCUMENT_DEPTH_MAX);
    return -EINVAL;
}

/* The one document that there is. */
static int document_compose(struct document *document, yaml_parser_t *parser,
                            struct document_place *place, char reason[DOCUMENT_REASON_BYTES])
{
    yaml_document_t other;
    if (!yaml_parser_load(parser, &document->yaml))
        return -EINVAL;
    document->is_empty = !yaml_document_get_root_node(&document->yaml);
    if (document->is_empty)
        return 0;
    if (!yaml_parser_load(parser, &other))
        return -EINVAL;
    const yaml_node_t *root = yaml_document_get_root_node(&other);
    if (root) {
        *place = (struct document_place){(uint32_t)root->start_mark.line + 1,
                                         (uint32_t)root->start_mark.column + 1};
        snprintf(reason, DOCUMENT_REASON_BYTES, "a second document begins here: one is read");
    }
    yaml_document_delete(&other);
    return root ? -EINVAL : 0;
}

/* Of an error in the bytes libyaml knows the offset alone. */
static int document_fail(const yaml_parser_t *parser, const char *text, size_t bytes,
                         struct document_place *place, char reason[DOCUMENT_REASON_BYTES])
{
    if (parser->error == YAML_MEMORY_ERROR) {
        snprintf(reason, DOCUMENT_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    const char *problem = parser->problem ? parser->problem : "it is no YAML";
    snprintf(reason, DOCUMENT_REASON_BYTES, "%s%s%s", parser->context ? parser->context : "",
             parser->context ? ": " : "", problem);
    *place = (struct document_place){(uint32_t)parser->problem_mark.line + 1,
                                     (uint32_t)parser->problem_mark.column + 1};
    if (parser->error != YAML_READER_ERROR)
        return -EINVAL;
    *place = (struct document_place){1, 1};
    for (size_t i = 0; i < parser->problem_offset && i < bytes; i++) {
        place->column++;
        if (text[i] == '\n')
            *place = (struct document_place){place->line + 1, 1};
    }
    return -EINVAL;
}

/* ---- what is refused of all documents ------------------------------------------------------ */

static int document_refuse(const struct document *document, uint32_t node,
                           struct document_place *place, char reason[DOCUMENT_REASON_BYTES],
                           const char *why)
{
    *place = document_place_of(document, node);
    snprintf(reason, DOCUMENT_REASON_BYTES, "%s", why);
    return -EINVAL;
}

static int document_check(const struct document *document, struct document_place *place,
                          char reason[DOCUMENT_REASON_BYTES])
{
    const yaml_document_t *yaml = &document->yaml;
    uint32_t count = (uint32_t)(yaml->nodes.top - yaml->nodes.start);
    for (uint32_t i = 0; i < count; i++) {
        const yaml_node_t *node = document_node(document, i);
        int rc = 0;
        if (!document_tag_is_usual(node))
            rc = document_refuse(document, i, place, reason, "tags (!...) are not taken");
        else if (node->type == YAML_SCALAR_NODE &&
                 strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
            rc = document_refuse(document, i, place, reason, "it has a NUL byte");
        else if (node->type == YAML_MAPPING_NODE)
            rc = document_mapping_check(document, i, place, reason);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Quadratic in the pairs of one mapping, of which the file's size allows a few hundred thousand:
 * those are sorted by nobody who writes a configuration, so their number is bounded. */
static int document_mapping_check(const struct document *document, uint32_t node,
                                  struct document_place *place, char reason[DOCUMENT_REASON_BYTES])
{
    uint32_t count = document_count(document, node);
    if (count > 1024)
        return document_refuse(document, node, place, reason, "it has more than 1024 keys");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = document_key(document, node, i);
        if (document_kind_of(document, key) != DOCUMENT_VALUE)
            return document_refuse(document, key, place, reason,
                                   "a key is a word, and this is not");
        for (uint32_t k = 0; k < i; k++) {
            uint32_t other = document_key(document, node, k);
            if (strcmp(document_text(document, key), document_text(document, other)) != 0)
                continue;
            *place = document_place_of(document, key);
            snprintf(reason, DOCUMENT_REASON_BYTES, "%.100s is there twice: line %u has it, too",
                     document_text(document, key), document_place_of(document, other).line);
            return -EINVAL;
        }
    }
    return 0;
}

static bool document_tag_is_usual(const yaml_node_t *node)
{
    const char *tag = (const char *)node->tag;
    return !tag || strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, YAML_SEQ_TAG) == 0 ||
           strcmp(tag, YAML_MAP_TAG) == 0;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static const yaml_node_t *document_node(const struct document *document, uint32_t node)
{
    const yaml_document_t *yaml = &document->yaml;
    mr_assert(node < (uint32_t)(yaml->nodes.top - yaml->nodes.start));
    return &yaml->nodes.start[node];
}

enum document_kind document_kind_of(const struct document *document, uint32_t node)
{
    if (document->is_empty)
        return DOCUMENT_MAPPING;
    yaml_node_type_t type = document_node(document, node)->type;
    return type == YAML_MAPPING_NODE    ? DOCUMENT_MAPPING
           : type == YAML_SEQUENCE_NODE ? DOCUMENT_LIST
                                        : DOCUMENT_VALUE;
}

struct document_place document_place_of(const struct document *document, uint32_t node)
{
    if (document->is_empty)
        return (struct document_place){1, 1};
    yaml_mark_t mark = document_node(document, node)->start_mark;
    return (struct document_place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

const char *document_text(const struct document *document, uint32_t node)
{
    mr_assert(document_kind_of(document, node) == DOCUMENT_VALUE);
    return (const char *)document_node(document, node)->data.scalar.value;
}

bool document_is_plain(const struct document *document, uint32_t node)
{
    mr_assert(document_kind_of(document, node) == DOCUMENT_VALUE);
    return document_node(document, node)->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool document_is_null(const struct document *document, uint32_t node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (document_kind_of(document, node) != DOCUMENT_VALUE || !document_is_plain(document, node))
        return false;
    const yaml_node_t *value = document_node(document, node);
    size_t bytes = value->data.scalar.length;
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (bytes == strlen(words[i]) && memcmp(value->data.scalar.value, words[i], bytes) == 0)
            return true;
    return false;
}

uint32_t document_count(const struct document *document, uint32_t node)
{
    if (document->is_empty)
        return 0;
    const yaml_node_t *of = document_node(document, node);
    if (of->type == YAML_SEQUENCE_NODE)
        return (uint32_t)(of->data.sequence.items.top - of->data.sequence.items.start);
    if (of->type == YAML_MAPPING_NODE)
        return (uint32_t)(of->data.mapping.pairs.top - of->data.mapping.pairs.start);
    return 0;
}

/* Numbers of libyaml begin with 1. */
uint32_t document_item(const struct document *document, uint32_t node, uint32_t at)
{
    mr_assert(document_kind_of(document, node) == DOCUMENT_LIST &&
              at < document_count(document, node));
    return (uint32_t)document_node(document, node)->data.sequence.items.start[at] - 1;
}

uint32_t document_key(const struct document *document, uint32_t node, uint32_t at)
{
    mr_assert(document_kind_of(document, node) == DOCUMENT_MAPPING &&
              at < document_count(document, node));
    return (uint32_t)document_node(document, node)->data.mapping.pairs.start[at].key - 1;
}

uint32_t document_member(const struct document *document, uint32_t node, uint32_t at)
{
    mr_assert(document_kind_of(document, node) == DOCUMENT_MAPPING &&
              at < document_count(document, node));
    return (uint32_t)document_node(document, node)->data.mapping.pairs.start[at].value - 1;
}
