/* SPDX-License-Identifier: MIT */
/* control_socket.h - a unix socket in the file system, and who may connect to it: unix(7). */
#ifndef DISPATCHER_CONTROL_SOCKET_H
#define DISPATCHER_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/control_path.h"
#include "millrace/check.h"

struct control_socket {
    int fd; /* -1: none */
    char path[CONTROL_PATH_BYTES];
    dev_t device; /* of the file there, which is removed at the end if it still is that one */
    ino_t inode;
};

/* Listens there, with mode 0600. A socket that nobody listens on any more is replaced. 0; or -errno
 * with one line in `reason`: -EADDRINUSE, another server listens on it, or it is no socket. Waits
 * for a disk. */
int control_socket_open(struct control_socket *socket, const char *path,
                        char reason[CLI_REASON_BYTES]) MUST_USE;

/* Closes it, unless somebody else has the descriptor by now, and removes it from its folder. */
void control_socket_finish(struct control_socket *socket);

/* Whether who has connected is root or of the user of this process, and neither one that this
 * process has started nor one of their children: workers may be of the same user. */
bool control_peer_is_admitted(int fd);

#endif
