/* SPDX-License-Identifier: MIT */
/* mps.c - the pipe of MPS's control daemon is looked for. */
#include "dispatcher/config/mps.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"

#define PIPE_FOLDER "CUDA_MPS_PIPE_DIRECTORY"
#define PIPE_FOLDER_USUAL "/tmp/nvidia-mps"

/* Whether its workers may use a GPU of NVIDIA. */
static bool mps_concerns(const struct pipeline_config *pipeline)
{
    const struct device_choice *choice = &pipeline->devices;
    return device_choice_binds(choice) && (choice->is_of_any || choice->of == DEVICE_CUDA);
}

bool mps_is_on(const struct pipeline_config *pipeline, char folder[PATH_MAX])
{
    char path[PATH_MAX + 16];
    const char *said = environment_value(&pipeline->environment, PIPE_FOLDER);
    snprintf(folder, PATH_MAX, "%s", said ? said : PIPE_FOLDER_USUAL);
    snprintf(path, sizeof path, "%s/control", folder);
    return access(path, F_OK) == 0;
}

int mps_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    char folder[PATH_MAX];
    if (config->allow_mps)
        return 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        if (mps_concerns(pipeline) && mps_is_on(pipeline, folder))
            return refuse(
                reason,
                "%s: NVIDIA's MPS is on (%.200s/control), and when a worker is killed under it, "
                "others on the device may fail: turn it off, or say --allow-mps",
                pipeline->pointer, folder);
    }
    return 0;
}
