/* SPDX-License-Identifier: MIT */
/*
 * oom.h - whether the kernel killed a process of this control group for memory.
 *
 * A worker that the OOM killer took looks like any other that SIGKILL ended; what tells them apart
 * is the group's count of such kills. Read only when a worker died of SIGKILL, from a file that is
 * not on a disk.
 */
#ifndef DISPATCHER_OOM_H
#define DISPATCHER_OOM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oom_watch {
    char path[PATH_MAX]; /* "": there is no such file */
    uint64_t seen_count;
};

/* Finds the file that counts for the group of this process. */
void oom_watch_init(struct oom_watch *watch);

/* True: the count has grown since the last look. */
bool oom_watch_look(struct oom_watch *watch);

/* Where /proc/self/cgroup, whose text this is, says that kills are counted; false: it does not
 * say. */
bool oom_path(const char *cgroups, char *path, size_t path_bytes);

#endif
