/* SPDX-License-Identifier: MIT */
/* control_path.c - the folder of the control socket: which, whose, and whether others may write. */
#include "dispatcher/config/control_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/config/refuse.h"

#define SOCKET_NAME "control.sock"

/* Of $RUNTIME_DIRECTORY the first of several. */
static int control_path_format(char out[CONTROL_PATH_BYTES])
{
    const char *folder = getenv("RUNTIME_DIRECTORY");
    if (folder && *folder == '/')
        return snprintf(out, CONTROL_PATH_BYTES, "%.*s/" SOCKET_NAME, (int)strcspn(folder, ":"),
                        folder);
    if (geteuid() == 0)
        return snprintf(out, CONTROL_PATH_BYTES, "/run/millrace/" SOCKET_NAME);
    folder = getenv("XDG_RUNTIME_DIR");
    if (folder && *folder == '/')
        return snprintf(out, CONTROL_PATH_BYTES, "%s/millrace/" SOCKET_NAME, folder);
    return snprintf(out, CONTROL_PATH_BYTES, "/tmp/millrace-%u/" SOCKET_NAME, (unsigned)geteuid());
}

int control_path_default(char out[CONTROL_PATH_BYTES], char reason[CLI_REASON_BYTES])
{
    if (control_path_format(out) < (int)CONTROL_PATH_BYTES)
        return 0;
    snprintf(reason, CLI_REASON_BYTES, "%.90s...: longer than the %u bytes of a socket's path", out,
             CONTROL_PATH_BYTES - 1);
    return -ENAMETOOLONG;
}

static void control_path_folder(char folder[CONTROL_PATH_BYTES], const char *path)
{
    snprintf(folder, CONTROL_PATH_BYTES, "%.*s", (int)(strrchr(path, '/') - path), path);
}

int control_path_prepare(const char *path, char reason[CLI_REASON_BYTES])
{
    char folder[CONTROL_PATH_BYTES];
    struct stat file = {0};
    control_path_folder(folder, path);
    int rc = mkdir(folder, 0700) == 0 || errno == EEXIST ? 0 : -errno;
    if (rc == 0 && lstat(folder, &file) == -1)
        rc = -errno;
    if (rc < 0) {
        snprintf(reason, CLI_REASON_BYTES, "%s: %s", folder, strerror(-rc));
        return rc;
    }
    if (S_ISDIR(file.st_mode) && file.st_uid == geteuid() && (file.st_mode & 022) == 0)
        return 0;
    snprintf(reason, CLI_REASON_BYTES, "%s is not a folder that is ours alone to write in", folder);
    return -EPERM;
}

/* Root has nobody to fear but who may write in a folder that is another user's. */
int control_path_trust(const char *path, char reason[CLI_REASON_BYTES])
{
    char folder[CONTROL_PATH_BYTES];
    struct stat file;
    control_path_folder(folder, path);
    if (lstat(folder, &file) == -1)
        return 0; /* then nobody answers */
    bool is_known = file.st_uid == geteuid() || file.st_uid == 0 || geteuid() == 0;
    if (S_ISDIR(file.st_mode) && is_known && (file.st_mode & 022) == 0)
        return 0;
    snprintf(reason, CLI_REASON_BYTES,
             "%s is not a folder that is ours alone to write in: --control PATH says which socket",
             folder);
    return -EPERM;
}

int control_path_check(const char *path, char reason[CLI_REASON_BYTES])
{
    size_t bytes = strlen(path);
    if (bytes > 0 && bytes < CONTROL_PATH_BYTES && path[bytes - 1] != '/')
        return 0;
    return refuse(reason, "--control %.120s: not the path of a socket (1 to %u bytes), or none",
                  path, CONTROL_PATH_BYTES - 1);
}
