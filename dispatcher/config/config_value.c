/* SPDX-License-Identifier: MIT */
/* config_value.c - a value of a configuration file becomes what its option says. */
#include "dispatcher/config/config_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/device_mapping.h"
#include "dispatcher/config/manifest_value.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define DIGITS "0123456789"

/* Where a problem is. */
struct spot {
    const char *where;
    uint32_t node;
};

static bool value_read(struct config_value *value, struct spot spot,
                       const struct cli_option *option, const char **out);
static bool value_range(struct config_value *value, struct spot spot,
                        const struct cli_option *option, const char **out);
static bool value_devices(struct config_value *value, struct spot spot, const char **out);
static bool value_json(struct config_value *value, struct spot spot,
                       const struct cli_option *option, const char **out);
static bool value_text(struct config_value *value, struct spot spot,
                       const struct cli_option *option, const char **out);
static bool value_expand(struct config_value *value, struct spot spot, const char *text,
                         const char **out);
static const char *value_expanded_put(struct config_value *value, struct spot spot,
                                      const char *text, FILE *file);
static const char *value_path(struct config_value *value, const struct cli_option *option,
                              const char *text);
static const char *value_word(const struct config_value *value, const struct cli_option *option,
                              uint32_t node, const char *text);
static bool value_check(struct config_value *value, struct spot spot,
                        const struct cli_option *option, const char *text);
static void value_say_text(struct config_value *value, struct spot spot,
                           const struct cli_option *option, const char *pointer, const char *text);
static void value_problem(struct config_value *value, struct spot spot, const char *reason);
static const char *value_adopt(struct config_value *value, char *text);
static uint32_t value_item_count(const struct config_value *value, const struct cli_option *option,
                                 uint32_t node);
static uint32_t value_item(const struct config_value *value, uint32_t node, uint32_t at);

/* ---- the file ------------------------------------------------------------------------------ */

/* "" for a file in the folder where we are. */
int config_value_begin(struct config_value *value)
{
    const char *path = value->file->path;
    const char *slash = strrchr(path, '/');
    size_t bytes = slash ? (size_t)(slash - path) : 0;
    char *folder = slash == path ? strdup("/") : strndup(path, bytes);
    value->folder = value_adopt(value, folder);
    return value->rc;
}

const char *config_value_keep(struct config_value *value, const char *text)
{
    return value_adopt(value, strdup(text));
}

/* ---- what it says -------------------------------------------------------------------------- */

const char *config_value_take(struct config_value *value, const char *where,
                              const struct cli_option *option, uint32_t node)
{
    struct spot spot = {where, node};
    const char *text;
    if (!value_text(value, spot, option, &text) || !value_check(value, spot, option, text))
        return NULL;
    return text;
}

void config_value_set(struct config_value *value, const struct cli_option *option, uint32_t node)
{
    const struct config_file *file = value->file;
    bool is_given = file->words->given[option - file->command->options];
    for (uint32_t i = 0; i < value_item_count(value, option, node); i++) {
        struct spot spot = {"", option->kind == CLI_LIST ? value_item(value, node, i) : node};
        const char *text;
        char reason[CLI_REASON_BYTES];
        if (!value_read(value, spot, option, &text))
            continue;
        if (!is_given && cli_set(option, text, file->values, reason) < 0)
            value_problem(value, spot, reason);
    }
}

void config_value_say(struct config_value *value, const char *where,
                      const struct cli_option *option, const char *pointer, uint32_t node)
{
    for (uint32_t i = 0; i < value_item_count(value, option, node); i++) {
        struct spot spot = {where, option->kind == CLI_LIST ? value_item(value, node, i) : node};
        const char *text;
        if (value_read(value, spot, option, &text))
            value_say_text(value, spot, option, pointer, text);
    }
}

