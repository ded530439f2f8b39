/* SPDX-License-Identifier: MIT */
/*
 * worker_spawn.c - the command line and the environment of a worker, and where its program is.
 */
#include "dispatcher/workers/worker_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/config/manifest.h"

#define PYTHON_PATH "PYTHONPATH"

static int spawn_python_path_create(const struct environment *environment, const char *folder,
                                    char **variable);

static void spawn_argument_add(struct worker_command *command, const char *text);
static void spawn_template_add(struct worker_command *command,
                               const struct worker_spawn_options *options);
static void spawn_batch_add(struct worker_command *command,
                            const struct worker_spawn_options *options);
static int spawn_variables_add(struct worker_command *command,
                               const struct worker_spawn_options *options);
static void spawn_option_add(struct worker_command *command, const char *name, const char *value);

void worker_spawn_set_pipeline(struct worker_spawn_options *options,
                               const struct pipeline_config *pipeline)
{
    const bool is_python = pipeline_config_is_python(pipeline);
    const struct manifest *manifest = is_python ? pipeline->manifest : NULL;
    options->source = manifest    ? manifest->module
                      : is_python ? pipeline->source
                                  : pipeline_config_path(pipeline);
    options->folder = manifest ? manifest->folder : NULL;
    options->needs = manifest ? manifest->needs : NULL;
    options->name = pipeline->name;
    options->pointer = pipeline->pointer;
    options->batch_count_max = pipeline->options.batch_count_max;
    options->batch_wait_ms = pipeline->options.batch_wait_ms;
    options->batch_is_asked = pipeline->options.batch_is_asked;
}

void worker_spawn_fds(const struct worker_spawn_options *options, int fds[START_FD_COUNT])
{
    fds[START_FD_STDOUT] = options->stdout_fd;
    fds[START_FD_STDERR] = options->stderr_fd;
    fds[START_FD_SEGMENT] = options->segment_fd;
    fds[START_FD_BELL] = options->worker_bell_fd;
    fds[START_FD_DISPATCHER_BELL] = options->dispatcher_bell_fd;
    fds[START_FD_SOCKET] = options->socket_fd;
}

int worker_command_init(struct worker_command *command, const struct worker_spawn_options *options)
{
    mr_assert(options->worker_path != NULL);
    mr_assert(options->source != NULL);
    mr_assert(options->pointer != NULL);

    *command = (struct worker_command){.strings = {options->worker_path}};
    snprintf(command->index, sizeof(command->index), "%u", options->index);
    snprintf(command->place, sizeof(command->place), "%u", options->place);
    snprintf(command->parent, sizeof(command->parent), "%ld", (long)getpid());
    snprintf(command->own_user, sizeof(command->own_user), "%u", options->own_user);
    spawn_argument_add(command, "millrace-worker");
    if (options->confine)
        spawn_option_add(command, "--confine", options->confine);
    if (options->cgroup)
        spawn_option_add(command, "--cgroup", options->cgroup);
    if (options->own_user != 0)
        spawn_option_add(command, options->user_is_shared ? "--shared-user" : "--own-user",
                         command->own_user);
    if (options->confine)
        spawn_option_add(command, "--scratch", command->place);
    if (options->cores)
        spawn_option_add(command, "--cores", options->cores);
    if (options->memory_nodes)
        spawn_option_add(command, "--memory-nodes", options->memory_nodes);
    if (options->device_nodes)
        spawn_option_add(command, "--device-nodes", options->device_nodes);
    if (options->preload)
        spawn_option_add(command, "--preload", options->preload);
    spawn_option_add(command, "--parent", command->parent);
    if (options->python_path) {
        spawn_argument_add(command, "--");
        spawn_argument_add(command,
                           options->python_path); /* tells the interpreter its virtualenv */
        spawn_option_add(command, "-m", "millrace_worker");
        if (options->preload)
            spawn_template_add(command, options);
    }
    spawn_option_add(command, "--source", options->source);
    if (options->folder)
        spawn_option_add(command, "--folder", options->folder);
    if (options->needs)
        spawn_option_add(command, "--needs", options->needs);
    if (options->name)
        spawn_option_add(command, "--name", options->name);
    spawn_option_add(command, "--pointer", options->pointer);
    spawn_option_add(command, "--index", command->index);
    spawn_batch_add(command, options);
    if (options->python_threads)
        spawn_argument_add(command, "--threads");
    if (options->strict)
        spawn_argument_add(command, "--strict");
    if (options->check)
        spawn_argument_add(command, "--check");
    return spawn_variables_add(command, options);
}

