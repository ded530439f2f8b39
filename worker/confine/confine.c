/* SPDX-License-Identifier: MIT */
/* confine.c - the steps of confinement, in the one order that works. */
#include "worker/confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "shm/descriptors.h"
#include "worker/confine/scratch.h"
#include "worker/engine/error.h"
#include "worker/engine/leave.h"
#include "worker/engine/message.h"
#include "worker/engine/process.h"

#define REASON_BYTES 512u
/* In thousandths of the memory there is. */
#define OOM_SCORE 500

__attribute__((format(printf, 1, 2))) static _Noreturn void confine_fail(const char *format, ...);
static bool confine_parse_line(struct confine *out, const char *key, const char *value);
static int confine_join_cgroup(const char *folder);
static void confine_raise_oom_score(void);
static void confine_make_scratch(struct confine *confine, const char *name);
static void confine_give_rights_up(struct confine *confine);
static void confine_isolate(struct confine *confine);
static void confine_parse_or_fail(struct confine *out, char *text);
static bool confine_asks_isolation(const struct isolation *isolation);

int confine_parse(struct confine *out, char *text, char *reason, size_t reason_bytes)
{
    *out = (struct confine){0};
    while (*text != '\0') {
        char *line = text;
        char *end = strchr(line, '\n');
        char *equals = strchr(line, '=');
        if (!end || !equals || equals > end) {
            snprintf(reason, reason_bytes, "'%.100s' is not KEY=VALUE and a newline", line);
            return -EINVAL;
        }
        *end = *equals = '\0';
        if (!confine_parse_line(out, line, equals + 1)) {
            snprintf(reason, reason_bytes, "'%.100s=%.100s' is not understood", line, equals + 1);
            return -EINVAL;
        }
        text = end + 1;
    }
    const struct user *user = &out->user;
    if (user->has_uid == user->has_gid && user->has_uid == (user->group_count > 0))
        return 0;
    snprintf(reason, reason_bytes, "uid, gid and groups belong together");
    return -EINVAL;
}

void confine_enter(const struct confine_options *options)
{
    static struct confine confine;
    char reason[REASON_BYTES];
    bool has_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
    process_follow_parent(options->parent);
    int rc = options->cgroup ? confine_join_cgroup(options->cgroup) : 0;
    if (rc < 0)
        confine_fail("the worker cannot be confined: control group %s: %s", options->cgroup,
                     strerror(-rc));
    binding_enter(&options->binding); /* a group with processors of its own would undo it */
    confine_raise_oom_score();
    confine_parse_or_fail(&confine, options->text);
    if (options->own_user != 0) {
        const char *home = confine.user.home;
        if (!options->user_is_shared)
            user_clear(options->own_user);
        confine.user = user_own(options->own_user);
        if (home)
            confine.user.home = home;
    }
    if (confine.scratch && options->scratch)
        confine_make_scratch(&confine, options->scratch);
    confine.isolation.device_nodes = options->device_nodes;
    confine.filter.permits_siblings = options->is_template;
    confine_give_rights_up(&confine);
    process_follow_parent(options->parent); /* a process that changes its user forgets that */
    /* As the user that it is by now. */
    if (confine.folder && chdir(confine.folder) == -1)
        confine_fail("the worker cannot run in its folder: %s: %s", confine.folder,
                     strerror(errno));
    /* Where the server has no new privileges either, nothing else tells a worker's remains from its
     * operators. */
    if (!has_new_privs && !syscall_filter_denies(&confine.filter))
        syscall_filter_mark();
    /* Last, since it denies what the steps before may need. */
    if (syscall_filter_enter(&confine.filter, reason, sizeof reason) != 0)
        confine_fail("the worker cannot be confined: %s", reason);
}

/* Each copy enters a domain of its own within that of the template, out of which it can look into
 * no other copy, and a filter whose numbers are those of this process. */
void confine_copy(const struct confine_options *options)
{
    static struct confine confine;
    char reason[REASON_BYTES];
    process_follow_parent(options->parent);
    binding_enter(&options->binding);
    confine_parse_or_fail(&confine, options->text);
    confine.isolation.device_nodes = options->device_nodes;
    confine_isolate(&confine);
    if (syscall_filter_enter(&confine.filter, reason, sizeof reason) != 0)
        confine_fail("the worker cannot be confined: %s", reason);
}

_Noreturn void confine_exec(char **program)
{
    execv(program[0], program);
    if (errno == EAGAIN) /* who changed to a user with too many threads is told so only here */
        leave(WORKER_EXIT_SHORT, "cannot execute %s: %s", program[0], strerror(errno));
    confine_fail("cannot execute %s: %s", program[0], strerror(errno));
}