void config_value_environment(struct config_value *value, const char *where,
                              const struct cli_option *option, const char *pointer, uint32_t key,
                              uint32_t node)
{
    const struct document *document = value->document;
    mr_assert(option != NULL);
    if (document_is_null(document, node))
        return;
    if (document_kind_of(document, node) != DOCUMENT_MAPPING) {
        char reason[CLI_REASON_BYTES];
        snprintf(reason, sizeof reason, "%s is names and values, like {OMP_NUM_THREADS: 4}",
                 document_text(document, key));
        value_problem(value, (struct spot){where, node}, reason);
        return;
    }
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        struct spot spot = {where, document_member(document, node, i)};
        const char *name = document_text(document, document_key(document, node, i)), *text = NULL;
        char *item = NULL;
        bool has_value = !document_is_null(document, spot.node);
        if (has_value && !value_text(value, spot, NULL, &text))
            continue;
        if (asprintf(&item, "%s%s%s", name, has_value ? "=" : "", has_value ? text : "") == -1)
            item = NULL;
        const char *kept = value_adopt(value, item);
        if (kept && value_check(value, spot, option, kept))
            value_say_text(value, spot, option, pointer, kept);
    }
}

void config_value_source(struct config_value *value, const char *where, const char *pointer,
                         uint32_t node)
{
    struct spot spot = {where, node};
    struct document_place place = document_place_of(value->document, node);
    const char *text;
    char reason[CLI_REASON_BYTES];
    if (!value_text(value, spot, NULL, &text))
        return;
    int rc = config_add_source(value->file->config, pointer, text, value->folder, place, reason);
    if (rc < 0)
        value_problem(value, spot, reason);
    if (rc == -ENOMEM)
        value->rc = rc;
}

/* ---- values -------------------------------------------------------------------------------- */

/* A list may be one value; what is no list is one. */
static uint32_t value_item_count(const struct config_value *value, const struct cli_option *option,
                                 uint32_t node)
{
    bool is_list = document_kind_of(value->document, node) == DOCUMENT_LIST;
    return option->kind == CLI_LIST && is_list ? document_count(value->document, node) : 1;
}

static uint32_t value_item(const struct config_value *value, uint32_t node, uint32_t at)
{
    bool is_list = document_kind_of(value->document, node) == DOCUMENT_LIST;
    return is_list ? document_item(value->document, node, at) : node;
}

/* What the option can be. */
static bool value_read(struct config_value *value, struct spot spot,
                       const struct cli_option *option, const char **out)
{
    bool is_mapping = document_kind_of(value->document, spot.node) == DOCUMENT_MAPPING;
    bool is_read = false;
    if (is_mapping && option->kind == CLI_RANGE)
        is_read = value_range(value, spot, option, out);
    else if (is_mapping && option->kind == CLI_LIST && strcmp(option->name, "devices") == 0)
        is_read = value_devices(value, spot, out);
    else if (option->is_list_of_json &&
             document_kind_of(value->document, spot.node) == DOCUMENT_LIST)
        is_read = value_json(value, spot, option, out);
    else
        is_read = value_text(value, spot, option, out);
    return is_read && value_check(value, spot, option, *out);
}

/* {kind: vulkan, count: 4}. */
static bool value_devices(struct config_value *value, struct spot spot, const char **out)
{
    char *text, reason[CLI_REASON_BYTES];
    struct spot its = spot;
    if (device_mapping_text(value->document, spot.node, &text, &its.node, reason) < 0) {
        value_problem(value, its, reason);
        return false;
    }
    bool is_read = value_expand(value, spot, text, out);
    free(text);
    return is_read;
}

/* A list of anything, as JSON; nothing in it is the name of a variable. */
static bool value_json(struct config_value *value, struct spot spot,
                       const struct cli_option *option, const char **out)
{
    struct text text = {0};
    char reason[CLI_REASON_BYTES];
    bool is_whole = manifest_json_add(value->document, spot.node, CLI_JSON_BYTES_MAX, &text);
    if (!is_whole && !text.failed) {
        snprintf(reason, sizeof reason, "%s is larger than %u bytes, or nested too deep",
                 cli_key(option), CLI_JSON_BYTES_MAX);
        value_problem(value, spot, reason);
        text_finish(&text);
        return false;
    }
    text_add_bytes(&text, "", 1);
    if (text.failed)
        text_finish(&text);
    *out = value_adopt(value, text.bytes);
    return *out != NULL;
}

/* One of the two numbers of a range, at their keys; NULL: it is none of them, or wrong. */
static const char *value_bound(struct config_value *value, struct spot spot,
                               const struct cli_option *option, const char *key)
{
    char name[64];
    const char *text;
    struct cli_option bound = {.kind = CLI_NUMBER,
                               .name = name,
                               .bytes = sizeof(uint32_t),
                               .min = option->min,
                               .max = option->max};
    snprintf(name, sizeof name, "%s.%s", cli_key(option), key);
    if (!value_text(value, spot, &bound, &text) || !value_check(value, spot, &bound, text))
        return NULL;
    return text;
}

