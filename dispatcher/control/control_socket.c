/* SPDX-License-Identifier: MIT */
/* control_socket.c - a unix socket is opened and removed; who has connected. */
#include "dispatcher/control/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16
#define LOCK_TRY_COUNT 50u
#define LOCK_RETRY_MS 10
#define LINE_BYTES 64u
#define PIECE_BYTES 4096u
#define PIECE_COUNT_MAX 256u /* a process has at most 65,536 groups */
#define ANCESTOR_COUNT_MAX 64u

static int socket_try(struct control_socket *out, const struct sockaddr_un *address);
static bool socket_is_stale(const struct sockaddr_un *address);
static int socket_folder_lock(const char *path);

int control_socket_open(struct control_socket *out, const char *path, char reason[CLI_REASON_BYTES])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *out = (struct control_socket){.fd = -1};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    snprintf(out->path, sizeof out->path, "%s", path);
    /* Two servers that find the same remains must not both remove them. */
    int lock = socket_folder_lock(path);
    int rc = lock < 0 ? lock : socket_try(out, &address);
    if (rc == -EADDRINUSE && socket_is_stale(&address) && unlink(path) == 0)
        rc = socket_try(out, &address);
    if (lock >= 0)
        close(lock);
    if (rc < 0)
        snprintf(reason, CLI_REASON_BYTES, "%s: %s", path,
                 rc == -EADDRINUSE ? "another server listens there, or it is no socket"
                                   : strerror(-rc));
    return rc;
}

void control_socket_finish(struct control_socket *socket)
{
    struct stat file;
    if (socket->fd < 0)
        return;
    if (lstat(socket->path, &file) == 0 && file.st_dev == socket->device &&
        file.st_ino == socket->inode)
        unlink(socket->path);
    socket->fd = -1;
}

/* The mask gives it its mode from the beginning. There are no other threads yet. */
static int socket_bind(int fd, const struct sockaddr_un *address)
{
    mode_t mask = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : -errno;
    umask(mask);
    return rc;
}

static int socket_try(struct control_socket *out, const struct sockaddr_un *address)
{
    struct stat file = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -errno;
    int rc = socket_bind(fd, address);
    if (rc == 0 && (listen(fd, BACKLOG) == -1 || lstat(address->sun_path, &file) == -1))
        rc = -errno;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    out->fd = fd;
    out->device = file.st_dev;
    out->inode = file.st_ino;
    return 0;
}

static bool socket_is_stale(const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) == -1 || !S_ISSOCK(file.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_stale = fd != -1 &&
                    connect(fd, (const struct sockaddr *)address, sizeof *address) == -1 &&
                    errno == ECONNREFUSED;
    if (fd != -1)
        close(fd);
    return is_stale;
}

/* A descriptor that holds the lock; or -errno. A folder that is locked by somebody else for longer
 * is used without. */
static int socket_folder_lock(const char *path)
{
    char folder[CONTROL_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    else
        snprintf(folder, sizeof folder, ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    for (uint32_t i = 0; i < LOCK_TRY_COUNT && flock(fd, LOCK_EX | LOCK_NB) == -1; i++)
        poll(NULL, 0, LOCK_RETRY_MS);
    return fd;
}

/* ---- who has connected ---------------------------------------------------------------------- */

/* Of /proc/PID/status, proc_pid_status(5); -1: it is not there. What was given up stays so for a
 * process and all it starts, also for those that lost their parents; and workers give up more than
 * this process has. */
struct peer_status {
    long parent, filters, no_new;
};

static void peer_line_take(struct peer_status *status, const char *line)
{
    const struct {
        const char *name;
        long *number;
    } fields[] = {{"PPid:", &status->parent},
                  {"NoNewPrivs:", &status->no_new},
                  {"Seccomp_filters:", &status->filters}};
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (strncmp(line, fields[i].name, strlen(fields[i].name)) == 0)
            *fields[i].number = strtol(line + strlen(fields[i].name), NULL, 10);
}

/* False: there is no such process any more. The line of its groups may be longer than all others
 * together, and stands before what is looked for. Of a line its beginning is enough, and no memory
 * is asked for. */
static bool peer_status_read(pid_t pid, struct peer_status *out)
{
    char path[64], piece[PIECE_BYTES], line[LINE_BYTES];
    size_t filled = 0;
    ssize_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    *out = (struct peer_status){-1, -1, -1};
    for (uint32_t i = 0; i < PIECE_COUNT_MAX && (count = read(fd, piece, sizeof piece)) > 0; i++)
        for (ssize_t k = 0; k < count; k++) {
            if (piece[k] != '\n' && filled < sizeof line - 1) {
                line[filled++] = piece[k];
            } else if (piece[k] == '\n') {
                line[filled] = '\0';
                peer_line_take(out, line);
                filled = 0;
            }
        }
    close(fd);
    return count == 0;
}

/* Workers are children of this process. Of a process that is gone nothing is known. */
static bool peer_is_worker(pid_t pid)
{
    struct peer_status own, its;
    if (!peer_status_read(getpid(), &own) || !peer_status_read(pid, &its))
        return true;
    if (its.filters > own.filters || its.no_new > own.no_new)
        return true;
    for (uint32_t i = 0; i < ANCESTOR_COUNT_MAX && pid > 1; i++) {
        if (pid == getpid() || !peer_status_read(pid, &its))
            return true;
        pid = (pid_t)its.parent;
    }
    return false;
}

bool control_peer_is_admitted(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == -1)
        return false;
    if (peer.uid != 0 && peer.uid != geteuid())
        return false;
    return peer.pid == 0 || !peer_is_worker(peer.pid); /* 0: from outside of this container */
}
