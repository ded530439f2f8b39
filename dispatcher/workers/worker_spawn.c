/* SPDX-License-Identifier: MIT */
/*
 * worker_spawn.c - starts one worker process: fork and exec, with exactly its own descriptors.
 */
#include "dispatcher/workers/worker_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "millrace/protocol.h"

/* Options that take a value come in pairs; flags and the final NULL are the rest. */
#define ARGUMENT_COUNT_MAX 22u

#define NUMBER_TEXT_BYTES 24u
#define PYTHON_PATH "PYTHONPATH"

/* What a worker inherits, as source in this process and target in the child. */
struct inherited_fd {
    int source;
    int target;
};

enum { INHERITED_FD_COUNT = 6 };

extern char **environ;

static int inherited_lift(struct inherited_fd fds[INHERITED_FD_COUNT], int first);
static void inherited_close(const struct inherited_fd fds[INHERITED_FD_COUNT]);
static int actions_fill(posix_spawn_file_actions_t *actions,
                        const struct inherited_fd fds[INHERITED_FD_COUNT]);
static int attributes_fill(posix_spawnattr_t *attributes);
static int worker_exec(pid_t *pid, const struct worker_spawn_options *options,
                       const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes);
static int python_path_create(const char *folder, char **variable);
static char **environment_create(char *python_path);

int worker_spawn(struct worker_child *out, const struct worker_spawn_options *options)
{
    mr_assert(options->worker_path != NULL);
    mr_assert(options->source != NULL);
    mr_assert(options->pointer != NULL);

    struct inherited_fd fds[INHERITED_FD_COUNT] = {
        {options->stdout_fd, STDOUT_FILENO},
        {options->stderr_fd, STDERR_FILENO},
        {options->segment_fd, WORKER_FD_SEGMENT},
        {options->worker_bell_fd, WORKER_FD_BELL},
        {options->dispatcher_bell_fd, WORKER_FD_DISPATCHER_BELL},
        {options->socket_fd, WORKER_FD_SOCKET},
    };
    int rc = inherited_lift(fds, WORKER_FD_COUNT);
    if (rc < 0)
        return rc;

    posix_spawn_file_actions_t actions;
    rc = -posix_spawn_file_actions_init(&actions);
    if (rc < 0)
        goto close_fds;
    posix_spawnattr_t attributes;
    rc = -posix_spawnattr_init(&attributes);
    if (rc < 0)
        goto destroy_actions;
    rc = actions_fill(&actions, fds);
    if (rc < 0)
        goto destroy_attributes;
    rc = attributes_fill(&attributes);
    if (rc < 0)
        goto destroy_attributes;

    pid_t pid;
    rc = worker_exec(&pid, options, &actions, &attributes);
    if (rc < 0)
        goto destroy_attributes;
    /* The number cannot be reused: nobody but our caller waits for this child. */
    int pidfd = pidfd_open(pid, 0);
    if (pidfd == -1) {
        rc = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        goto destroy_attributes;
    }
    *out = (struct worker_child){.pid = pid, .pidfd = pidfd};

destroy_attributes:
    posix_spawnattr_destroy(&attributes);
destroy_actions:
    posix_spawn_file_actions_destroy(&actions);
close_fds:
    inherited_close(fds);
    return rc;
}

/* Replaces every source by a duplicate at `first` or above. Else a dup2 to one target could
 * overwrite the source of a later one; and a dup2 onto itself would leave close-on-exec set. */
static int inherited_lift(struct inherited_fd fds[INHERITED_FD_COUNT], int first)
{
    for (int i = 0; i < INHERITED_FD_COUNT; i++) {
        int lifted = fcntl(fds[i].source, F_DUPFD_CLOEXEC, first);
        if (lifted == -1) {
            int rc = -errno;
            while (i-- > 0)
                close(fds[i].source);
            return rc;
        }
        fds[i].source = lifted;
    }
    return 0;
}

static void inherited_close(const struct inherited_fd fds[INHERITED_FD_COUNT])
{
    for (int i = 0; i < INHERITED_FD_COUNT; i++)
        close(fds[i].source);
}

static int actions_fill(posix_spawn_file_actions_t *actions,
                        const struct inherited_fd fds[INHERITED_FD_COUNT])
{
    int rc = -posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < INHERITED_FD_COUNT && rc == 0; i++)
        rc = -posix_spawn_file_actions_adddup2(actions, fds[i].source, fds[i].target);
    /* Ours are all close-on-exec; this is for what we ourselves inherited without knowing. */
    if (rc == 0)
        rc = -posix_spawn_file_actions_addclosefrom_np(actions, WORKER_FD_COUNT);
    return rc;
}

static int attributes_fill(posix_spawnattr_t *attributes)
{
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    int rc = -posix_spawnattr_setsigdefault(attributes, &all);
    if (rc == 0)
        rc = -posix_spawnattr_setsigmask(attributes, &none);
    /* A group of its own: Ctrl-C on the terminal is the dispatcher's to handle. */
    if (rc == 0)
        rc = -posix_spawnattr_setpgroup(attributes, 0);
    if (rc == 0)
        rc = -posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETPGROUP);
    return rc;
}