/* {min: 1, max: 8}. */
static bool value_range(struct config_value *value, struct spot spot,
                        const struct cli_option *option, const char **out)
{
    static const char *const keys[] = {"min", "max", NULL};
    const struct document *document = value->document;
    const char *texts[2] = {NULL, NULL};
    bool is_there[2] = {false, false}, is_known = true, is_right = true;
    char reason[CLI_REASON_BYTES], *both = NULL;
    for (uint32_t i = 0; i < document_count(document, spot.node); i++) {
        uint32_t key = document_key(document, spot.node, i);
        const char *name = document_text(document, key), *nearest = cli_nearest(name, keys);
        uint32_t at = strcmp(name, keys[0]) == 0 ? 0 : 1;
        if (strcmp(name, keys[at]) == 0) {
            struct spot its = {spot.where, document_member(document, spot.node, i)};
            is_there[at] = true;
            texts[at] = value_bound(value, its, option, keys[at]);
            is_right &= texts[at] != NULL;
            continue;
        }
        is_known = false;
        snprintf(reason, sizeof reason, "%s: unknown key \"%.100s\"%s%s%s", cli_key(option), name,
                 nearest ? " (nearest: " : "", nearest ? nearest : "", nearest ? ")" : "");
        value_problem(value, (struct spot){spot.where, key}, reason);
    }
    for (uint32_t i = 0; i < 2 && is_known; i++) {
        if (is_there[i])
            continue;
        is_right = false;
        snprintf(reason, sizeof reason, "%s has no %s, like {min: 1, max: 8}", cli_key(option),
                 keys[i]);
        value_problem(value, spot, reason);
    }
    is_right &= is_known;
    if (is_right && asprintf(&both, "%s-%s", texts[0], texts[1]) == -1)
        both = NULL;
    *out = is_right ? value_adopt(value, both) : NULL;
    return *out != NULL;
}

/* As the option takes it; of none, what is written there. */
static bool value_text(struct config_value *value, struct spot spot,
                       const struct cli_option *option, const char **out)
{
    const struct document *document = value->document;
    const char *name = option ? cli_key(option) : "it", *text = NULL;
    char reason[CLI_REASON_BYTES];
    enum document_kind kind = document_kind_of(document, spot.node);
    if (kind != DOCUMENT_VALUE) {
        snprintf(reason, sizeof reason, "%s is %s, and not %s", name,
                 option && (option->kind == CLI_LIST || option->is_list_of_json)
                     ? "a value or a list of values"
                     : "one value",
                 kind == DOCUMENT_LIST ? "a list" : "a mapping");
        value_problem(value, spot, reason);
        return false;
    }
    if (document_is_null(document, spot.node)) {
        snprintf(reason, sizeof reason, "%s has no value", name);
        value_problem(value, spot, reason);
        return false;
    }
    if (!value_expand(value, spot, document_text(document, spot.node), &text))
        return false;
    if (option)
        text = value_word(value, option, spot.node, value_path(value, option, text));
    *out = text;
    return text != NULL;
}

/* true and false, as YAML has them, are on and off. */
static const char *value_word(const struct config_value *value, const struct cli_option *option,
                              uint32_t node, const char *text)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    if (!text || option->kind != CLI_FLAG || !document_is_plain(value->document, node))
        return text;
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0)
            return "on";
        if (strcmp(text, no[i]) == 0)
            return "off";
    }
    return text;
}

static const char *value_path(struct config_value *value, const struct cli_option *option,
                              const char *text)
{
    bool is_path = option->path == CLI_PATH ||
                   (option->path == CLI_PATH_OR_NONE && strcmp(text, "none") != 0) ||
                   (option->path == CLI_PATH_OR_NAME && strchr(text, '/'));
    char *path;
    if (!is_path || *text == '/' || *text == '\0' || *value->folder == '\0')
        return text;
    if (asprintf(&path, "%s/%s", strcmp(value->folder, "/") == 0 ? "" : value->folder, text) == -1)
        path = NULL;
    return value_adopt(value, path);
}

