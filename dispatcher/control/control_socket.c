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
#define STATUS_BYTES 4096u /* proc_pid_status(5) has about 1,500 */
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

/* A number of /proc/PID/status, proc_pid_status(5); -1: it is not there. */
static long peer_number(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* False: there is no such process any more. */
static bool peer_status(pid_t pid, char status[STATUS_BYTES])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    ssize_t count = read(fd, status, STATUS_BYTES - 1);
    close(fd);
    status[count > 0 ? count : 0] = '\0';
    return count > 0;
}

/* What was given up stays so for a process and all it starts, also for those that lost their
 * parents; and workers give up more than this process has. */
struct peer_rights {
    long filters, no_new;
};

static struct peer_rights peer_rights_of(const char *status)
{
    return (struct peer_rights){peer_number(status, "\nSeccomp_filters:"),
                                peer_number(status, "\nNoNewPrivs:")};
}

/* Workers are children of this process. Of a process that is gone nothing is known. */
static bool peer_is_worker(pid_t pid)
{
    char status[STATUS_BYTES];
    if (!peer_status(getpid(), status))
        return true;
    const struct peer_rights own = peer_rights_of(status);
    if (!peer_status(pid, status))
        return true;
    const struct peer_rights its = peer_rights_of(status);
    if (its.filters > own.filters || its.no_new > own.no_new)
        return true;
    for (uint32_t i = 0; i < ANCESTOR_COUNT_MAX && pid > 1; i++) {
        if (pid == getpid() || !peer_status(pid, status))
            return true;
        pid = (pid_t)peer_number(status, "\nPPid:");
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
