/* SPDX-License-Identifier: MIT */
/* preload.c - what goes together with templates. */
#include "dispatcher/config/preload.h"

#include <stddef.h>
#include <string.h>

#include "dispatcher/config/config.h"

const char *const preload_words[] = {PRELOAD_WORDS, NULL};

const char *preload_obstacle(const struct pipeline_config *pipeline)
{
    const struct confinement *confinement = &pipeline->confinement;
    if (confinement->memory_bytes_max > 0)
        return "each worker has a control group of its own (--worker-memory)";
    if (confinement->seccomp == SECCOMP_STRICT)
        return "no process may make another one (--seccomp strict)";
    /* What the template may not reach, its copies may not either. */
    if (pipeline->confine && strstr(pipeline->confine, "scratch="))
        return "each worker has a folder of its own (--files with --allow-read or --allow-write)";
    return NULL;
}
