/* SPDX-License-Identifier: MIT */
/*
 * confine.h - the process gives up what user code is not to have, before there is any.
 *
 * Everything here survives an exec, so an interpreter is confined before its first instruction: a
 * virtualenv's own start-up files are user code, too.
 */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "millrace/check.h"
#include "worker/confine/binding.h"
#include "worker/confine/isolation.h"
#include "worker/confine/rlimits.h"
#include "worker/confine/syscall_filter.h"
#include "worker/confine/user.h"

/* What millrace/confine.h says, understood. Texts are memory of what was parsed. */
struct confine {
    struct rlimits limits;
    struct isolation isolation;
    struct user user;
    struct syscall_filter filter;
    const char *folder;  /* NULL: where it is */
    const char *scratch; /* in which it gets one of its own; NULL: in none */
};

/* Reads the lines of `text`, which it cuts at their ends. 0, or -EINVAL with a sentence in
 * `reason`. */
int confine_parse(struct confine *out, char *text, char *reason, size_t reason_bytes) MUST_USE;

struct confine_options {
    pid_t parent;       /* the dispatcher, with which this process dies */
    const char *cgroup; /* folder of a control group to join; NULL: none */
    uid_t own_user;     /* to become, and the group of that number; what runs as that user is killed
                           first; 0: none, unless the text says one */
    bool user_is_shared;      /* but for that: copies of a template before this one do */
    const char *scratch;      /* its name for the folder of its own, where the text says in which */
    const char *device_nodes; /* as of struct isolation */
    char *text;               /* as of confine_parse(); NULL: only what every worker gives up */
    bool is_template;         /* it may have siblings, which are confined once more */
    struct binding binding;
};

/* Once, while there is one thread: puts everything in force, or sends FAILED and leaves. */
void confine_enter(const struct confine_options *options);

/* In a copy of a process that entered as a template, of the same text: what is each worker's own
 * is put in force, beside what the copy has of the template: its user, limits and folder. Group and
 * user of `options` are not looked at. Sends FAILED and leaves when it cannot. */
void confine_copy(const struct confine_options *options);

/* Becomes `program`, with what is inherited; its descriptors stay open. Leaves when it cannot. */
_Noreturn void confine_exec(char **program);

#endif