void worker_command_finish(struct worker_command *command)
{
    free(command->python_path);
    command->python_path = NULL;
}

static void spawn_argument_add(struct worker_command *command, const char *text)
{
    mr_assert(command->variable_count == 0);
    mr_assert(command->argument_count + 2 < ARRAY_COUNT(command->strings));
    command->strings[1 + command->argument_count++] = text;
}

static void spawn_variable_add(struct worker_command *command, const char *text)
{
    uint32_t at = 1 + command->argument_count + command->variable_count++;
    mr_assert(at < ARRAY_COUNT(command->strings));
    command->strings[at] = text;
}

static bool spawn_variable_is(const char *item, const char *name)
{
    size_t bytes = strlen(name);
    return strncmp(item, name, bytes) == 0 && item[bytes] == '=';
}

/* Twice in a list, each library would take the one that it likes. */
static bool spawn_variable_is_of_device(const char *item, const struct device_variables *variables)
{
    size_t name_bytes = strcspn(item, "=") + 1;
    for (uint32_t i = 0; variables && i < variables->count; i++)
        if (strncmp(variables->items[i], item, name_bytes) == 0)
            return true;
    return false;
}

/* What the interpreter has to know to make copies of itself. */
static void spawn_template_add(struct worker_command *command,
                               const struct worker_spawn_options *options)
{
    spawn_option_add(command, "--preload", options->preload);
    spawn_option_add(command, "--parent", command->parent);
    if (options->confine)
        spawn_option_add(command, "--confine", options->confine);
}

static void spawn_batch_add(struct worker_command *command,
                            const struct worker_spawn_options *options)
{
    if (options->batch_count_max == 0)
        return;
    snprintf(command->batch_max, sizeof(command->batch_max), "%u", options->batch_count_max);
    snprintf(command->batch_wait, sizeof(command->batch_wait), "%u", options->batch_wait_ms);
    spawn_option_add(command, "--batch-max", command->batch_max);
    spawn_option_add(command, "--batch-wait", command->batch_wait);
    if (options->batch_is_asked)
        spawn_argument_add(command, "--batch-asked");
}

/* PYTHONPATH of a Python worker is made of what it is given. */
static int spawn_variables_add(struct worker_command *command,
                               const struct worker_spawn_options *options)
{
    static const struct environment none;
    const struct environment *environment = options->environment ? options->environment : &none;
    for (uint32_t i = 0; i < environment->count; i++) {
        const char *item = environment->items[i];
        if ((!options->python_path || !spawn_variable_is(item, PYTHON_PATH)) &&
            !spawn_variable_is_of_device(item, options->device_variables))
            spawn_variable_add(command, item);
    }
    for (uint32_t i = 0; options->device_variables && i < options->device_variables->count; i++)
        spawn_variable_add(command, options->device_variables->items[i]);
    if (!options->python_path)
        return 0;
    int rc = spawn_python_path_create(environment, options->python_folder, &command->python_path);
    if (rc == 0)
        spawn_variable_add(command, command->python_path);
    return rc;
}

static void spawn_option_add(struct worker_command *command, const char *name, const char *value)
{
    spawn_argument_add(command, name);
    spawn_argument_add(command, value);
}

/* PYTHONPATH=, with what is in it already first. */
static int spawn_python_path_create(const struct environment *environment, const char *folder,
                                    char **variable)
{
    const char *given = environment_value(environment, PYTHON_PATH);
    bool is_given = given && *given != '\0';
    int bytes = asprintf(variable, PYTHON_PATH "=%s%s%s", is_given ? given : "",
                         is_given ? ":" : "", folder);
    return bytes == -1 ? -ENOMEM : 0;
}

/* ---- where it is --------------------------------------------------------------------------- */

