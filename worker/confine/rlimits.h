/* SPDX-License-Identifier: MIT */
/*
 * rlimits.h - resource limits of this process and all it starts.
 */
#ifndef WORKER_RLIMITS_H
#define WORKER_RLIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

#include "millrace/check.h"

enum rlimit_kind {
    RLIMIT_KIND_NOFILE = 0,
    RLIMIT_KIND_CORE,
    RLIMIT_KIND_DATA,
    RLIMIT_KIND_NPROC,
    RLIMIT_KIND_SIGPENDING,
    RLIMIT_KIND_COUNT
};

/* Those that are not set stay as they were inherited. */
struct rlimits {
    bool is_set[RLIMIT_KIND_COUNT];
    struct rlimit values[RLIMIT_KIND_COUNT];
};

/* Sets the limit that `key` names to `text`, SOFT:HARD. True: it is one, and the text is sound. */
bool rlimits_parse(struct rlimits *out, const char *key, const char *text);

/* Puts them in force. 0, or -errno with a sentence in `reason`. */
int rlimits_enter(const struct rlimits *limits, char *reason, size_t reason_bytes) MUST_USE;

#endif
