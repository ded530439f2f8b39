/* SPDX-License-Identifier: MIT */
/* pipeline_options.c - what was said of pipelines becomes the options of each. */
#include "dispatcher/config/pipeline_options.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/devices_said.h"
#include "dispatcher/config/environment_said.h"
#include "dispatcher/config/mps.h"
#include "dispatcher/config/ranks_said.h"
#include "dispatcher/config/refuse.h"

static int options_python_check(const struct config *config, const char *option, bool needs_some,
                                char reason[CLI_REASON_BYTES]);
static int options_ready_check(const struct config *config, char reason[CLI_REASON_BYTES]);
static int options_overlap_settle(struct config *config, char reason[CLI_REASON_BYTES]);
static void options_batch_settle(struct config *config);

int pipeline_options_fill(struct config *config, char reason[CLI_REASON_BYTES])
{
    const char *pointers[PIPELINE_COUNT_MAX + 1] = {NULL};
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        pointers[i] = config->pipelines[i].pointer;
    int rc = said_check(&config->said, pointers, reason);
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        rc = said_apply(&config->said, pointers[i], pipeline, reason);
        if (pipeline->warm_up && strcmp(pipeline->warm_up, CONFIG_WARM_UP_NONE) == 0)
            pipeline->warm_up = NULL;
    }
    if (rc == 0)
        rc = options_python_check(config, "python", false, reason);
    if (rc == 0)
        rc = options_python_check(config, "python-threads", true, reason);
    if (rc == 0)
        rc = options_overlap_settle(config, reason);
    options_batch_settle(config);
    if (rc == 0)
        rc = ranks_said_fill(config, reason);
    if (rc == 0)
        rc = environment_said_fill(config, reason);
    if (rc == 0)
        rc = devices_said_fill(config, reason);
    if (rc == 0)
        rc = mps_check(config, reason);
    return rc < 0 ? rc : options_ready_check(config, reason);
}

/* Said with a pointer, it is for a Python pipeline; and without, if that is asked, for some. */
static int options_python_check(const struct config *config, const char *option, bool needs_some,
                                char reason[CLI_REASON_BYTES])
{
    bool is_said = false, has_some = false;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        const struct saying *saying;
        bool is_python = pipeline_config_is_python(pipeline);
        uint32_t at = 0;
        has_some |= is_python;
        while ((saying = said_next(&config->said, option, pipeline->pointer, &at)) != NULL) {
            is_said = true;
            if (saying->pointer_bytes > 0 && !is_python) {
                (void)refuse(reason, "--%s is for Python pipelines, and %s is none", option,
                             pipeline->pointer);
                said_blame(&config->said, saying, reason);
                return -EINVAL;
            }
        }
    }
    if (needs_some && is_said && !has_some)
        return refuse(reason, "--%s is for Python pipelines, and none is served", option);
    return 0;
}

/* A pipeline that can never be ready is a mistake. */
static int options_ready_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        uint32_t count_max = pipeline_config_worker_max(pipeline);
        if (pipeline->options.ready_count_min > count_max)
            return refuse(reason, "%s: --ready-workers %u is more than there can be: --workers %u",
                          pipeline->pointer, pipeline->options.ready_count_min, count_max);
    }
    return 0;
}

/* A pipeline whose workers are never replaced has no place for another one. That is a mistake if it
 * was said for that one, or if there is no other. */
static int options_overlap_settle(struct config *config, char reason[CLI_REASON_BYTES])
{
    const char *idle = NULL;
    bool is_used = false;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        struct pipeline_options *options = &pipeline->options;
        const struct saying *saying;
        uint32_t at = 0;
        if (!options->recycle_overlap)
            continue;
        is_used |= options->recycle_run_count > 0 || options->recycle_bytes > 0;
        if (options->recycle_run_count > 0 || options->recycle_bytes > 0)
            continue;
        options->recycle_overlap = false;
        idle = idle ? idle : "";
        while ((saying = said_next(&config->said, "recycle-overlap", pipeline->pointer, &at)))
            if (saying->pointer_bytes > 0)
                idle = pipeline->pointer;
    }
    if (!idle || (is_used && *idle == '\0'))
        return 0;
    return refuse(reason,
                  "%s%s--recycle-overlap says how workers are replaced; --recycle-runs or "
                  "--recycle-memory says when, and neither is there",
                  idle, *idle ? ": " : "");
}

/* Whether one of the options of batches was said with the pointer of the pipeline, or could only be
 * for it. */
static bool options_batch_is_asked(const struct config *config,
                                   const struct pipeline_config *pipeline, const char *option)
{
    const struct saying *saying;
    uint32_t at = 0;
    while ((saying = said_next(&config->said, option, pipeline->pointer, &at)) != NULL)
        if (saying->pointer_bytes > 0 || config->pipeline_count == 1)
            return true;
    return false;
}

/* A batch of so many is of runs that one worker has at once: who says nothing of these means it. */
static void options_batch_settle(struct config *config)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        struct pipeline_options *options = &pipeline->options;
        options->batch_is_asked = options_batch_is_asked(config, pipeline, "batch-max") ||
                                  options_batch_is_asked(config, pipeline, "batch-wait");
        if (said_has(&config->said, "batch-max", pipeline->pointer) &&
            !said_has(&config->said, "concurrency", pipeline->pointer))
            options->concurrency = options->batch_count_max;
    }
}
