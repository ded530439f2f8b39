/* SPDX-License-Identifier: MIT */
/*
 * config_alias.h - the aliases of a configuration file.
 *
 *     aliases:
 *       me/chat:prod: me/chat:v2
 *       me/chat:next: {me/chat:v2: 90, me/chat:v3: 10}
 *       me/chat:user: {to: {me/chat:v2: 90, me/chat:v3: 10}, sticky: header X-User}
 *
 * For config_file.c. Every function tells what is wrong as a problem and goes on.
 */
#ifndef DISPATCHER_CONFIG_ALIAS_H
#define DISPATCHER_CONFIG_ALIAS_H

#include <stdint.h>

#include "dispatcher/config/config_value.h"

/* Keys of an alias. */
#define CONFIG_KEY_TO "to"
#define CONFIG_KEY_STICKY "sticky"

/* Takes what is below `aliases`. */
void config_aliases_take(struct config_value *value, uint32_t node);

/* When all of the file was taken: whether they lead to pipelines, of it or of the command line. */
void config_aliases_check(struct config_value *value);

#endif
