/* SPDX-License-Identifier: MIT */
/*
 * reload_aliases.h - aliases move to what a new configuration says, each when all that it leads to
 * is served.
 *
 * No moment leaves an alias that leads to nothing. So a pipeline that is not in the new
 * configuration, and that an alias still leads to, is served until the alias has moved; and where
 * it cannot move, since a pipeline did not start, both stay as they are.
 */
#ifndef DISPATCHER_RELOAD_ALIASES_H
#define DISPATCHER_RELOAD_ALIASES_H

#include <stdbool.h>

struct alias_config;
struct config;
struct pipeline;
struct server;

/* Where an alias leads from now on: "me/chat:v2 90, me/chat:v3 10". */
void reload_alias_log(struct server *server, const struct alias_config *alias);

/* There is a new configuration: none of its aliases has been looked at. */
void reload_aliases_begin(struct server *server);

/* Whether a pipeline that is not in it has to wait for aliases. */
bool reload_aliases_need(const struct server *server, const struct pipeline *pipeline);

/* Once a pass: those move that can, and go that are not said any more; then pipelines go that
 * waited. */
void reload_aliases_step(struct server *server);

/* Says which would be other ones with this configuration, and no more. */
void reload_aliases_compare(struct server *server, const struct config *next);

/* No pipeline is coming any more. */
void reload_aliases_end(struct server *server);

#endif
