/* SPDX-License-Identifier: MIT */
/*
 * owner.h - to whom runs, and whatever else is kept for callers, belong: to the token they came
 * with.
 *
 * An owner is a number below owner_count(): the place of its token among those of the config, which
 * does not change while the server runs, also when there are others. Where there are no tokens, or
 * callers share what there is, everything belongs to the one owner 0, and nobody else has to ask
 * which of these is the case:
 *
 *     thing->owner = conn->request.owner;             when it is made
 *     if (thing->owner != conn->request.owner) ...    it is as if there were none: 404
 */
#ifndef DISPATCHER_OWNER_H
#define DISPATCHER_OWNER_H

#include <stdint.h>

#include "dispatcher/config/config.h"

#define OWNER_NOBODY UINT32_MAX /* of requests without a good token, where there are tokens */

/* At least 1. */
uint32_t owner_count(const struct config *config);

/* The owner of what comes with this token; NULL: with none that is good. */
uint32_t owner_of(const struct config *config, const struct token_entry *token);

#endif
