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

size_t environment_name_bytes(const char *item)
{
    size_t bytes = 0;
    while (environment_is_of_name(item[bytes], bytes == 0))
        bytes++;
    return bytes;
}

/* Where it is, or the count of all. */
static uint32_t environment_find(const struct environment *environment, const char *name,
                                 size_t name_bytes)
{
    uint32_t i = 0;
    while (i < environment->count && (strncmp(environment->items[i], name, name_bytes) != 0 ||
                                      environment->items[i][name_bytes] != '='))
        i++;
    return i;
}

static int environment_check(const char *item, size_t name_bytes, char reason[CLI_REASON_BYTES])
{
    if (name_bytes == 0 || item[name_bytes] != '=')
        return refuse(reason, "it is not NAME=VALUE (a name has letters, digits and _)");
    if (strncmp(item, ENVIRONMENT_OWN_PREFIX, strlen(ENVIRONMENT_OWN_PREFIX)) == 0)
        return refuse(reason,
                      "names that begin with " ENVIRONMENT_OWN_PREFIX " are the server's own");
    return 0;
}

static int environment_no_memory(char reason[CLI_REASON_BYTES])
{
    snprintf(reason, CLI_REASON_BYTES, "no memory");
    return -ENOMEM;
}

/* At this place: the last one's neighbour, or of one that goes. */
static int environment_put(struct environment *environment, uint32_t at, const char *item,
                           char reason[CLI_REASON_BYTES])
{
    size_t bytes = strlen(item) + 1, old_bytes = 0;
    bool is_new = at == environment->count;
    if (is_new && environment->count == ENVIRONMENT_COUNT_MAX)
        return refuse(reason, "%u variables of a pipeline at most", ENVIRONMENT_COUNT_MAX);
    if (!is_new)
        old_bytes = strlen(environment->items[at]) + 1;
    if (bytes > ENVIRONMENT_BYTES_MAX - (environment->bytes - old_bytes))
        return refuse(reason, "the variables of a pipeline have %u bytes at most",
                      ENVIRONMENT_BYTES_MAX);
    char *copy = malloc(bytes);
    if (!copy)
        return environment_no_memory(reason);
    memcpy(copy, item, bytes);
    if (is_new) {
        char **items = realloc(environment->items, (at + 1) * sizeof *items);
        if (!items) {
            free(copy);
            return environment_no_memory(reason);
        }
        environment->items = items;
        environment->count++;
    } else {
        free(environment->items[at]);
    }
    environment->items[at] = copy;
    environment->bytes += (uint32_t)(bytes - old_bytes);
    return 0;
}

int environment_add(struct environment *environment, const char *item,
                    char reason[CLI_REASON_BYTES])
{
    size_t name_bytes = environment_name_bytes(item);
    int rc = environment_check(item, name_bytes, reason);
    if (rc < 0)
        return rc;
    uint32_t at = environment_find(environment, item, name_bytes);
    if (at < environment->count)
        return refuse(reason, "the variable %.*s is given twice",
                      (int)(name_bytes < 64 ? name_bytes : 64), item);
    return environment_put(environment, at, item, reason);
}

int environment_set(struct environment *environment, const char *item,
                    char reason[CLI_REASON_BYTES])
{
    size_t name_bytes = environment_name_bytes(item);
    int rc = environment_check(item, name_bytes, reason);
    if (rc < 0)
        return rc;
    return environment_put(environment, environment_find(environment, item, name_bytes), item,
                           reason);
}

int environment_merge(struct environment *environment, const struct environment *other,
                      char reason[CLI_REASON_BYTES])
{
    int rc = 0;
    for (uint32_t i = 0; i < other->count && rc == 0; i++)
        rc = environment_set(environment, other->items[i], reason);
    return rc;
}

void environment_finish(struct environment *environment)
{
    for (uint32_t i = 0; i < environment->count; i++)
        free(environment->items[i]);
    free(environment->items);
    *environment = (struct environment){0};
}

const char *environment_own_value(const struct environment *environment, const char *name)
{
    size_t name_bytes = strlen(name);
    uint32_t at = environment_find(environment, name, name_bytes);
    return at < environment->count ? environment->items[at] + name_bytes + 1 : NULL;
}

const char *environment_value(const struct environment *environment, const char *name)
{
    const char *value = environment_own_value(environment, name);
    return value ? value : getenv(name);
}
