/* SPDX-License-Identifier: MIT */
/*
 * template.h - a process that has loaded a pipeline and is copied for each worker of it.
 *
 *     millrace-worker ... --preload import -> confine -> attach -> load -> hooks -> READY
 *         template_serve(): FORK -> a copy -> FORKED, again and again
 *             a copy: GO -> confined as a worker is -> returns from template_serve()
 *
 * The copies are children of the dispatcher, as other workers are, and siblings of the template.
 * Only prepare and parent handlers of pthread_atfork(3) have run, once, before READY; those of the
 * child have not.
 */
#ifndef WORKER_TEMPLATE_H
#define WORKER_TEMPLATE_H

#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"
#include "millrace/preload.h"
#include "worker/confine/confine.h"

/* False: it is none of PRELOAD_WORDS. */
bool preload_parse(const char *word, enum preload *out);

/* What a copy is to be. Texts are memory that lasts as long as the process. */
struct newborn {
    uint32_t index;         /* of the worker among those of its pipeline */
    const char **variables; /* NAME=VALUE, variable_count of them */
    uint32_t variable_count;
};

struct template_options {
    int socket;           /* to the dispatcher */
    pid_t parent;         /* the dispatcher */
    char *confine;        /* lines of millrace/confine.h, as it was confined; NULL: none */
    void (*before)(void); /* of an interpreter: in the template, before a copy is made, */
    void (*after)(void);  /* and after it; NULL: none */
};

/* For ps(1). */
void template_name(void);

/* Takes FORK messages. Returns in each copy, when it is confined, and its descriptors have their
 * numbers; nothing else is changed yet: its environment, names and random numbers are those of the
 * template, and `after` was not called. The template itself leaves, when the dispatcher is gone. */
void template_serve(const struct template_options *options, struct newborn *out);

/* Which a copy does for itself, once it may: another beginning of rand(3), random(3), drand48(3);
 * its variables in the environment; its name in ps(1). */
void newborn_settle(const struct newborn *newborn);

#endif
