/* SPDX-License-Identifier: MIT */
/* devices_said.c - what was said of devices, for each pipeline, and whether it agrees. */
#include "dispatcher/config/devices_said.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/device_template.h"
#include "dispatcher/config/refuse.h"

#define DEVICE_MEMORY_BYTES_MIN (UINT64_C(1) << 20)
#define DEVICE_MEMORY_BYTES_MAX (UINT64_C(1) << 50)

/* Variables that choose devices: the server sets them, or the pipeline does, not both. */
static const char *const masks[] = {
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",     "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",     "GGML_VK_VISIBLE_DEVICES",
};

int device_environment_check(const char *text, char reason[CLI_REASON_BYTES])
{
    struct environment unused = {0};
    char why[CLI_REASON_BYTES];
    size_t name_bytes = environment_name_bytes(text);
    int shown = (int)(name_bytes < 64 ? name_bytes : 64);
    int rc = environment_add(&unused, text, why);
    environment_finish(&unused);
    if (rc == 0)
        rc = device_template_check(text + name_bytes + 1, why);
    if (rc == -EINVAL)
        return refuse(reason, "--device-env %.*s: %.800s", shown, text, why);
    return rc;
}

int device_memory_check(const char *text, char reason[CLI_REASON_BYTES])
{
    uint64_t bytes = cli_size_read(text);
    if (strcmp(text, "auto") == 0 ||
        (bytes >= DEVICE_MEMORY_BYTES_MIN && bytes <= DEVICE_MEMORY_BYTES_MAX))
        return 0;
    return refuse(reason, "--device-memory %.64s is not a size like 12g (1m to 1024t), nor auto",
                  text);
}

/* What is said for the pipeline alone, if anything is; else what is said for all. */
static bool said_is_nearest(const struct said *said, const struct saying *saying,
                            const char *pointer)
{
    const struct saying *other;
    uint32_t at = 0;
    if (saying->pointer_bytes > 0)
        return true;
    while ((other = said_next(said, saying->option->name, pointer, &at)) != NULL)
        if (other->pointer_bytes > 0)
            return false;
    return true;
}

static int said_devices_take(const struct said *said, struct pipeline_config *pipeline,
                             char reason[CLI_REASON_BYTES])
{
    const struct saying *saying;
    uint32_t at = 0;
    while ((saying = said_next(said, "devices", pipeline->pointer, &at)) != NULL) {
        if (!said_is_nearest(said, saying, pipeline->pointer))
            continue;
        int rc = device_choice_add(&pipeline->devices, saying->value, reason);
        if (rc < 0) {
            said_blame(said, saying, reason);
            return rc;
        }
    }
    return 0;
}

/* Those for all first, which the others take the place of. */
static int said_variables_take(const struct said *said, struct pipeline_config *pipeline,
                               char reason[CLI_REASON_BYTES])
{
    for (int has_pointer = 0; has_pointer < 2; has_pointer++) {
        const struct saying *saying;
        uint32_t at = 0;
        while ((saying = said_next(said, "device-env", pipeline->pointer, &at)) != NULL) {
            char why[CLI_REASON_BYTES];
            if ((saying->pointer_bytes > 0) != has_pointer)
                continue;
            int rc = environment_set(&pipeline->device_environment, saying->value, why);
            if (rc == 0 && pipeline->device_environment.count > DEVICE_TEMPLATE_COUNT_MAX)
                rc = refuse(why, "%u variables at most", DEVICE_TEMPLATE_COUNT_MAX);
            if (rc < 0) {
                snprintf(reason, CLI_REASON_BYTES, "%s: --device-env: %.500s", pipeline->pointer,
                         why);
                return rc;
            }
        }
    }
    return 0;
}

/* ---- whether it agrees --------------------------------------------------------------------- */

