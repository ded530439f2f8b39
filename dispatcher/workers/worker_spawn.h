/* SPDX-License-Identifier: MIT */
/*
 * worker_spawn.h - what a worker is started with: its command line, its environment, its program.
 *
 * A worker gets the descriptors of protocol.h (enum worker_fd) by their numbers, /dev/null as
 * stdin, nothing above, a process group of its own in the session of the spawner (spawner.h),
 * default signals, an empty signal mask, and an environment of the variables that native code and
 * Python need, and those of its pipeline (environment.h), which go before. Tokens and other
 * clients' data cannot reach it: no memory is shared but the segment. What only the child can do
 * for itself (PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, all that confines it) is done by
 * millrace-worker first of all. For a Python pipeline it then becomes the interpreter, which so has
 * no instruction before that.
 */
#ifndef DISPATCHER_WORKER_SPAWN_H
#define DISPATCHER_WORKER_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/environment.h"
#include "dispatcher/devices/device_variables.h"
#include "dispatcher/workers/spawn_message.h"
#include "millrace/check.h"
#include "millrace/protocol.h"

/* Every descriptor is borrowed, and may have any number, those of enum worker_fd included. */
struct worker_spawn_options {
    const char *worker_path;   /* of the millrace-worker binary */
    const char *python_path;   /* of the interpreter it becomes; NULL: it stays what it is */
    const char *python_folder; /* of the package millrace_worker; likewise */
    const char *confine;       /* lines of millrace/confine.h; NULL: none */
    const char *cgroup;        /* folder of the control group it joins; NULL: it stays in ours */
    uid_t own_user;            /* whose it is alone, and as that group's; 0: the spawner's */
    bool user_is_shared;       /* others run as that user, and go on */
    const char *source;
    const char *folder; /* in which it is looked for as a module; NULL: it is found by itself */
    const char *needs;  /* what the interpreter is to have, as of manifest.h; NULL: nothing */
    const char *name;   /* of the pipeline inside the source; NULL: the only one */
    const char *pointer;
    const struct environment *environment;           /* before what is passed on; NULL: nothing */
    const struct device_variables *device_variables; /* before both; NULL: nothing */
    const char *cores;                               /* it is bound to, 0-3,8; NULL: to none */
    const char *memory_nodes;                        /* its memory is to be on, likewise */
    const char *device_nodes; /* it opens of all devices, parted by ':'; NULL: nobody knows */
    uint32_t index;
    uint32_t place; /* which no other worker has at the same time: its name for what is its own */
    const char
        *preload; /* it is a template, whose copies are confined likewise; NULL: it is none */
    uint32_t batch_count_max; /* of batched pipes; 0: it knows itself */
    uint32_t batch_wait_ms;   /* likewise */
    bool batch_is_asked;      /* one of these was said for this pipeline */
    bool python_threads;      /* plain runs of a Python pipeline have a thread each */
    bool strict;              /* no programs, processes and sockets of its own */
    bool check;               /* load, report, exit: `millrace check` */
    int segment_fd;
    int worker_bell_fd;
    int dispatcher_bell_fd;
    int socket_fd; /* the worker's end of the socketpair */
    int stdout_fd;
    int stderr_fd;
};

/* What of them is sent to where the process is made, in the order of enum start_fd. */
void worker_spawn_fds(const struct worker_spawn_options *options, int fds[START_FD_COUNT]);

/* The program, its arguments, then the variables that are its own, in this order. The strings
 * belong to the options and to the command itself, which must not be moved. */
struct worker_command {
    const char *strings[SPAWN_STRING_COUNT_MAX];
    uint32_t argument_count, variable_count;
    char index[16];
    char place[16];
    char parent[24];
    char own_user[16];
    char batch_max[16];
    char batch_wait[16];
    char *python_path; /* owned */
};

/* Which pipeline it loads, and under which name clients have it. */
void worker_spawn_set_pipeline(struct worker_spawn_options *options,
                               const struct pipeline_config *pipeline);

/* 0 or -ENOMEM. The folder of a Python worker comes after what its PYTHONPATH has. */
int worker_command_init(struct worker_command *command,
                        const struct worker_spawn_options *options) MUST_USE;
void worker_command_finish(struct worker_command *command);

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
