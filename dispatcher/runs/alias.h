/* SPDX-License-Identifier: MIT */
/*
 * alias.h - the aliases that are served: other pointers, each of one pipeline or of some.
 *
 * An alias is a copy of what a configuration says, so that it can stay as it is when the next one
 * cannot be had. Runs that came by it keep it: it goes with the last of them.
 */
#ifndef DISPATCHER_ALIAS_H
#define DISPATCHER_ALIAS_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/alias_config.h"
#include "dispatcher/runs/alias_choice.h"
#include "millrace/check.h"

struct alias_place {
    char *pointer;      /* of a pipeline; owned */
    uint64_t run_count; /* that it was chosen for; stays as long as the alias has that place */
};

/* Owned by its list. */
struct alias {
    char *pointer;  /* owned */
    bool is_served; /* else only runs that came by it know it */
    uint32_t user_count;
    struct alias *next;

    struct alias_place places[ALIAS_TARGET_COUNT_MAX];
    struct alias_choice choices[ALIAS_TARGET_COUNT_MAX]; /* of the same numbers */
    uint32_t place_count;
    enum alias_sticky sticky;
    char *header;         /* that is looked at, in lower case; owned; NULL: none */
    uint64_t header_hash; /* alias_hash() of it */
};

/* In the order in which they came; zero is empty. */
struct aliases {
    struct alias *first;
    uint32_t served_count;
    uint32_t header_count; /* of those that look at one */
};

/* Serves what the configuration says: a new one, or one that is there, which moves with the next
 * run. 0 or -ENOMEM: it is as it was. */
int aliases_serve(struct aliases *aliases, const struct alias_config *config) MUST_USE;

/* It is not served any more. */
void aliases_drop(struct aliases *aliases, struct alias *alias);

/* Whether it is what the configuration says. */
bool alias_is(const struct alias *alias, const struct alias_config *config);

/* The one of this pointer that is served, or NULL. */
struct alias *aliases_find(const struct aliases *aliases, const char *pointer);

/* The first one that is served and may lead to this pipeline, or NULL. */
struct alias *aliases_find_place(const struct aliases *aliases, const char *pipeline_pointer);

/* The first that is served, and the next one after one; or NULL. */
struct alias *aliases_first(const struct aliases *aliases);
struct alias *alias_next(const struct alias *alias);

/* Of which pipeline the next run is to be: its pointer. `key` is what its client is known by, NULL:
 * nothing, or the alias does not ask. */
const char *alias_choose(struct alias *alias, const uint64_t *key);

/* Somebody came by it, and needs it no more. */
void alias_keep(struct alias *alias);
void alias_let_go(struct aliases *aliases, struct alias *alias);

/* All there are; nobody may have kept one afterwards. */
void aliases_finish(struct aliases *aliases);

#endif
