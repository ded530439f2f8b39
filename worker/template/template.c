/* SPDX-License-Identifier: MIT */
/* template.c - takes FORK messages, and makes copies of this process. */
#include "worker/template/template.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"
#include "worker/engine/leave.h"
#include "worker/engine/message.h"
#include "worker/template/forkable.h"
#include "worker/template/newborn.h"

static void template_receive(int socket, struct fork_request *request);
static const char *template_fork(const struct template_options *options,
                                 const struct fork_request *request, pid_t *pid);

bool preload_parse(const char *word, enum preload *out)
{
    static const char *const words[PRELOAD_COUNT] = {PRELOAD_WORDS};
    for (unsigned i = 0; i < PRELOAD_COUNT; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        *out = (enum preload)i;
        return true;
    }
    return false;
}

void template_name(void)
{
    prctl(PR_SET_NAME, "mr-template");
}

/* ---- what is said -------------------------------------------------------------------------- */

static void template_answer(int socket, const struct fork_request *request, pid_t pid,
                            const char *reason)
{
    struct message_forked forked = {.place = request->fork.place,
                                    .generation = request->fork.generation,
                                    .pid = pid > 0 ? pid : 0,
                                    .error = pid < 0 ? -pid : 0};
    char body[sizeof forked + FORKABLE_REASON_BYTES];
    size_t bytes = strlen(reason);
    memcpy(body, &forked, sizeof forked);
    memcpy(body + sizeof forked, reason, bytes);
    int rc = message_send(socket, MESSAGE_FORKED, body, sizeof forked + bytes);
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "FORKED was not sent: %s", strerror(-rc));
}

void template_serve(const struct template_options *options, struct newborn *out)
{
    static struct fork_request request;
    for (;;) {
        pid_t pid = 0;
        template_receive(options->socket, &request);
        const char *reason = template_fork(options, &request, &pid);
        if (!reason)
            break; /* this is the copy */
        for (size_t i = 0; i < START_FD_COUNT; i++)
            descriptor_close(&request.fds[i]);
        template_answer(options->socket, &request, pid, reason);
    }
    newborn_become(options, &request, out);
}

/* ---- what is asked ------------------------------------------------------------------------- */

/* The next request. Who asks is the dispatcher, of this build. */
static void template_receive(int socket, struct fork_request *request)
{
    struct iovec parts[] = {{&request->header, sizeof request->header},
                            {&request->fork, sizeof request->fork},
                            {request->text, sizeof request->text - 1}};
    struct packet packet = {parts, ARRAY_COUNT(parts), request->fds, START_FD_COUNT};
    ssize_t bytes;
    do {
        bytes = descriptors_receive(socket, &packet, 0);
    } while (bytes == -EINTR);
    if (bytes <= 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
    const size_t head = sizeof request->header + sizeof request->fork;
    if ((size_t)bytes < head || request->header.kind != MESSAGE_FORK ||
        request->header.bytes != (size_t)bytes - sizeof request->header)
        leave(WORKER_EXIT_PROTOCOL, "a message to this template cannot be understood");
    request->text[(size_t)bytes - head] = '\0';
    request->text_bytes = (size_t)bytes - head;
}

/* ---- copies -------------------------------------------------------------------------------- */

/* What fork(3) of the C library would ask for, and a sibling in place of a child: the kernel writes
 * the number of the copy's thread to where the library keeps it, which it tells. That address is
 * the fourth argument of some machines' clone(2) and the fifth of others', where the other one is
 * of no account. */
static pid_t template_clone(void)
{
    int *thread_number = NULL;
    void *robust = NULL;
    size_t robust_bytes = 0;
    if (prctl(PR_GET_TID_ADDRESS, &thread_number) == -1)
        return -errno;
    syscall(SYS_get_robust_list, 0, &robust, &robust_bytes);
    pid_t pid = (pid_t)syscall(SYS_clone,
                               CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
                               NULL, NULL, thread_number, thread_number);
    if (pid == 0 && robust) /* of mutexes that are to be found unlocked when it dies */
        syscall(SYS_set_robust_list, robust, robust_bytes);
    return pid == -1 ? -errno : pid;
}

/* NULL in the copy; in the template "" with its number, or why there is none, with a negative errno
 * where it was the kernel that said so. */
static const char *template_fork(const struct template_options *options,
                                 const struct fork_request *request, pid_t *pid)
{
    *pid = 0;
    if (request->fds[START_FD_COUNT - 1] == -1) {
        *pid = -EMFILE;
        return strerror(EMFILE);
    }
    if (options->before)
        options->before();
    bool has_threads = forkable_threads_await() != 1;
    if (!has_threads)
        *pid = template_clone();
    if (!has_threads && *pid == 0)
        return NULL;
    if (options->after)
        options->after();
    if (has_threads)
        return "it has more than one thread by now";
    return *pid > 0 ? "" : strerror(-*pid);
}
