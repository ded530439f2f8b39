/* SPDX-License-Identifier: MIT */
/* config_alias.c - aliases are read, and then looked at beside the pipelines that they name. */
#include "dispatcher/config/config_alias.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/config/pointer.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/text/ascii.h"

#define WHERE_BYTES (POINTER_BYTES_MAX + 16)
#define NAME_COUNT_MAX (2 * PIPELINE_COUNT_MAX) /* of a file, and of the command line */
#define STICKY_TOKEN "token"
#define STICKY_HEADER "header "

/* Of HTTP, RFC 9110, section 5.6.2. */
#define HEADER_LETTERS                                                                             \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

/* One that is being read. */
struct reading_alias {
    struct alias_config *alias;
    char where[WHERE_BYTES];
};

/* Pointers of all pipelines there are going to be; NULL ends them. */
struct names {
    const char *items[NAME_COUNT_MAX + 1];
    uint32_t count;
};

static void alias_take(struct config_value *value, uint32_t key, uint32_t node);
static void alias_take_targets(struct config_value *value, struct reading_alias *reading,
                               uint32_t node);
static void alias_take_long(struct config_value *value, struct reading_alias *reading,
                            uint32_t node);
static void alias_take_sticky(struct config_value *value, struct reading_alias *reading,
                              uint32_t node);
static void alias_check(struct config_value *value, const struct alias_config *alias,
                        const struct names *names);
static int alias_target_check(const char *text, char reason[CLI_REASON_BYTES]);
static int alias_sticky_check(const char *text, char reason[CLI_REASON_BYTES]);

/* What is said of an alias, as an option would be. */
static const struct cli_option target_option = {
    .name = "target", .kind = CLI_TEXT, .bytes = sizeof(char *), .check = alias_target_check};
static const struct cli_option weight_option = {
    .name = "weight", .kind = CLI_NUMBER, .bytes = sizeof(uint32_t), .max = ALIAS_WEIGHT_MAX};
static const struct cli_option sticky_option = {.name = CONFIG_KEY_STICKY,
                                                .kind = CLI_TEXT,
                                                .bytes = sizeof(char *),
                                                .check = alias_sticky_check};

void config_aliases_take(struct config_value *value, uint32_t node)
{
    const struct document *document = value->document;
    if (document_is_null(document, node))
        return;
    if (document_kind_of(document, node) != DOCUMENT_MAPPING) {
        problems_add(value->problems, document_place_of(document, node), CONFIG_KEY_ALIASES,
                     "it is pointers and where they lead, like me/chat:prod: me/chat:v2");
        return;
    }
    for (uint32_t i = 0; i < document_count(document, node); i++)
        alias_take(value, document_key(document, node, i), document_member(document, node, i));
}

static void alias_problem(struct config_value *value, const char *where, uint32_t node,
                          const char *what)
{
    problems_add(value->problems, document_place_of(value->document, node), where, "%s", what);
}

/* ---- one of them --------------------------------------------------------------------------- */

static bool alias_has_key(const struct document *document, uint32_t node, const char *word)
{
    for (uint32_t i = 0; i < document_count(document, node); i++)
        if (strcmp(document_text(document, document_key(document, node, i)), word) == 0)
            return true;
    return false;
}

/* Pointers have colons, and words of ours have none. */
static bool alias_is_long(const struct document *document, uint32_t node)
{
    if (alias_has_key(document, node, CONFIG_KEY_TO) ||
        alias_has_key(document, node, CONFIG_KEY_STICKY))
        return true;
    for (uint32_t i = 0; i < document_count(document, node); i++)
        if (strchr(document_text(document, document_key(document, node, i)), ':'))
            return false;
    return document_count(document, node) > 0;
}

static void alias_take(struct config_value *value, uint32_t key, uint32_t node)
{
    const struct document *document = value->document;
    struct config *config = value->file->config;
    struct reading_alias reading = {.alias = &config->aliases[config->alias_count]};
    const char *pointer = config_value_keep(value, document_text(document, key));
    if (!pointer)
        return;
    if (!pointer_is_valid(pointer, strlen(pointer))) {
        problems_add(value->problems, document_place_of(document, key), CONFIG_KEY_ALIASES,
                     "'%.255s' is not a pointer like me/chat:prod", pointer);
        return;
    }
    snprintf(reading.where, sizeof reading.where, "%s.%.255s", CONFIG_KEY_ALIASES, pointer);
    if (config->alias_count == ALIAS_COUNT_MAX) {
        problems_add(value->problems, document_place_of(document, key), reading.where,
                     "%u aliases at most", ALIAS_COUNT_MAX);
        return;
    }
    config->alias_count++;
    *reading.alias =
        (struct alias_config){.pointer = pointer, .place = document_place_of(document, key)};
    bool is_mapping = document_kind_of(document, node) == DOCUMENT_MAPPING;
    if (is_mapping && alias_is_long(document, node))
        alias_take_long(value, &reading, node);
    else
        alias_take_targets(value, &reading, node);
}

