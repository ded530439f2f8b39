/* SPDX-License-Identifier: MIT */
/* pipeline_folder.c - paths of a pipeline are made whole ones where it has a folder. */
#include "dispatcher/config/pipeline_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/manifest.h"
#include "dispatcher/config/refuse.h"

/* A path from here; NULL: no memory. */
static char *folder_whole(const char *here, const char *path)
{
    char *whole = NULL;
    if (*path == '/')
        return strdup(path);
    return asprintf(&whole, "%s/%s", here, strncmp(path, "./", 2) == 0 ? path + 2 : path) == -1
               ? NULL
               : whole;
}

static int folder_own(char **path, const char *here)
{
    char *whole = folder_whole(here, *path);
    if (!whole)
        return -ENOMEM;
    free(*path);
    *path = whole;
    return 0;
}

static int folder_borrowed(const char **path, const char *here, struct config *config)
{
    char *whole = folder_whole(here, *path);
    if (!whole)
        return -ENOMEM;
    *path = whole;
    return config_text_adopt(config, whole);
}

static int folder_fill(struct config *config, struct pipeline_config *pipeline, const char *here)
{
    struct manifest *manifest = pipeline->manifest;
    int rc = folder_borrowed(&pipeline->folder, here, config);
    if (rc == 0 && pipeline->kind != SOURCE_PYTHON_MODULE)
        rc = folder_own(&pipeline->source, here);
    if (rc == 0 && manifest && manifest->folder)
        rc = folder_own(&manifest->folder, here);
    if (rc == 0 && manifest && manifest->module_path)
        rc = folder_own(&manifest->module_path, here);
    if (rc == 0 && pipeline->python && strchr(pipeline->python, '/'))
        rc = folder_borrowed(&pipeline->python, here, config);
    return rc;
}

int pipeline_folders_fill(struct config *config, char reason[CLI_REASON_BYTES])
{
    char here[PATH_MAX];
    int rc = 0;
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        if (!pipeline->folder)
            continue;
        if (!getcwd(here, sizeof here))
            return refuse(reason, "--folder: the folder of this process: %s", strerror(errno));
        if (strchr(pipeline->folder, '\n'))
            return refuse(reason, "--folder: a path cannot hold a newline here");
        rc = folder_fill(config, pipeline, here);
    }
    if (rc < 0)
        snprintf(reason, CLI_REASON_BYTES, "not enough memory");
    return rc;
}
