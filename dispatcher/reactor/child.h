/* SPDX-License-Identifier: MIT */
/*
 * child.h - this program once more, as a process of the server's own under a name of its own.
 *
 * main() asks for these names first of all. Such a process has /dev/null, stderr and one socket,
 * and hears no signal but those that cannot be blocked.
 */
#ifndef DISPATCHER_CHILD_H
#define DISPATCHER_CHILD_H

#include <sys/types.h>

#include "millrace/check.h"

#define CHILD_FD_SOCKET 3 /* of ours, as child_start() leaves it */

/* Starts it with the words `name`, our own pid and `word`, the environment that workers have, in a
 * session of its own, and waits until it is exec'ed. 0 or -errno. */
int child_start(pid_t *pid, const char *name, const char *word, int socket) MUST_USE;

/* Those of our own variables that workers have, too; a list the caller frees, of strings that are
 * not its own. NULL: no memory. */
char **child_environment_create(void);

#endif
