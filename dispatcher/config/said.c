/* SPDX-License-Identifier: MIT */
/* said.c - what was said of options that may be said for one pipeline: [POINTER=]VALUE. */
#include "dispatcher/config/said.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/pointer.h"
#include "dispatcher/config/refuse.h"

static struct saying said_split(const struct cli_option *option, const char *text);
static int said_value_set(const struct saying *saying, void *values, char reason[CLI_REASON_BYTES]);
static bool said_is_there(const struct said *said, const struct saying *saying);
static bool said_is_same(const struct saying *saying, const struct saying *other);
static int said_append(struct said *said, const struct saying *saying,
                       char reason[CLI_REASON_BYTES]);

int said_take(struct said *said, const struct cli_option *option, const char *text,
              char reason[CLI_REASON_BYTES])
{
    struct saying saying = said_split(option, text);
    struct cli_option anywhere = *option;
    uint64_t unused;
    mr_assert(option->by_pipeline);
    mr_assert(option->bytes <= sizeof unused);
    anywhere.offset = 0;
    int rc = said_value_set(
        &(struct saying){&anywhere, saying.pointer, saying.pointer_bytes, saying.value, 0, 0},
        &unused, reason);
    if (rc < 0)
        return rc;
    if (said_is_there(said, &saying))
        return refuse(reason, "--%s is said twice for %.*s", option->name,
                      (int)saying.pointer_bytes, saying.pointer);
    return said_append(said, &saying, reason);
}

int said_put(struct said *said, const struct saying *saying, char reason[CLI_REASON_BYTES])
{
    mr_assert(saying->option->by_pipeline && saying->line > 0);
    for (uint32_t i = 0; i < said->count; i++)
        if (said->items[i].line == 0 && said_is_same(&said->items[i], saying))
            return 0;
    return said_append(said, saying, reason);
}

void said_blame(const struct said *said, const struct saying *saying, char reason[CLI_REASON_BYTES])
{
    char why[CLI_REASON_BYTES];
    if (saying->line == 0)
        return;
    snprintf(why, sizeof why, "%s", reason);
    snprintf(reason, CLI_REASON_BYTES, "%.300s:%u:%u: %.680s", said->file, saying->line,
             saying->column, why);
}

void said_finish(struct said *said)
{
    free(said->items);
    *said = (struct said){0};
}

bool said_is_for(const struct saying *saying, const char *pointer)
{
    return saying->pointer_bytes == 0 ||
           (strlen(pointer) == saying->pointer_bytes &&
            memcmp(pointer, saying->pointer, saying->pointer_bytes) == 0);
}

int said_check(const struct said *said, const char *const *pointers, char reason[CLI_REASON_BYTES])
{
    for (uint32_t i = 0; i < said->count; i++) {
        const struct saying *saying = &said->items[i];
        uint32_t k = 0;
        while (pointers[k] && !said_is_for(saying, pointers[k]))
            k++;
        if (pointers[k] || saying->pointer_bytes == 0)
            continue;
        char pointer[POINTER_BYTES_MAX + 1];
        snprintf(pointer, sizeof pointer, "%.*s", (int)saying->pointer_bytes, saying->pointer);
        const char *nearest = pointers[0] ? cli_nearest(pointer, pointers) : NULL;
        return refuse(reason, "--%s: no pipeline %s is served%s%s%s", saying->option->name, pointer,
                      nearest ? " (nearest: " : "", nearest ? nearest : "", nearest ? ")" : "");
    }
    return 0;
}

int said_apply(const struct said *said, const char *pointer, void *values,
               char reason[CLI_REASON_BYTES])
{
    for (int has_pointer = 0; has_pointer < 2; has_pointer++) {
        for (uint32_t i = 0; i < said->count; i++) {
            const struct saying *saying = &said->items[i];
            if ((saying->pointer_bytes > 0) != has_pointer || !said_is_for(saying, pointer))
                continue;
            int rc = said_value_set(saying, values, reason);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

const struct saying *said_next(const struct said *said, const char *name, const char *pointer,
                               uint32_t *at)
{
    while (*at < said->count) {
        const struct saying *saying = &said->items[(*at)++];
        if (strcmp(saying->option->name, name) == 0 && said_is_for(saying, pointer))
            return saying;
    }
    return NULL;
}

bool said_has(const struct said *said, const char *name, const char *pointer)
{
    uint32_t at = 0;
    return said_next(said, name, pointer, &at) != NULL;
}

/* A flag's pointer may stand alone: then it is on. */
static struct saying said_split(const struct cli_option *option, const char *text)
{
    struct saying saying = {.option = option, .pointer = text, .value = text};
    bool is_flag = option->kind == CLI_FLAG;
    if (is_flag && (!text || pointer_is_valid(text, strlen(text)))) {
        saying.pointer_bytes = text ? strlen(text) : 0;
        saying.value = "on";
        return saying;
    }
    saying.pointer_bytes = pointer_prefix_bytes(text);
    if (saying.pointer_bytes > 0)
        saying.value += saying.pointer_bytes + 1;
    return saying;
}

/* Lists are read by those whose they are. */
static int said_value_set(const struct saying *saying, void *values, char reason[CLI_REASON_BYTES])
{
    const struct cli_option *option = saying->option;
    char why[CLI_REASON_BYTES];
    int rc = 0;
    if (option->kind != CLI_LIST)
        rc = cli_set(option, saying->value, values, why);
    else if (*saying->value == '\0')
        rc = refuse(why, "--%s needs a value that is not empty", option->name);
    else if (option->check)
        rc = option->check(saying->value, why);
    if (rc < 0 && saying->pointer_bytes > 0)
        return refuse(reason, "%.*s: %.700s", (int)saying->pointer_bytes, saying->pointer, why);
    return rc < 0 ? refuse(reason, "%s", why) : 0;
}

static bool said_is_there(const struct said *said, const struct saying *saying)
{
    if (saying->pointer_bytes == 0 || saying->option->kind == CLI_LIST)
        return false;
    for (uint32_t i = 0; i < said->count; i++)
        if (said_is_same(&said->items[i], saying))
            return true;
    return false;
}

/* Of the same option, for the same pipeline or both for all. */
static bool said_is_same(const struct saying *saying, const struct saying *other)
{
    return other->option == saying->option && other->pointer_bytes == saying->pointer_bytes &&
           (saying->pointer_bytes == 0 ||
            memcmp(other->pointer, saying->pointer, saying->pointer_bytes) == 0);
}

static int said_append(struct said *said, const struct saying *saying,
                       char reason[CLI_REASON_BYTES])
{
    if (said->count == SAID_COUNT_MAX)
        return refuse(reason, "%u options of pipelines at most", SAID_COUNT_MAX);
    struct saying *items = realloc(said->items, (said->count + 1) * sizeof *items);
    if (!items) {
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    said->items = items;
    items[said->count++] = *saying;
    return 0;
}
