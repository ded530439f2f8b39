/* SPDX-License-Identifier: MIT */
/* child.c - posix_spawn() of this program's own file. */
#include "dispatcher/reactor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* This program's own file. Its link in /proc is right also when the file was replaced meanwhile,
 * but under valgrind it is valgrind's. */
static void child_program_path(char path[PATH_MAX])
{
    ssize_t bytes = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    if (bytes <= 0 || access(path, X_OK) == -1)
        snprintf(path, PATH_MAX, "/proc/self/exe");
}

static int child_actions_fill(posix_spawn_file_actions_t *actions, int socket)
{
    int rc = -posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = -posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = -posix_spawn_file_actions_adddup2(actions, socket, CHILD_FD_SOCKET);
    /* Ours are all close-on-exec; this is for what we ourselves inherited without knowing. */
    if (rc == 0)
        rc = -posix_spawn_file_actions_addclosefrom_np(actions, CHILD_FD_SOCKET + 1);
    return rc;
}

/* Signals of the terminal or of a service manager are for the server alone, so all are blocked; a
 * session of its own tells its workers from everything else. */
static int child_attributes_fill(posix_spawnattr_t *attributes)
{
    sigset_t all;
    sigfillset(&all);
    int rc = -posix_spawnattr_setsigdefault(attributes, &all);
    if (rc == 0)
        rc = -posix_spawnattr_setsigmask(attributes, &all);
    if (rc == 0)
        rc = -posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSID);
    return rc;
}

/* Names that children are given, workers among them, as they stand; a final '*' stands for any
 * rest. Those of the sanitizers have a meaning in the builds made for tests only. */
static const char *const passed_on[] = {
    "PATH",          "HOME",     "LANG",        "LC_*",         "TZ",           "LD_LIBRARY_PATH",
    "CUDA_*",        "NVIDIA_*", "HIP_*",       "HSA_*",        "ROCR_*",       "ZE_*",
    "VK_*",          "OCL_*",    "POCL_*",      "GGML_*",       "HWLOC_*",      "OMP_*",
    "PYTHON*",       "TMPDIR",   "VIRTUAL_ENV", "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS",
    "UBSAN_OPTIONS",
};

/* For the scanner; workers do not get it (spawner_main.c). */
#define SYSTEM_ROOT "MILLRACE_SYSTEM_ROOT="

static bool child_environment_passes(const char *variable)
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
    return strncmp(variable, SYSTEM_ROOT, strlen(SYSTEM_ROOT)) == 0;
}

char **child_environment_create(void)
{
    size_t count = 0;
    while (environ && environ[count])
        count++;
    char **environment = calloc(count + 1, sizeof(*environment));
    size_t kept = 0;
    for (size_t i = 0; environment && i < count; i++)
        if (child_environment_passes(environ[i]))
            environment[kept++] = environ[i];
    return environment;
}

int child_start(pid_t *pid, const char *name, const char *word, int socket)
{
    char first[32], parent[24], last[32], path[PATH_MAX];
    char *arguments[] = {first, parent, last, NULL};
    child_program_path(path);
    snprintf(first, sizeof(first), "%s", name);
    snprintf(last, sizeof(last), "%s", word);
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char **environment = child_environment_create();
    if (!environment)
        return -ENOMEM;
    int rc = -posix_spawn_file_actions_init(&actions);
    if (rc < 0)
        goto free_environment;
    rc = -posix_spawnattr_init(&attributes);
    if (rc < 0)
        goto destroy_actions;
    rc = child_actions_fill(&actions, socket);
    if (rc == 0)
        rc = child_attributes_fill(&attributes);
    if (rc == 0)
        rc = -posix_spawn(pid, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
destroy_actions:
    posix_spawn_file_actions_destroy(&actions);
free_environment:
    free(environment);
    return rc;
}
