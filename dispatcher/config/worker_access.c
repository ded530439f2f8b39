/* SPDX-License-Identifier: MIT */
/* worker_access.c - the files and ports that restricted workers are allowed. */
#include "dispatcher/config/worker_access.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/manifest.h"
#include "dispatcher/config/refuse.h"

/* Each option, what it restricts, and the least version of Landlock that can. */
struct access_kind {
    const char *option;
    const char *restricts;
    const char *key;
    long version;
    const char *kernel;
    bool is_path;
};

enum { ACCESS_READ = 0, ACCESS_WRITE, ACCESS_CONNECT, ACCESS_COUNT };

static const struct access_kind kinds[ACCESS_COUNT] = {
    [ACCESS_READ] = {"allow-read", "reading", "read", WORKER_ACCESS_VERSION_MIN, "5.19", true},
    [ACCESS_WRITE] = {"allow-write", "writing", "write", 3, "6.2", true},
    [ACCESS_CONNECT] = {"allow-connect", "connecting", "connect", 4, "6.7", false},
};

static int access_items_print(const struct access_kind *kind, const struct said *said,
                              const char *pointer, FILE *file, char reason[CLI_REASON_BYTES]);
static void access_needs_print(const struct pipeline_config *pipeline, FILE *file);
static void access_folder_of_files_print(const struct config *config, const char *key,
                                         const char *folder, FILE *file);

long worker_access_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version == -1 ? 0 : version;
}

int worker_access_print(const struct config *config, const struct pipeline_config *pipeline,
                        FILE *file, char reason[CLI_REASON_BYTES])
{
    bool is_restricted = false; /* in files */
    for (int i = 0; i < ACCESS_COUNT; i++) {
        int rc = access_items_print(&kinds[i], &config->said, pipeline->pointer, file, reason);
        if (rc < 0)
            return rc;
        if (rc > 0 && i == ACCESS_READ) {
            access_needs_print(pipeline, file);
            access_folder_of_files_print(config, "inputs", "runs", file);
        }
        is_restricted |= rc > 0 && kinds[i].is_path;
    }
    if (is_restricted && !environment_own_value(&pipeline->environment, "TMPDIR"))
        access_folder_of_files_print(config, "scratch", "scratch", file);
    return 0;
}

/* A line is one line, whatever the name of a file. */
static void access_line_print(FILE *file, const char *key, const char *value, size_t bytes)
{
    if (bytes > 0 && !memchr(value, '\n', bytes))
        fprintf(file, "%s=%.*s\n", key, (int)bytes, value);
}

static void access_text_print(FILE *file, const char *key, const char *value)
{
    access_line_print(file, key, value, strlen(value));
}

/* Prints the items that concern the pipeline. 1 when there are any, 0, or -EINVAL. */
static int access_items_print(const struct access_kind *kind, const struct said *said,
                              const char *pointer, FILE *file, char reason[CLI_REASON_BYTES])
{
    bool is_restricted = false;
    const struct saying *saying;
    uint32_t at = 0;
    while ((saying = said_next(said, kind->option, pointer, &at)) != NULL) {
        const char *value = saying->value;
        if (worker_access_version() < kind->version)
            return refuse(reason, "--%s needs Landlock version %ld (Linux %s), this kernel has %ld",
                          kind->option, kind->version, kind->kernel, worker_access_version());
        if (!is_restricted)
            access_text_print(file, "restrict", kind->restricts);
        is_restricted = true;
        if (strcmp(value, "none") == 0)
            continue;
        if (kind->is_path && (access(value, F_OK) == -1 || strchr(value, '\n'))) {
            (void)refuse(reason, "--%s %s: %s", kind->option, value,
                         strchr(value, '\n') ? "a line ends in it" : strerror(errno));
            said_blame(said, saying, reason);
            return -EINVAL;
        }
        access_text_print(file, kind->key, value);
    }
    return is_restricted;
}

/* Of a list like PATH's; an empty one is the folder of the server, which is not meant. */
static void access_folders_print(const struct pipeline_config *pipeline, FILE *file,
                                 const char *variable)
{
    const char *folders = environment_value(&pipeline->environment, variable);
    while (folders && *folders != '\0') {
        size_t bytes = strcspn(folders, ":");
        access_line_print(file, "read", folders, bytes);
        folders += bytes + (folders[bytes] == ':');
    }
}

/* The folder so many levels above what has this path, unless that is the root of all files. */
static void access_folder_print(FILE *file, const char *path, int levels)
{
    size_t bytes = strlen(path);
    while (levels > 0 && bytes > 0)
        levels -= path[--bytes] == '/';
    access_line_print(file, "read", path, bytes);
}

/* A folder in that of --files, which may not be there yet; and a worker may be started in another
 * one than the server. */
static void access_folder_of_files_print(const struct config *config, const char *key,
                                         const char *folder, FILE *file)
{
    const char *path = config->files_path;
    if (!path || strchr(path, '\n'))
        return;
    char *here = *path == '/' ? NULL : getcwd(NULL, 0);
    if (*path == '/')
        fprintf(file, "%s=%s/%s\n", key, path, folder);
    else if (here && !strchr(here, '\n'))
        fprintf(file, "%s=%s/%s/%s\n", key, here, path, folder);
    free(here);
}

/* What is needed to load the pipeline: of Python the modules beside it, and the prefix of the
 * interpreter, which is a link to that of another in a virtualenv. */
static void access_needs_print(const struct pipeline_config *pipeline, FILE *file)
{
    access_folders_print(pipeline, file, "LD_LIBRARY_PATH");
    if (!pipeline_config_is_python(pipeline)) {
        access_text_print(file, "read", pipeline_config_path(pipeline));
        return;
    }
    if (pipeline->manifest)
        access_text_print(file, "read", pipeline->manifest->folder);
    else if (pipeline->kind == SOURCE_PYTHON_MODULE)
        access_text_print(file, "read", ".");
    else
        access_folder_print(file, pipeline->source, 1);
    if (pipeline->kind == SOURCE_PYTHON_FILE)
        access_text_print(file, "read", pipeline->source);
    access_folders_print(pipeline, file, "PYTHONPATH");
    access_text_print(file, "read", pipeline->python_folder);
    access_text_print(file, "read", pipeline->python_path);
    access_folder_print(file, pipeline->python_path, 2);
    char *real = realpath(pipeline->python_path, NULL);
    if (real)
        access_folder_print(file, real, 2);
    free(real);
}
