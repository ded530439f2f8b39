/* SPDX-License-Identifier: MIT */
/* spawner.c - starting, asking, hearing and ending the spawner. */
#include "dispatcher/workers/spawner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/reactor/child.h"
#include "dispatcher/reactor/child_group.h"
#include "shm/descriptors.h"

/* Killing what is left of the workers has a bound of its own, which is below this one. */
#define CLOSE_TRIES 300
#define CLOSE_TRY_MS 10

static int spawner_process_start(pid_t *pid, int socket, const struct own_users *users);
static int spawner_send_request(const struct spawner *spawner,
                                const struct worker_spawn_options *options, struct iovec *parts,
                                size_t part_count);
static bool spawner_nobody(const void *context, pid_t pid);

void spawner_init(struct spawner *spawner, struct own_users own_users)
{
    *spawner = (struct spawner){.socket = -1, .pidfd = -1, .own_users = own_users};
}

/* ---- starting ------------------------------------------------------------------------------ */

int spawner_open(struct spawner *spawner)
{
    mr_assert(spawner->state == SPAWNER_NONE);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return -errno;
    int rc = spawner_process_start(&spawner->pid, pair[1], &spawner->own_users);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    spawner->socket = pair[0];
    spawner->generation++;
    spawner->asked_count = 0;
    spawner->asked_bytes = 0;
    spawner->state = SPAWNER_RUNNING;
    return 0;
}

static int spawner_process_start(pid_t *pid, int socket, const struct own_users *users)
{
    char word[24];
    snprintf(word, sizeof(word), "%u:%u", users->first, users->count);
    return child_start(pid, SPAWNER_NAME, word, socket);
}

/* ---- asking -------------------------------------------------------------------------------- */

int spawner_ask(struct spawner *spawner, const struct worker_spawn_options *options, uint32_t index,
                uint32_t generation)
{
    if (spawner->state != SPAWNER_RUNNING)
        return -EPIPE;
    if (!spawner_may_ask(spawner))
        return -EAGAIN;
    struct worker_command command;
    int rc = worker_command_init(&command, options);
    if (rc < 0)
        return rc;
    struct spawn_request request = {.magic = SPAWN_MAGIC,
                                    .index = index,
                                    .generation = generation,
                                    .argument_count = command.argument_count,
                                    .variable_count = command.variable_count};
    struct iovec parts[1 + SPAWN_STRING_COUNT_MAX] = {{&request, sizeof(request)}};
    size_t count = 1 + command.argument_count + command.variable_count, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const char *string = command.strings[i];
        parts[1 + i].iov_len = strlen(string) + 1;
        memcpy(&parts[1 + i].iov_base, &string, sizeof(string));
        bytes += parts[1 + i].iov_len;
    }
    request.text_bytes = (uint32_t)bytes;
    rc = bytes > SPAWN_TEXT_BYTES_MAX ? -E2BIG
                                      : spawner_send_request(spawner, options, parts, 1 + count);
    if (rc == 0) {
        spawner->asked_bytes = spawner->asked_count > 0 ? spawner->asked_bytes + bytes : bytes;
        spawner->asked_count++;
    }
    worker_command_finish(&command);
    return rc;
}

int spawner_let_close(const struct spawner *spawner, int fd)
{
    struct spawn_request request = {.magic = SPAWN_CLOSE_MAGIC};
    struct iovec part = {&request, sizeof(request)};
    if (spawner->state != SPAWNER_RUNNING)
        return -EPIPE;
    return descriptors_send(spawner->socket, &(struct packet){&part, 1, &fd, 1}, MSG_DONTWAIT);
}

static int spawner_send_request(const struct spawner *spawner,
                                const struct worker_spawn_options *options, struct iovec *parts,
                                size_t part_count)
{
    int fds[START_FD_COUNT];
    worker_spawn_fds(options, fds);
    return descriptors_send(spawner->socket,
                            &(struct packet){parts, part_count, fds, START_FD_COUNT}, MSG_DONTWAIT);
}

/* ---- hearing ------------------------------------------------------------------------------- */

int spawner_peek(const struct spawner *spawner, struct spawn_answer *out)
{
    if (spawner->state != SPAWNER_RUNNING)
        return -EPIPE;
    /* Without room for descriptors, none is made here. */
    ssize_t count = recv(spawner->socket, out, sizeof(*out), MSG_DONTWAIT | MSG_PEEK);
    if (count == -1)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    return count == sizeof(*out) && out->magic == SPAWN_MAGIC ? 1 : -EPIPE;
}

void spawner_take(struct spawner *spawner, int *pidfd)
{
    struct spawn_answer answer;
    struct iovec part = {&answer, sizeof(answer)};
    ssize_t count =
        descriptors_receive(spawner->socket, &(struct packet){&part, 1, pidfd, 1}, MSG_DONTWAIT);
    mr_assert(count == sizeof(answer));
    if (answer.kind == SPAWN_STARTED || answer.kind == SPAWN_FAILED) {
        mr_assert(spawner->asked_count > 0);
        spawner->asked_count--;
    }
}

/* ---- ending -------------------------------------------------------------------------------- */

void spawner_kill(struct spawner *spawner)
{
    mr_assert(spawner->state == SPAWNER_RUNNING);
    /* Not reaped yet, so neither the process nor the group can be anyone else's. In the group are
     * the children that have not been told of. */
    kill(-spawner->pid, SIGKILL);
    kill(spawner->pid, SIGKILL);
    descriptor_close(&spawner->socket);
    descriptor_close(&spawner->pidfd);
    spawner->state = SPAWNER_ENDING;
}

bool spawner_is_gone(struct spawner *spawner, bool (*is_known)(const void *context, pid_t pid),
                     const void *context)
{
    mr_assert(spawner->state == SPAWNER_ENDING);
    /* A worker that was told of and is not yet in its own group is heard through its pidfd. */
    if (!child_group_reap(spawner->pid, is_known, context))
        return false;
    spawner->pid = 0;
    spawner->state = SPAWNER_NONE;
    return true;
}

void spawner_close(struct spawner *spawner)
{
    if (spawner->state == SPAWNER_RUNNING) {
        descriptor_close(&spawner->socket); /* which it takes for our end */
        descriptor_close(&spawner->pidfd);
        spawner->state = SPAWNER_ENDING;
    }
    for (int i = 0; i < CLOSE_TRIES && spawner->state == SPAWNER_ENDING; i++)
        if (!spawner_is_gone(spawner, spawner_nobody, NULL))
            poll(NULL, 0, CLOSE_TRY_MS);
    if (spawner->state == SPAWNER_ENDING)
        kill(-spawner->pid, SIGKILL);
}

static bool spawner_nobody(const void *context, pid_t pid)
{
    (void)context, (void)pid;
    return false;
}
