/* SPDX-License-Identifier: MIT */
/* ranks_said.c - what was said of tenants and affinity, for each pipeline, and if it agrees. */
#include "dispatcher/config/ranks_said.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/text/ascii.h"

static int rank_header_add(struct config *config, const char *name, uint64_t *out,
                           char reason[CLI_REASON_BYTES])
{
    struct rank_headers *headers = &config->rank_headers;
    char *text = strdup(name);
    if (!text || config_text_adopt(config, text) < 0) {
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    for (size_t i = 0; text[i] != '\0'; i++)
        text[i] = ascii_lower(text[i]);
    *out = rank_header_name(text);
    for (uint32_t i = 0; i < headers->count; i++)
        if (headers->items[i].name == *out)
            return 0;
    if (headers->count == RANK_HEADER_COUNT_MAX)
        return refuse(reason,
                      "header %.80s is one too many: --tenant and --affinity look at %u different "
                      "ones at most",
                      name, RANK_HEADER_COUNT_MAX);
    headers->items[headers->count++] = (struct rank_header){text, *out};
    return 0;
}

static int rank_source_fill(struct config *config, const char *text, struct rank_source *out,
                            char reason[CLI_REASON_BYTES])
{
    int rc = rank_source_read(text, out);
    mr_assert(rc == 0); /* which was checked */
    return out->kind == RANK_BY_HEADER
               ? rank_header_add(config, rank_header_of(text), &out->header, reason)
               : 0;
}

/* Said with a pointer, it is for one that is fair; and without, for some. */
static int rank_tenants_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    bool is_said = false;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        const struct saying *saying;
        uint32_t at = 0;
        while ((saying = said_next(&config->said, "tenant", pipeline->pointer, &at)) != NULL) {
            is_said = true;
            if (saying->pointer_bytes == 0 || pipeline->options.schedule == SCHEDULE_FAIR)
                continue;
            (void)refuse(reason, "--tenant is for --schedule fair, and %s is fifo",
                         pipeline->pointer);
            said_blame(&config->said, saying, reason);
            return -EINVAL;
        }
    }
    if (is_said && !config->has_classes)
        return refuse(reason, "--tenant is for --schedule fair, and no pipeline has that");
    return 0;
}

int ranks_said_fill(struct config *config, char reason[CLI_REASON_BYTES])
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        int rc = rank_source_fill(config, pipeline->tenant ? pipeline->tenant : "token",
                                  &pipeline->tenant_by, reason);
        if (rc == 0)
            rc = rank_source_fill(config, pipeline->affinity ? pipeline->affinity : "none",
                                  &pipeline->affinity_by, reason);
        if (rc < 0)
            return rc;
        config->has_classes |= pipeline->options.schedule == SCHEDULE_FAIR;
    }
    return rank_tenants_check(config, reason);
}