static void alias_take_long(struct config_value *value, struct reading_alias *reading,
                            uint32_t node)
{
    static const char *const keys[] = {CONFIG_KEY_TO, CONFIG_KEY_STICKY, NULL};
    const struct document *document = value->document;
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        uint32_t key = document_key(document, node, i);
        uint32_t member = document_member(document, node, i);
        const char *name = document_text(document, key);
        if (strcmp(name, CONFIG_KEY_TO) == 0) {
            alias_take_targets(value, reading, member);
        } else if (strcmp(name, CONFIG_KEY_STICKY) == 0) {
            alias_take_sticky(value, reading, member);
        } else {
            const char *nearest = cli_nearest(name, keys);
            problems_add(value->problems, document_place_of(document, key), reading->where,
                         "unknown key \"%.100s\"%s%s%s", name, nearest ? " (nearest: " : "",
                         nearest ? nearest : "", nearest ? ")" : "");
        }
    }
    if (!alias_has_key(document, node, CONFIG_KEY_TO))
        problems_add(value->problems, reading->alias->place, reading->where,
                     "it leads nowhere: it has no " CONFIG_KEY_TO ", like to: me/chat:v2");
}

/* ---- where it leads ------------------------------------------------------------------------ */

static void alias_add_target(struct config_value *value, struct reading_alias *reading,
                             const char *pointer, uint32_t weight, uint32_t node)
{
    struct alias_config *alias = reading->alias;
    if (alias->target_count == ALIAS_TARGET_COUNT_MAX) {
        problems_add(value->problems, document_place_of(value->document, node), reading->where,
                     "it leads to %u pipelines at most", ALIAS_TARGET_COUNT_MAX);
        return;
    }
    alias->targets[alias->target_count++] =
        (struct alias_target){pointer, weight, document_place_of(value->document, node)};
}

/* The number, and 1 where it is none, which is told. */
static uint32_t alias_weight(struct config_value *value, const char *where, uint32_t node)
{
    char reason[CLI_REASON_BYTES];
    uint32_t weight = 1;
    const char *text = config_value_take(value, where, &weight_option, node);
    if (text) {
        int rc = cli_set(&weight_option, text, &weight, reason);
        mr_assert(rc == 0); /* it was checked */
    }
    return weight;
}

static void alias_take_weights(struct config_value *value, struct reading_alias *reading,
                               uint32_t node)
{
    const struct document *document = value->document;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        uint32_t key = document_key(document, node, i);
        uint32_t weight = alias_weight(value, reading->where, document_member(document, node, i));
        const char *pointer = config_value_keep(value, document_text(document, key));
        char reason[CLI_REASON_BYTES];
        sum += weight;
        if (pointer && alias_target_check(pointer, reason) < 0)
            alias_problem(value, reading->where, key, reason);
        else if (pointer)
            alias_add_target(value, reading, pointer, weight, key);
    }
    if (sum == 0)
        alias_problem(value, reading->where, node,
                      document_count(document, node) == 0
                          ? "it leads nowhere: it has no pipelines, like me/chat:v2"
                          : "it leads nowhere: one weight at least is above 0");
}

/* POINTER, or {POINTER: WEIGHT, ...}. */
static void alias_take_targets(struct config_value *value, struct reading_alias *reading,
                               uint32_t node)
{
    enum document_kind kind = document_kind_of(value->document, node);
    if (kind == DOCUMENT_MAPPING) {
        alias_take_weights(value, reading, node);
    } else if (kind == DOCUMENT_LIST) {
        alias_problem(value, reading->where, node,
                      "it leads to one pipeline, like me/chat:v2, or to some with their weights, "
                      "like {me/chat:v2: 90, me/chat:v3: 10}");
    } else {
        const char *pointer = config_value_take(value, reading->where, &target_option, node);
        if (pointer)
            alias_add_target(value, reading, pointer, 1, node);
    }
}

static int alias_target_check(const char *text, char reason[CLI_REASON_BYTES])
{
    return pointer_is_valid(text, strlen(text))
               ? 0
               : refuse(reason, "'%.255s' is not a pointer like me/chat:v2", text);
}

/* ---- who stays ----------------------------------------------------------------------------- */

/* The name of a header; NULL: it is none. */
static const char *alias_sticky_header(const char *text)
{
    const char *name = text + strlen(STICKY_HEADER);
    if (strncmp(text, STICKY_HEADER, strlen(STICKY_HEADER)) != 0)
        return NULL;
    name += strspn(name, " ");
    size_t bytes = strspn(name, HEADER_LETTERS);
    return bytes > 0 && bytes <= ALIAS_HEADER_BYTES_MAX && name[bytes] == '\0' ? name : NULL;
}

