/* SPDX-License-Identifier: MIT */
/*
 * worker_spawn.h - starts one worker process: fork and exec, with exactly its own descriptors.
 *
 * The child gets the numbers of protocol.h (enum worker_fd), /dev/null as stdin, nothing above, a
 * process group of its own, default signals, an empty signal mask, and an environment of the
 * variables that native code and Python need. Tokens and other clients' data cannot reach it: no
 * memory is shared but the segment. What only the child can do for itself (PR_SET_PDEATHSIG,
 * PR_SET_NO_NEW_PRIVS, all that confines it) is done by millrace-worker first of all. For a Python
 * pipeline it then becomes the interpreter, which so has no instruction before that.
 */
#ifndef DISPATCHER_WORKER_SPAWN_H
#define DISPATCHER_WORKER_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

/* A started worker. The caller owns both: it closes `pidfd` and waits for `pid`. */
struct worker_child {
    pid_t pid;
    int pidfd;
};

/* Every descriptor is borrowed, and may have any number, those of enum worker_fd included. */
struct worker_spawn_options {
    const char *worker_path;   /* of the millrace-worker binary */
    const char *python_path;   /* of the interpreter it becomes; NULL: it stays what it is */
    const char *python_folder; /* of the package millrace_worker; likewise */
    const char *confine;       /* lines of millrace/confine.h; NULL: none */
    const char *source;
    const char *name; /* of the pipeline inside the source; NULL: the only one */
    const char *pointer;
    uint32_t index;
    bool python_threads; /* plain runs of a Python pipeline have a thread each */
    bool strict;         /* no programs, processes and sockets of its own */
    bool check;          /* load, report, exit: `millrace check` */
    int segment_fd;
    int worker_bell_fd;
    int dispatcher_bell_fd;
    int socket_fd; /* the worker's end of the socketpair */
    int stdout_fd;
    int stderr_fd;
};

/* Starts the worker, in a time that does not depend on the size of this process. 0, or -errno:
 * -ENOENT or -EACCES when `worker_path` cannot be executed; that `python_path` cannot is the
 * worker's to say. Nothing is left behind on failure.
 * SIGCHLD must not be ignored in this process. */
int worker_spawn(struct worker_child *out, const struct worker_spawn_options *options) MUST_USE;

/* Where the worker program is: `given`, or if that is NULL millrace-worker beside this program, or
 * in ../libexec/millrace seen from there. 0 with a path that the caller frees, or -errno with one
 * line in `reason`. */
#define WORKER_REASON_BYTES 1024u
int worker_find(const char *given, char **path, char reason[WORKER_REASON_BYTES]) MUST_USE;

/* The same for Python pipelines: the interpreter `given` (NULL: "python3"; a name without a slash
 * is looked up in PATH), and the folder of millrace_worker: python beside this program, or
 * ../lib/millrace/python. */
int worker_find_python(const char *given, char **path, char **folder,
                       char reason[WORKER_REASON_BYTES]) MUST_USE;

#endif
