/* SPDX-License-Identifier: MIT */
/* rlimits.c - setrlimit(2), by the names of confine.h. */
#include "worker/confine/rlimits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *key;
    __rlimit_resource_t resource;
} kinds[RLIMIT_KIND_COUNT] = {
    [RLIMIT_KIND_NOFILE] = {"nofile", RLIMIT_NOFILE},
    [RLIMIT_KIND_CORE] = {"core", RLIMIT_CORE},
    [RLIMIT_KIND_DATA] = {"data", RLIMIT_DATA},
    [RLIMIT_KIND_NPROC] = {"nproc", RLIMIT_NPROC},
    [RLIMIT_KIND_SIGPENDING] = {"sigpending", RLIMIT_SIGPENDING},
};

static bool rlimits_parse_one(const char *text, rlim_t *out, const char **rest);
static int rlimits_enter_one(__rlimit_resource_t resource, const struct rlimit *wanted);

bool rlimits_parse(struct rlimits *out, const char *key, const char *text)
{
    for (int kind = 0; kind < RLIMIT_KIND_COUNT; kind++) {
        if (strcmp(kinds[kind].key, key) != 0)
            continue;
        struct rlimit limit;
        bool is_sound = rlimits_parse_one(text, &limit.rlim_cur, &text) && *text++ == ':' &&
                        rlimits_parse_one(text, &limit.rlim_max, &text) && *text == '\0' &&
                        limit.rlim_cur <= limit.rlim_max;
        if (!is_sound)
            return false;
        out->is_set[kind] = true;
        out->values[kind] = limit;
        return true;
    }
    return false;
}

int rlimits_enter(const struct rlimits *limits, char *reason, size_t reason_bytes)
{
    for (int kind = 0; kind < RLIMIT_KIND_COUNT; kind++) {
        int rc = limits->is_set[kind]
                     ? rlimits_enter_one(kinds[kind].resource, &limits->values[kind])
                     : 0;
        if (rc < 0) {
            snprintf(reason, reason_bytes, "limit %s: %s", kinds[kind].key, strerror(-rc));
            return rc;
        }
    }
    return 0;
}

/* A limit that ends at `end`; what stands there is left in *rest. */
static bool rlimits_parse_one(const char *text, rlim_t *out, const char **rest)
{
    static const char unlimited[] = "unlimited";
    if (strncmp(text, unlimited, sizeof unlimited - 1) == 0) {
        *out = RLIM_INFINITY;
        *rest = text + sizeof unlimited - 1;
        return true;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno != 0)
        return false;
    *out = number;
    *rest = end;
    return true;
}

/* The limit as it is wanted, or as far below as the hard limit that is there demands. */
static int rlimits_enter_one(__rlimit_resource_t resource, const struct rlimit *wanted)
{
    struct rlimit limit;
    if (setrlimit(resource, wanted) == 0)
        return 0;
    if (errno != EPERM || getrlimit(resource, &limit) == -1)
        return -errno;
    if (wanted->rlim_max < limit.rlim_max)
        limit.rlim_max = wanted->rlim_max;
    limit.rlim_cur = wanted->rlim_cur < limit.rlim_max ? wanted->rlim_cur : limit.rlim_max;
    return setrlimit(resource, &limit) == -1 ? -errno : 0;
}
