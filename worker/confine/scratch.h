/* SPDX-License-Identifier: MIT */
/*
 * scratch.h - a folder of the worker's own, for its temporary files: empty when it starts, and what
 * is in it is gone when the next worker takes its place.
 */
#ifndef WORKER_SCRATCH_H
#define WORKER_SCRATCH_H

#include <limits.h>

#include "millrace/check.h"
#include "worker/confine/user.h"

struct scratch {
    char path[PATH_MAX];
};

/* Makes it below `folder`, under this name, for the user that this process is about to become, and
 * says so in TMPDIR. Before rights are given up, and when nothing is left of the worker before. 0
 * or -errno. */
int scratch_make(struct scratch *out, const char *folder, const char *name,
                 const struct user *user) MUST_USE;

#endif