static int spawn_worker_check(const char *path)
{
    struct stat file;
    if (stat(path, &file) == -1)
        return -errno;
    if (!S_ISREG(file.st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == -1 ? -errno : 0;
}

/* The folder of this program, with its final slash; "" when /proc cannot tell. */
static void spawn_program_folder(char folder[PATH_MAX])
{
    ssize_t bytes = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[bytes > 0 ? bytes : 0] = '\0';
    char *slash = strrchr(folder, '/');
    folder[slash ? slash + 1 - folder : 0] = '\0';
}

static const char *const worker_places[] = {"millrace-worker",
                                            "../libexec/millrace/millrace-worker"};

static int spawn_worker_find_beside(char **path, char reason[WORKER_REASON_BYTES])
{
    char folder[PATH_MAX];
    spawn_program_folder(folder);
    for (size_t i = 0; i < ARRAY_COUNT(worker_places); i++) {
        char *candidate;
        if (asprintf(&candidate, "%s%s", folder, worker_places[i]) == -1)
            return -ENOMEM;
        if (spawn_worker_check(candidate) == 0) {
            *path = candidate;
            return 0;
        }
        free(candidate);
    }
    snprintf(reason, WORKER_REASON_BYTES,
             "no worker program: neither %s nor %s in %.512s (--worker PATH says where)",
             worker_places[0], worker_places[1], folder);
    return -ENOENT;
}

int worker_find(const char *given, char **path, char reason[WORKER_REASON_BYTES])
{
    snprintf(reason, WORKER_REASON_BYTES, "no memory");
    if (!given)
        return spawn_worker_find_beside(path, reason);
    int rc = spawn_worker_check(given);
    if (rc < 0) {
        snprintf(reason, WORKER_REASON_BYTES, "cannot execute the worker %.512s: %s", given,
                 strerror(-rc));
        return rc;
    }
    char *copy = strdup(given);
    if (!copy)
        return -ENOMEM;
    *path = copy;
    return 0;
}

/* ---- Python -------------------------------------------------------------------------------- */

static const char *const python_places[] = {"python", "../lib/millrace/python"};

/* The program a shell would start by this name. */
static int spawn_python_look_up(const char *name, char **path)
{
    const char *folders = getenv("PATH");
    while (folders && *folders != '\0') {
        size_t bytes = strcspn(folders, ":");
        char *candidate;
        if (asprintf(&candidate, "%.*s/%s", (int)bytes, folders, name) == -1)
            return -ENOMEM;
        if (bytes > 0 && spawn_worker_check(candidate) == 0) {
            *path = candidate;
            return 0;
        }
        free(candidate);
        folders += bytes + (folders[bytes] == ':');
    }
    return -ENOENT;
}

static int spawn_python_find_folder(char **folder, char reason[WORKER_REASON_BYTES])
{
    char own[PATH_MAX];
    spawn_program_folder(own);
    for (size_t i = 0; i < ARRAY_COUNT(python_places); i++) {
        char *candidate;
        if (asprintf(&candidate, "%s%s/millrace_worker/_ring.abi3.so", own, python_places[i]) == -1)
            return -ENOMEM;
        bool is_there = access(candidate, R_OK) == 0;
        free(candidate);
        if (is_there)
            return asprintf(folder, "%s%s", own, python_places[i]) == -1 ? -ENOMEM : 0;
    }
    snprintf(reason, WORKER_REASON_BYTES,
             "no worker for Python: millrace_worker with its extension is neither in %s nor in %s "
             "of %.512s (it is built when the headers of python3-dev are there)",
             python_places[0], python_places[1], own);
    return -ENOENT;
}

int worker_find_python(const char *given, char **path, char **folder,
                       char reason[WORKER_REASON_BYTES])
{
    const char *name = given ? given : "python3";
    char *found = NULL;
    snprintf(reason, WORKER_REASON_BYTES, "no memory");
    int rc = strchr(name, '/') ? spawn_worker_check(name) : spawn_python_look_up(name, &found);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        snprintf(reason, WORKER_REASON_BYTES, "cannot execute the Python interpreter %.512s: %s",
                 name, strerror(-rc));
        return rc;
    }
    if (!found && !(found = strdup(name)))
        return -ENOMEM;
    rc = spawn_python_find_folder(folder, reason);
    if (rc < 0) {
        free(found);
        return rc;
    }
    *path = found;
    return 0;
}
