/* SPDX-License-Identifier: MIT */
/* environment.c - a short list of NAME=VALUE. */
#include "dispatcher/config/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/refuse.h"

static bool environment_is_of_name(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= '0' && c <= '9' && !is_first);
}

/* How long the name is before its '='; 0: that is none. */
static size_t environment_name_bytes(const char *item)
{
    size_t bytes = 0;
    while (environment_is_of_name(item[bytes], bytes == 0))
        bytes++;
    return item[bytes] == '=' ? bytes : 0;
}

static const char *environment_find(const struct environment *environment, const char *name,
                                    size_t name_bytes)
{
    for (uint32_t i = 0; i < environment->count; i++) {
        const char *item = environment->items[i];
        if (strncmp(item, name, name_bytes) == 0 && item[name_bytes] == '=')
            return item + name_bytes + 1;
    }
    return NULL;
}

static int environment_append(struct environment *environment, const char *item, size_t bytes)
{
    char **items =
        realloc(environment->items, (environment->count + 1) * sizeof *environment->items);
    if (!items)
        return -ENOMEM;
    environment->items = items;
    char *copy = malloc(bytes);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, item, bytes);
    items[environment->count++] = copy;
    environment->bytes += (uint32_t)bytes;
    return 0;
}

int environment_add(struct environment *environment, const char *item,
                    char reason[CLI_REASON_BYTES])
{
    size_t name_bytes = environment_name_bytes(item), bytes = strlen(item) + 1;
    if (name_bytes == 0)
        return refuse(reason, "'%.64s' is not NAME=VALUE (letters, digits and _)", item);
    if (environment_find(environment, item, name_bytes))
        return refuse(reason, "the variable %.*s is given twice",
                      (int)(name_bytes < 64 ? name_bytes : 64), item);
    if (environment->count == ENVIRONMENT_COUNT_MAX)
        return refuse(reason, "%u variables of a pipeline at most", ENVIRONMENT_COUNT_MAX);
    if (bytes > ENVIRONMENT_BYTES_MAX - environment->bytes)
        return refuse(reason, "the variables of a pipeline have %u bytes at most",
                      ENVIRONMENT_BYTES_MAX);
    int rc = environment_append(environment, item, bytes);
    if (rc < 0)
        snprintf(reason, CLI_REASON_BYTES, "no memory");
    return rc;
}

void environment_finish(struct environment *environment)
{
    for (uint32_t i = 0; i < environment->count; i++)
        free(environment->items[i]);
    free(environment->items);
    *environment = (struct environment){0};
}

const char *environment_value(const struct environment *environment, const char *name)
{
    const char *value = environment_find(environment, name, strlen(name));
    return value ? value : getenv(name);
}
