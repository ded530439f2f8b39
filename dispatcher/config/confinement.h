/* SPDX-License-Identifier: MIT */
/*
 * confinement.h - what the workers of a pipeline give up, from the options that say so (said.h).
 */
#ifndef DISPATCHER_CONFINEMENT_H
#define DISPATCHER_CONFINEMENT_H

#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;
struct log;
struct pipeline_config;

/* Bounds and defaults, of the options' help and of its parser. */
#define WORKER_NOFILE_MIN 64u
#define WORKER_NOFILE_SOFT 1024u /* if nothing is said: what select(2) can watch, */
#define WORKER_NOFILE_HARD                                                                         \
    (1u << 19)                 /* and as far as the worker may raise it: at most half of ours */
#define WORKER_NPROC_MIN 1024u /* of a worker with a user of its own, however many there are */
#define WORKER_COUNT_LIMIT_MAX (1u << 30)
#define WORKER_MEMORY_BYTES_MIN (UINT64_C(16) << 20)
#define WORKER_MEMORY_BYTES_MAX (UINT64_C(1) << 50)

/* Words of options, in the order of the enumerations below. */
extern const char *const core_words[], *const seccomp_words[], *const network_words[];

enum core_files {
    CORE_FILES_INHERIT = 0, /* as the server's own limit is */
    CORE_FILES_NONE,
    CORE_FILES_UNLIMITED
};

enum seccomp_profile {
    SECCOMP_DEFAULT = 0, /* where the kernel has filters */
    SECCOMP_STRICT,
    SECCOMP_OFF
};

enum network_access { NETWORK_ALL = 0, NETWORK_NONE };

/* Whose processes its workers are. */
enum worker_owner {
    OWNER_SERVER = 0, /* the server's own user's */
    OWNER_EACH,       /* each has a user of its own, see own_users.h */
    OWNER_NAMED       /* that of user_text */
};

/* Of one pipeline; 0 is what is so if nothing is said. */
struct confinement {
    uint32_t nofile_max;
    uint32_t core; /* enum core_files */
    uint64_t data_bytes_max;
    uint64_t memory_bytes_max;
    uint32_t nproc_max;
    uint32_t seccomp;      /* enum seccomp_profile */
    uint32_t network;      /* enum network_access */
    const char *user_text; /* memory of argv; NULL: nothing was said */
    uint32_t owner;        /* enum worker_owner; confinement_write() decides it */
};

/* The lines for a worker's --confine, in memory that the caller frees. The paths of the interpreter
 * must be known; without a configuration nothing is restricted by paths and ports. 0, -ENOMEM, or
 * -EINVAL with one line in `reason`: this machine, or this process, cannot do it. */
int confinement_write(const struct config *config, const struct pipeline_config *pipeline,
                      char **text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Logs what is in force, and what this kernel lacks that would be. */
void confinement_log(const struct config *config, struct log *log);

#endif
