/* SPDX-License-Identifier: MIT */
/*
 * options.h - millrace-worker's command line, which the dispatcher writes.
 */
#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"
#include "worker/confine/binding.h"
#include "worker/engine/batch_rule.h"
#include "worker/template/template.h"

struct options {
    char *confine;            /* lines of millrace/confine.h; NULL: none */
    char *cgroup;             /* folder of the control group to join; NULL: none */
    char **program;           /* to become, and its arguments; NULL: this one is the worker */
    const char *source;       /* path of the shared object */
    const char *name;         /* of the pipeline in it; NULL: the only one */
    const char *pointer;      /* what clients call it; "" when not said */
    uint32_t index;           /* of this worker among those of the pipeline */
    pid_t parent;             /* the dispatcher */
    const char *scratch;      /* its name for its folder of its own; NULL: it has none */
    const char *device_nodes; /* of its device, below /dev, parted by ':'; NULL: of any */
    uid_t own_user;           /* whose only process it is, and of that group; 0: none */
    bool user_is_shared;      /* others run as that user, and go on */
    bool is_strict;           /* no programs, processes and sockets of its own */
    bool is_check;            /* load, say HELLO, exit */
    enum preload preload;     /* other than none: it is a template */
    struct binding binding;
    struct batch_limits batch; /* of batched pipes */
    bool is_batch_asked;       /* that was said for this pipeline */
};

/* With a program only what confines it is said. 0; 1 when --help or --version was answered; or
 * -EINVAL with a sentence on stderr. The texts stay where they are in argv. */
int options_parse(struct options *out, int argc, char **argv) MUST_USE;

#endif