/* With the variables of this process in the places of their names. */
static bool value_expand(struct config_value *value, struct spot spot, const char *text,
                         const char **out)
{
    char *expanded = NULL;
    size_t bytes;
    if (!strstr(text, "${")) {
        *out = config_value_keep(value, text);
        return *out != NULL;
    }
    FILE *file = open_memstream(&expanded, &bytes);
    while (file && text && *text != '\0') {
        const char *next = strstr(text, "${");
        size_t plain = next ? (size_t)(next - text) : strlen(text);
        bool is_escaped = next && plain > 0 && next[-1] == '$';
        fwrite(text, 1, plain - is_escaped, file);
        text += plain;
        if (is_escaped) {
            fputs("${", file);
            text += strlen("${");
        } else if (next) {
            text = value_expanded_put(value, spot, text, file);
        }
    }
    if (!file || fclose(file) != 0 || !expanded) {
        free(expanded);
        expanded = NULL;
    }
    if (!text)
        free(expanded);
    else
        *out = value_adopt(value, expanded);
    return text && *out;
}

/* One ${NAME}; what follows it, or NULL: it is none. */
static const char *value_expanded_put(struct config_value *value, struct spot spot,
                                      const char *text, FILE *file)
{
    const char *start = text + strlen("${");
    size_t bytes = strspn(start, LETTERS DIGITS);
    char name[128], reason[CLI_REASON_BYTES];
    if (bytes == 0 || bytes >= sizeof name || strchr(DIGITS, *start) || start[bytes] != '}') {
        snprintf(reason, sizeof reason,
                 "%.60s begins no ${NAME} of a variable; $${ stands for two such characters", text);
        value_problem(value, spot, reason);
        return NULL;
    }
    snprintf(name, sizeof name, "%.*s", (int)bytes, start);
    const char *variable = getenv(name);
    if (!variable) {
        snprintf(reason, sizeof reason, "${%s}: there is no such variable", name);
        value_problem(value, spot, reason);
        return NULL;
    }
    fputs(variable, file);
    return start + bytes + 1;
}

static bool value_has_variable(const struct config_value *value, uint32_t node)
{
    return document_kind_of(value->document, node) == DOCUMENT_VALUE &&
           strstr(document_text(value->document, node), "${");
}

/* Whether the option can have that value. */
static bool value_check(struct config_value *value, struct spot spot,
                        const struct cli_option *option, const char *text)
{
    union {
        uint64_t number;
        const char *text;
        struct cli_list list;
    } unused = {.list = {.count = 0}};
    struct cli_option anywhere = *option;
    char reason[CLI_REASON_BYTES];
    anywhere.offset = 0;
    anywhere.name = cli_key(option);
    anywhere.max = option->kind == CLI_LIST ? 1 : option->max;
    if (option->kind == CLI_LIST && *text == '\0')
        snprintf(reason, sizeof reason, "%s needs a value that is not empty", anywhere.name);
    else if (cli_set(&anywhere, text, &unused, reason) == 0)
        return true;
    else if (value_has_variable(value, spot.node)) /* which may be a secret */
        snprintf(reason, sizeof reason, "%s cannot be what %.100s stands for", anywhere.name,
                 document_text(value->document, spot.node));
    value_problem(value, spot, reason);
    return false;
}

static void value_say_text(struct config_value *value, struct spot spot,
                           const struct cli_option *option, const char *pointer, const char *text)
{
    struct document_place place = document_place_of(value->document, spot.node);
    char reason[CLI_REASON_BYTES];
    int rc = said_put(&value->file->config->said,
                      &(struct saying){.option = option,
                                       .pointer = pointer,
                                       .pointer_bytes = strlen(pointer),
                                       .value = text,
                                       .line = place.line,
                                       .column = place.column},
                      reason);
    if (rc < 0)
        value_problem(value, spot, reason);
    if (rc == -ENOMEM)
        value->rc = rc;
}

/* A reason that is about an option begins with its dashes, which keys have not. */
static void value_problem(struct config_value *value, struct spot spot, const char *reason)
{
    problems_add(value->problems, document_place_of(value->document, spot.node), spot.where, "%s",
                 strncmp(reason, "--", 2) == 0 ? reason + 2 : reason);
}

/* The configuration's from now on. */
static const char *value_adopt(struct config_value *value, char *text)
{
    if (text && config_text_adopt(value->file->config, text) == 0)
        return text;
    if (value->rc == 0)
        problems_add(value->problems, (struct document_place){0}, "", "no memory");
    value->rc = -ENOMEM;
    return NULL;
}
