/* SPDX-License-Identifier: MIT */
/* preload.c - what goes together with templates. */
#include "dispatcher/config/preload.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "dispatcher/config/config.h"

const char *const preload_words[] = {"none", "import", "startup", NULL};

const char *preload_obstacle(const struct pipeline_config *pipeline)
{
    const struct confinement *confinement = &pipeline->confinement;
    const char *lines = pipeline->confine ? pipeline->confine : "";
    /* What the template may not reach, its copies may not either. */
    bool is_of_another = confinement->owner != OWNER_SERVER ||
                         strstr(lines, "restrict=reading\n") || strstr(lines, "restrict=writing\n");
    if (confinement->memory_bytes_max > 0)
        return "each worker has a control group of its own (--worker-memory)";
    if (confinement->seccomp == SECCOMP_STRICT)
        return "no process may make another one (--seccomp strict)";
    if (strstr(lines, "scratch=") && is_of_another)
        return "each worker has a folder of its own (--files), which a copy may not make or use";
    return NULL;
}