static int alias_sticky_check(const char *text, char reason[CLI_REASON_BYTES])
{
    if (strcmp(text, STICKY_TOKEN) == 0 || alias_sticky_header(text))
        return 0;
    return refuse(reason,
                  CONFIG_KEY_STICKY " '%.80s' is neither token nor the name of a header, "
                                    "like header X-User (of %u letters at most)",
                  text, ALIAS_HEADER_BYTES_MAX);
}

static void alias_take_sticky(struct config_value *value, struct reading_alias *reading,
                              uint32_t node)
{
    char name[ALIAS_HEADER_BYTES_MAX + 1] = "";
    const char *text = config_value_take(value, reading->where, &sticky_option, node);
    const char *header = text ? alias_sticky_header(text) : NULL;
    if (!text)
        return;
    reading->alias->sticky = header ? ALIAS_STICKY_HEADER : ALIAS_STICKY_TOKEN;
    for (size_t i = 0; header && header[i] != '\0'; i++)
        name[i] = ascii_lower(header[i]);
    if (header)
        reading->alias->header = config_value_keep(value, name);
}

/* ---- all of them --------------------------------------------------------------------------- */

static void names_add(struct names *names, const char *name)
{
    if (names->count < NAME_COUNT_MAX)
        names->items[names->count++] = name;
}

static bool names_have(const struct names *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

/* Those of the file, also such as are wrong in another way. */
static void names_add_file(struct names *names, const struct document *document)
{
    for (uint32_t i = 0; i < document_count(document, DOCUMENT_ROOT); i++) {
        uint32_t node = document_member(document, DOCUMENT_ROOT, i);
        const char *key = document_text(document, document_key(document, DOCUMENT_ROOT, i));
        if (strcmp(key, CONFIG_KEY_PIPELINES) != 0 ||
            document_kind_of(document, node) != DOCUMENT_MAPPING)
            continue;
        for (uint32_t k = 0; k < document_count(document, node); k++)
            names_add(names, document_text(document, document_key(document, node, k)));
    }
}

/* What is wrong with them is told later. */
static void names_add_words(struct names *names, struct config_value *value)
{
    const struct cli_words *words = value->file->words;
    for (int i = 0; i < words->count; i++) {
        struct pipeline_config pipeline;
        char reason[CLI_REASON_BYTES];
        if (pipeline_config_parse(&pipeline, words->items[i], reason) < 0)
            continue;
        const char *pointer = config_value_keep(value, pipeline.pointer);
        if (pointer)
            names_add(names, pointer);
        pipeline_config_finish(&pipeline);
    }
}

void config_aliases_check(struct config_value *value)
{
    const struct config *config = value->file->config;
    struct names names = {.count = 0};
    const char *headers[ALIAS_HEADER_COUNT_MAX];
    uint32_t header_count = 0;
    if (config->alias_count == 0)
        return;
    names_add_file(&names, value->document);
    names_add_words(&names, value);
    for (uint32_t i = 0; i < config->alias_count; i++) {
        const struct alias_config *alias = &config->aliases[i];
        uint32_t k = 0;
        alias_check(value, alias, &names);
        while (alias->header && k < header_count && strcmp(headers[k], alias->header) != 0)
            k++;
        if (!alias->header || k < header_count)
            continue;
        if (header_count == ALIAS_HEADER_COUNT_MAX)
            problems_add(value->problems, alias->place, CONFIG_KEY_ALIASES,
                         "%s has one header too many: aliases look at %u different ones at most",
                         alias->pointer, ALIAS_HEADER_COUNT_MAX);
        else
            headers[header_count++] = alias->header;
    }
}

static bool alias_is_said(const struct config *config, const char *pointer)
{
    for (uint32_t i = 0; i < config->alias_count; i++)
        if (strcmp(config->aliases[i].pointer, pointer) == 0)
            return true;
    return false;
}

static void alias_check(struct config_value *value, const struct alias_config *alias,
                        const struct names *names)
{
    char where[WHERE_BYTES];
    snprintf(where, sizeof where, "%s.%.255s", CONFIG_KEY_ALIASES, alias->pointer);
    if (names_have(names, alias->pointer))
        problems_add(value->problems, alias->place, where,
                     "this is the pointer of a pipeline: an alias needs another one");
    for (uint32_t i = 0; i < alias->target_count; i++) {
        const struct alias_target *target = &alias->targets[i];
        if (names_have(names, target->pointer))
            continue;
        if (alias_is_said(value->file->config, target->pointer)) {
            problems_add(value->problems, target->place, where,
                         "%s is an alias, too: name the pipelines that it leads to",
                         target->pointer);
            continue;
        }
        const char *nearest = names->count > 0 ? cli_nearest(target->pointer, names->items) : NULL;
        problems_add(value->problems, target->place, where, "unknown alias target \"%s\"%s%s%s",
                     target->pointer, nearest ? " (nearest: " : "", nearest ? nearest : "",
                     nearest ? ")" : "");
    }
}