static int worker_exec(pid_t *pid, const struct worker_spawn_options *options,
                       const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes)
{
    char index[NUMBER_TEXT_BYTES];
    char parent[NUMBER_TEXT_BYTES];
    snprintf(index, sizeof(index), "%u", options->index);
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());

    const char *arguments[ARGUMENT_COUNT_MAX];
    size_t count = 0;
    arguments[count++] = "millrace-worker";
    if (options->confine) {
        arguments[count++] = "--confine";
        arguments[count++] = options->confine;
    }
    arguments[count++] = "--parent";
    arguments[count++] = parent;
    if (options->python_path) {
        arguments[count++] = "--";
        arguments[count++] = options->python_path; /* tells the interpreter its virtualenv */
        arguments[count++] = "-m";
        arguments[count++] = "millrace_worker";
    }
    arguments[count++] = "--source";
    arguments[count++] = options->source;
    if (options->name) {
        arguments[count++] = "--name";
        arguments[count++] = options->name;
    }
    arguments[count++] = "--pointer";
    arguments[count++] = options->pointer;
    arguments[count++] = "--index";
    arguments[count++] = index;
    if (options->python_threads)
        arguments[count++] = "--threads";
    if (options->strict)
        arguments[count++] = "--strict";
    if (options->check)
        arguments[count++] = "--check";
    arguments[count++] = NULL;
    mr_assert(count <= ARRAY_COUNT(arguments));

    char *python_path = NULL;
    if (options->python_path && python_path_create(options->python_folder, &python_path) < 0)
        return -ENOMEM;
    char **environment = environment_create(python_path);
    if (!environment) {
        free(python_path);
        return -ENOMEM;
    }
    /* exec copies the strings and never writes them; its prototype is older than const. */
    char *vector[ARGUMENT_COUNT_MAX];
    memcpy(vector, arguments, count * sizeof(vector[0]));
    int rc = -posix_spawn(pid, options->worker_path, actions, attributes, vector, environment);
    free(environment);
    free(python_path);
    return rc;
}

/* PYTHONPATH=, with what is in it already first. */
static int python_path_create(const char *folder, char **variable)
{
    const char *given = getenv(PYTHON_PATH);
    bool is_given = given && *given != '\0';
    int bytes = asprintf(variable, PYTHON_PATH "=%s%s%s", is_given ? given : "",
                         is_given ? ":" : "", folder);
    return bytes == -1 ? -ENOMEM : 0;
}

/* Names a worker is given, as they stand; a final '*' stands for any rest. Those of the sanitizers
 * have a meaning in the builds made for tests only. */
static const char *const passed_on[] = {
    "PATH",         "HOME",         "LANG",         "LC_*",          "TZ",     "LD_LIBRARY_PATH",
    "CUDA_*",       "NVIDIA_*",     "OMP_*",        "PYTHON*",       "TMPDIR", "VIRTUAL_ENV",
    "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS",
};

static bool environment_passes(const char *variable)
{
    for (size_t i = 0; i < ARRAY_COUNT(passed_on); i++) {
        size_t length = strlen(passed_on[i]);
        if (passed_on[i][length - 1] == '*') {
            if (strncmp(variable, passed_on[i], length - 1) == 0)
                return true;
        } else if (strncmp(variable, passed_on[i], length) == 0 && variable[length] == '=') {
            return true;
        }
    }
    return false;
}

/* Pointers into our own environment, in memory the caller frees; `python_path` (may be NULL) takes
 * the place of the PYTHONPATH there. NULL: no memory. */
static char **environment_create(char *python_path)
{
    size_t count = 0;
    while (environ && environ[count])
        count++;
    char **environment = calloc(count + 2, sizeof(*environment));
    if (!environment)
        return NULL;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_replaced =
            python_path && strncmp(environ[i], PYTHON_PATH "=", strlen(PYTHON_PATH "=")) == 0;
        if (environment_passes(environ[i]) && !is_replaced)
            environment[kept++] = environ[i];
    }
    if (python_path)
        environment[kept++] = python_path;
    return environment;
}

/* ---- where it is --------------------------------------------------------------------------- */

static int worker_check(const char *path)
{
    struct stat file;
    if (stat(path, &file) == -1)
        return -errno;
    if (!S_ISREG(file.st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == -1 ? -errno : 0;
}

/* The folder of this program, with its final slash; "" when /proc cannot tell. */
static void program_folder(char folder[PATH_MAX])
{
    ssize_t bytes = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[bytes > 0 ? bytes : 0] = '\0';
    char *slash = strrchr(folder, '/');
    folder[slash ? slash + 1 - folder : 0] = '\0';
}

static const char *const worker_places[] = {"millrace-worker",
                                            "../libexec/millrace/millrace-worker"};

static int worker_find_beside(char **path, char reason[WORKER_REASON_BYTES])
{
    char folder[PATH_MAX];
    program_folder(folder);
    for (size_t i = 0; i < ARRAY_COUNT(worker_places); i++) {
        char *candidate;
        if (asprintf(&candidate, "%s%s", folder, worker_places[i]) == -1)
            return -ENOMEM;
        if (worker_check(candidate) == 0) {
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
        return worker_find_beside(path, reason);
    int rc = worker_check(given);
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
static int python_look_up(const char *name, char **path)
{
    const char *folders = getenv("PATH");
    while (folders && *folders != '\0') {
        size_t bytes = strcspn(folders, ":");
        char *candidate;
        if (asprintf(&candidate, "%.*s/%s", (int)bytes, folders, name) == -1)
            return -ENOMEM;
        if (bytes > 0 && worker_check(candidate) == 0) {
            *path = candidate;
            return 0;
        }
        free(candidate);
        folders += bytes + (folders[bytes] == ':');
    }
    return -ENOENT;
}

static int python_find_folder(char **folder, char reason[WORKER_REASON_BYTES])
{
    char own[PATH_MAX];
    program_folder(own);
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
    int rc = strchr(name, '/') ? worker_check(name) : python_look_up(name, &found);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        snprintf(reason, WORKER_REASON_BYTES, "cannot execute the Python interpreter %.512s: %s",
                 name, strerror(-rc));
        return rc;
    }
    if (!found && !(found = strdup(name)))
        return -ENOMEM;
    rc = python_find_folder(folder, reason);
    if (rc < 0) {
        free(found);
        return rc;
    }
    *path = found;
    return 0;
}
