/* SPDX-License-Identifier: MIT */
/*
 * child_group.h - children of ours that somebody else has made, by their process group.
 */
#ifndef DISPATCHER_CHILD_GROUP_H
#define DISPATCHER_CHILD_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* Reaps what has ended of our children in a process group, but for those that `is_known` says yes
 * to: they are left to whoever knows them. True: the group has none left. */
bool child_group_reap(pid_t group, bool (*is_known)(const void *context, pid_t pid),
                      const void *context);

#endif
