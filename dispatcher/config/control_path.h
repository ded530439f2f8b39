/* SPDX-License-Identifier: MIT */
/* control_path.h - where a server's control socket is, for the server and for those who call it. */
#ifndef DISPATCHER_CONTROL_PATH_H
#define DISPATCHER_CONTROL_PATH_H

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

/* What a unix address has room for, and the NUL: unix(7). */
#define CONTROL_PATH_BYTES 108u

/* The word for none. */
#define CONTROL_PATH_NONE "none"

/* The socket of a server that was told nothing else, which is `control.sock` in a folder of its
 * user's: the first one of $RUNTIME_DIRECTORY, as systemd sets it; of root, /run/millrace; else
 * $XDG_RUNTIME_DIR/millrace, or /tmp/millrace-UID. 0; or -ENAMETOOLONG with a line in `reason`. */
int control_path_default(char out[CONTROL_PATH_BYTES], char reason[CLI_REASON_BYTES]) MUST_USE;

/* Makes the folder of a path that was not said, if it is not there. 0; or -errno with one line in
 * `reason`, also where it is another user's, or others may write in it. */
int control_path_prepare(const char *path, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether what listens at a path that was not said is our user's or root's, since nobody else could
 * put it there: in /tmp anybody may be first. 0, also where nothing is; or -EPERM with one line in
 * `reason`. */
int control_path_trust(const char *path, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it can be the path of a socket, or is none; for the table of options. */
int control_path_check(const char *path, char reason[CLI_REASON_BYTES]);

#endif
