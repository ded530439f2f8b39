/* SPDX-License-Identifier: MIT */
/*
 * reload_after.h - pipelines whose new workers start after the old ones have gone, --reload-after:
 * where a device or the memory holds one set of them only.
 */
#ifndef DISPATCHER_RELOAD_AFTER_H
#define DISPATCHER_RELOAD_AFTER_H

#include <stdbool.h>

struct pipeline;
struct runs;

/* Once a pass: the workers of one that is coming start when there is room for them. */
void reload_after_start(struct runs *runs, struct pipeline *coming);

/* None is coming any more: those that made room for one that failed serve again, once what that
 * left is gone. True: all of them do. */
bool reload_after_end(struct runs *runs);

#endif
