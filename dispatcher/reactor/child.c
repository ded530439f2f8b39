/* SPDX-License-Identifier: MIT */
/* child.c - posix_spawn() of this program's own file. */
#include "dispatcher/reactor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatcher/workers/worker_spawn.h"

/* This program's own file. Its link in /proc is right also when the file was replaced meanwhile,
 * but under valgrind it is valgrind's. */
static void program_path(char path[PATH_MAX])
{
    ssize_t bytes = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    if (bytes <= 0 || access(path, X_OK) == -1)
        snprintf(path, PATH_MAX, "/proc/self/exe");
}

static int actions_fill(posix_spawn_file_actions_t *actions, int socket)
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
static int attributes_fill(posix_spawnattr_t *attributes)
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

int child_start(pid_t *pid, const char *name, const char *word, int socket)
{
    char first[32], parent[24], last[32], path[PATH_MAX];
    char *arguments[] = {first, parent, last, NULL};
    program_path(path);
    snprintf(first, sizeof(first), "%s", name);
    snprintf(last, sizeof(last), "%s", word);
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char **environment = worker_environment_create();
    if (!environment)
        return -ENOMEM;
    int rc = -posix_spawn_file_actions_init(&actions);
    if (rc < 0)
        goto free_environment;
    rc = -posix_spawnattr_init(&attributes);
    if (rc < 0)
        goto destroy_actions;
    rc = actions_fill(&actions, socket);
    if (rc == 0)
        rc = attributes_fill(&attributes);
    if (rc == 0)
        rc = -posix_spawn(pid, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
destroy_actions:
    posix_spawn_file_actions_destroy(&actions);
free_environment:
    free(environment);
    return rc;
}