static int said_environment_check(const struct pipeline_config *pipeline,
                                  char reason[CLI_REASON_BYTES])
{
    if (pipeline->devices.kind == DEVICE_CHOICE_UNSAID)
        return 0;
    for (size_t i = 0; i < ARRAY_COUNT(masks); i++)
        if (environment_own_value(&pipeline->environment, masks[i]))
            return refuse(reason, "%s: --env %s chooses devices, and --devices does, too",
                          pipeline->pointer, masks[i]);
    return 0;
}

/* What is said of devices for a pipeline that is bound to none. */
static int said_idle_check(const struct said *said, const struct pipeline_config *pipeline,
                           char reason[CLI_REASON_BYTES])
{
    static const char *const names[] = {"workers-per-device", "device-env", "device-unbound",
                                        "device-memory", "device-hold"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const struct saying *saying;
        uint32_t at = 0;
        while ((saying = said_next(said, names[i], pipeline->pointer, &at)) != NULL) {
            if (saying->pointer_bytes == 0)
                continue;
            (void)refuse(reason, "%s: --%s is of pipelines that have --devices, and it has none",
                         pipeline->pointer, names[i]);
            said_blame(said, saying, reason);
            return -EINVAL;
        }
    }
    return 0;
}

/* Of devices that are counted nobody knows the memory, and of cores there is none. */
static int said_memory_settle(struct pipeline_config *pipeline, char reason[CLI_REASON_BYTES])
{
    struct pipeline_options *options = &pipeline->options;
    const struct device_choice *devices = &pipeline->devices;
    if (!pipeline->device_memory)
        return 0;
    if (devices->kind == DEVICE_CHOICE_COUNT || (devices->of == DEVICE_CPU && devices->is_per_core))
        return refuse(
            reason, "%s: --device-memory is of devices whose memory is known, and not of %s",
            pipeline->pointer,
            devices->kind == DEVICE_CHOICE_COUNT ? "those that are counted by the words" : "cores");
    options->device_memory_learned = strcmp(pipeline->device_memory, "auto") == 0;
    options->device_memory_bytes = cli_size_read(pipeline->device_memory);
    return 0;
}

/* The most workers that its devices have room for; 0: whoever finds them knows. */
static uint32_t said_room(const struct pipeline_config *pipeline)
{
    return device_choice_count(&pipeline->devices) * pipeline->options.workers_per_device;
}

static int said_workers_settle(const struct said *said, struct pipeline_config *pipeline,
                               char reason[CLI_REASON_BYTES])
{
    struct pipeline_options *options = &pipeline->options;
    uint32_t room = said_room(pipeline);
    if (room > WORKER_COUNT_MAX)
        return refuse(reason, "%s: %u devices with %u workers each are more than %u workers",
                      pipeline->pointer, device_choice_count(&pipeline->devices),
                      options->workers_per_device, WORKER_COUNT_MAX);
    options->devices_count_workers = !said_has(said, "workers", pipeline->pointer);
    if (options->devices_count_workers && room > 0)
        options->workers = (struct cli_range){room, room};
    if (room > 0 && options->workers.max > room)
        return refuse(reason,
                      "%s: %u workers do not fit on its %u devices: --workers-per-device is %u",
                      pipeline->pointer, options->workers.max,
                      device_choice_count(&pipeline->devices), options->workers_per_device);
    return 0;
}

int devices_said_fill(struct config *config, char reason[CLI_REASON_BYTES])
{
    int rc = 0;
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        rc = said_devices_take(&config->said, pipeline, reason);
        if (rc == 0)
            rc = said_environment_check(pipeline, reason);
        if (rc == 0 && !device_choice_binds(&pipeline->devices)) {
            rc = said_idle_check(&config->said, pipeline, reason);
            continue;
        }
        if (rc == 0)
            rc = said_variables_take(&config->said, pipeline, reason);
        if (rc == 0)
            rc = said_workers_settle(&config->said, pipeline, reason);
        if (rc == 0)
            rc = said_memory_settle(pipeline, reason);
    }
    return rc;
}