/* The dispatcher hears why, and so do the clients of the pipeline. */
__attribute__((format(printf, 1, 2))) static _Noreturn void confine_fail(const char *format, ...)
{
    static struct error error;
    va_list arguments;
    va_start(arguments, format);
    error_vset(&error, ERROR_STARTUP, format, arguments);
    va_end(arguments);
    if (message_send_failed(WORKER_FD_SOCKET, &error) != 0)
        leave(WORKER_EXIT_CONFINE, "%s", error.text);
    _exit(WORKER_EXIT_CONFINE);
}

static void confine_parse_or_fail(struct confine *out, char *text)
{
    char reason[REASON_BYTES];
    if (text && confine_parse(out, text, reason, sizeof reason) != 0)
        confine_fail("the worker cannot be confined: --confine: %s", reason);
}

/* Keeping out of other processes is nobody's wish: where the kernel cannot do it,
 * docs/internals/faults.md says what is left. */
static bool confine_asks_isolation(const struct isolation *isolation)
{
    return isolation->restricts_reading || isolation->restricts_writing ||
           isolation->restricts_connecting;
}

static bool confine_parse_deny(struct syscall_filter *out, const char *what)
{
    bool *denies = NULL;
    if (strcmp(what, "machine") == 0)
        denies = &out->denies_machine;
    else if (strcmp(what, "others") == 0)
        denies = &out->denies_others;
    else if (strcmp(what, "network") == 0)
        denies = &out->denies_network;
    return denies && (*denies = true);
}

static bool confine_parse_line(struct confine *out, const char *key, const char *value)
{
    if (strcmp(key, "deny") == 0)
        return confine_parse_deny(&out->filter, value);
    if (strcmp(key, "folder") == 0) {
        out->folder = value;
        return true;
    }
    if (strcmp(key, "scratch") == 0) {
        out->scratch = value;
        return true;
    }
    return rlimits_parse(&out->limits, key, value) || user_parse(&out->user, key, value) ||
           isolation_parse(&out->isolation, key, value);
}

/* First of all, so that everything counts. Whoever started us does not have to wait until we are
 * there, nor we for him. */
static int confine_join_cgroup(const char *folder)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/cgroup.procs", folder) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = write(fd, "0", 1) == -1 ? -errno : 0;
    close(fd);
    return rc;
}

/* Whom the kernel kills when memory is short: a worker that costs its own runs, never the server
 * that would cost everybody's, unless that one alone holds half of the memory. Where it cannot be
 * said, the kernel chooses by size. */
static void confine_raise_oom_score(void)
{
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd == -1)
        return;
    if (read(fd, text, sizeof text - 1) > 0 && strtol(text, NULL, 10) < OOM_SCORE) {
        int count = snprintf(text, sizeof text, "%d", OOM_SCORE);
        if (pwrite(fd, text, (size_t)count, 0) == -1)
            text[0] = '\0';
    }
    close(fd);
}

/* Where it may write whatever else it may not. */
static void confine_make_scratch(struct confine *confine, const char *name)
{
    static struct scratch scratch;
    int rc = scratch_make(&scratch, confine->scratch, name, &confine->user);
    confine->isolation.scratch = scratch.path;
    if (rc < 0)
        confine_fail("the worker cannot have a folder of its own: %s/%s: %s", confine->scratch,
                     name, strerror(-rc));
}

/* Limits, files and processes of others; then the user, who may not do that any more. */
static void confine_give_rights_up(struct confine *confine)
{
    char reason[REASON_BYTES];
    if (rlimits_enter(&confine->limits, reason, sizeof reason) != 0)
        confine_fail("the worker cannot be confined: %s", reason);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        confine_fail("the worker cannot be confined: PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
    confine_isolate(confine);
    if (user_become(&confine->user, reason, sizeof reason) != 0)
        confine_fail("the worker cannot be confined: %s", reason);
}

/* Enters the domain; what the filter has to do beside what was said, since the kernel's other means
 * cannot, is known then. */
static void confine_isolate(struct confine *confine)
{
    char reason[REASON_BYTES];
    /* Who may make namespaces of users writes the maps of its children's there. */
    confine->isolation.guards_proc = confine->filter.denies_machine;
    bool is_isolated = isolation_enter(&confine->isolation, reason, sizeof reason) == 0;
    if (!is_isolated && confine_asks_isolation(&confine->isolation))
        confine_fail("the worker cannot be confined: %s", reason);
    struct syscall_filter *filter = &confine->filter;
    filter->denies_others |= filter->denies_machine && !is_isolated;
    filter->denies_lingering |=
        filter->denies_machine && !descriptors_are_refusable(WORKER_FD_SOCKET);
    filter->denies_modes |=
        confine->isolation.restricts_writing && confine->isolation.write_count == 0;
    filter->denies_signals |=
        filter->denies_others || (filter->denies_machine && !isolation_keeps_signals());
    filter->denies_detours |= confine->isolation.restricts_connecting;
}
