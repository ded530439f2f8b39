/* SPDX-License-Identifier: MIT */
/* alias.c - a list of aliases, and where each leads. */
#include "dispatcher/runs/alias.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/text.h"

static void alias_free(struct alias *alias);
static int alias_fill(struct alias *alias, const struct alias_config *config);
static void alias_take_over(struct alias *alias, struct alias *next);
static void alias_places_free(struct alias *alias);

/* NULL: no memory. */
static char *alias_copy(const char *text)
{
    return text_duplicate(text, strlen(text));
}

/* ---- the list ------------------------------------------------------------------------------ */

static struct alias *aliases_look(const struct aliases *aliases, const char *pointer)
{
    struct alias *alias = aliases->first;
    while (alias && strcmp(alias->pointer, pointer) != 0)
        alias = alias->next;
    return alias;
}

static struct alias *alias_served_from(struct alias *alias)
{
    while (alias && !alias->is_served)
        alias = alias->next;
    return alias;
}

struct alias *aliases_find(const struct aliases *aliases, const char *pointer)
{
    struct alias *alias = aliases_look(aliases, pointer);
    return alias && alias->is_served ? alias : NULL;
}

struct alias *aliases_first(const struct aliases *aliases)
{
    return alias_served_from(aliases->first);
}

struct alias *alias_next(const struct alias *alias)
{
    return alias_served_from(alias->next);
}

struct alias *aliases_find_place(const struct aliases *aliases, const char *pipeline_pointer)
{
    for (struct alias *alias = aliases_first(aliases); alias; alias = alias_next(alias))
        for (uint32_t i = 0; i < alias->place_count; i++)
            if (strcmp(alias->places[i].pointer, pipeline_pointer) == 0)
                return alias;
    return NULL;
}

static struct alias *aliases_add(struct aliases *aliases, const char *pointer)
{
    struct alias **end = &aliases->first;
    struct alias *alias = calloc(1, sizeof *alias);
    if (!alias)
        return NULL;
    alias->pointer = alias_copy(pointer);
    if (!alias->pointer) {
        free(alias);
        return NULL;
    }
    while (*end)
        end = &(*end)->next;
    *end = alias;
    return alias;
}

static void aliases_remove(struct aliases *aliases, struct alias *alias)
{
    struct alias **link = &aliases->first;
    while (*link != alias)
        link = &(*link)->next;
    *link = alias->next;
    alias_free(alias);
}

static void aliases_count(struct aliases *aliases)
{
    aliases->served_count = aliases->header_count = 0;
    for (const struct alias *alias = aliases_first(aliases); alias; alias = alias_next(alias)) {
        aliases->served_count++;
        aliases->header_count += alias->header != NULL;
    }
}

int aliases_serve(struct aliases *aliases, const struct alias_config *config)
{
    struct alias filled = {.pointer = NULL};
    int rc = alias_fill(&filled, config);
    struct alias *alias = rc == 0 ? aliases_look(aliases, config->pointer) : NULL;
    if (rc == 0 && !alias)
        alias = aliases_add(aliases, config->pointer);
    if (!alias) {
        alias_places_free(&filled);
        return -ENOMEM;
    }
    alias_take_over(alias, &filled);
    alias->is_served = true;
    aliases_count(aliases);
    return 0;
}

void aliases_drop(struct aliases *aliases, struct alias *alias)
{
    mr_assert(alias->is_served);
    alias->is_served = false;
    if (alias->user_count == 0)
        aliases_remove(aliases, alias);
    aliases_count(aliases);
}

void alias_keep(struct alias *alias)
{
    alias->user_count++;
}

void alias_let_go(struct aliases *aliases, struct alias *alias)
{
    mr_assert(alias->user_count > 0);
    if (--alias->user_count == 0 && !alias->is_served)
        aliases_remove(aliases, alias);
}

void aliases_finish(struct aliases *aliases)
{
    while (aliases->first)
        aliases_remove(aliases, aliases->first);
    *aliases = (struct aliases){0};
}

/* ---- one of them --------------------------------------------------------------------------- */

static void alias_places_free(struct alias *alias)
{
    for (uint32_t i = 0; i < alias->place_count; i++)
        free(alias->places[i].pointer);
    free(alias->header);
    alias->place_count = 0;
    alias->header = NULL;
}

static void alias_free(struct alias *alias)
{
    alias_places_free(alias);
    free(alias->pointer);
    free(alias);
}

/* Keys are spread for each alias in another way: where two have the same weights, a key is not with
 * the few in both. */
static uint64_t alias_identity(const char *pointer, const char *place)
{
    return alias_hash_two(alias_hash(pointer, strlen(pointer)), alias_hash(place, strlen(place)));
}

static int alias_fill(struct alias *alias, const struct alias_config *config)
{
    for (uint32_t i = 0; i < config->target_count; i++) {
        const struct alias_target *target = &config->targets[i];
        alias->choices[i] = (struct alias_choice){
            .identity = alias_identity(config->pointer, target->pointer), .weight = target->weight};
        alias->places[i] = (struct alias_place){.pointer = alias_copy(target->pointer)};
        alias->place_count++;
        if (!alias->places[i].pointer)
            return -ENOMEM;
    }
    alias->sticky = config->sticky;
    if (!config->header)
        return 0;
    alias->header = alias_copy(config->header);
    alias->header_hash = alias_hash(config->header, strlen(config->header));
    return alias->header ? 0 : -ENOMEM;
}

/* Turns begin again; what was counted of places that stay goes on. */
static void alias_take_over(struct alias *alias, struct alias *next)
{
    for (uint32_t i = 0; i < next->place_count; i++)
        for (uint32_t k = 0; k < alias->place_count; k++)
            if (strcmp(next->places[i].pointer, alias->places[k].pointer) == 0)
                next->places[i].run_count = alias->places[k].run_count;
    alias_places_free(alias);
    memcpy(alias->places, next->places, sizeof alias->places);
    memcpy(alias->choices, next->choices, sizeof alias->choices);
    alias->place_count = next->place_count;
    alias->sticky = next->sticky;
    alias->header = next->header;
    alias->header_hash = next->header_hash;
}

bool alias_is(const struct alias *alias, const struct alias_config *config)
{
    if (alias->place_count != config->target_count || alias->sticky != config->sticky ||
        (config->header && strcmp(alias->header, config->header) != 0))
        return false;
    for (uint32_t i = 0; i < alias->place_count; i++)
        if (strcmp(alias->places[i].pointer, config->targets[i].pointer) != 0 ||
            alias->choices[i].weight != config->targets[i].weight)
            return false;
    return true;
}

const char *alias_choose(struct alias *alias, const uint64_t *key)
{
    uint32_t place = alias->sticky != ALIAS_STICKY_NOT && key
                         ? alias_choose_key(alias->choices, alias->place_count, *key)
                         : alias_choose_turn(alias->choices, alias->place_count);
    alias->places[place].run_count++;
    return alias->places[place].pointer;
}
