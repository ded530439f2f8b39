/* SPDX-License-Identifier: MIT */
/*
 * spawner.h - the server's side of the process that starts its workers.
 *
 * A process that is started by the server itself would stop its loop until the exec is done
 * (docs/decisions/0014-spawner.md). So there is a small one that does nothing else: it is asked on
 * a socket and answers with a pidfd. Workers are children of the server, not of the spawner.
 *
 * All workers are in the spawner's session. When the server is gone, however it ended, the spawner
 * kills what is left in that session, and of users that workers had for themselves, and exits.
 */
#ifndef DISPATCHER_SPAWNER_H
#define DISPATCHER_SPAWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/config/own_users.h"
#include "dispatcher/workers/spawn_message.h"
#include "dispatcher/workers/worker_spawn.h"
#include "millrace/check.h"

/* What argv[0] of this program is when it is the spawner: main() asks for it first of all. */
#define SPAWNER_NAME "millrace-spawner"

/* Starts asked for and not answered yet, at most. */
#define SPAWNER_ASKED_COUNT_MAX 32u

/* When requests of so many bytes are on their way, all of them are answered first: the least usual
 * buffer of a socket holds these and the longest one, as the kernel counts them. */
#define SPAWNER_ASKED_BYTES_MAX (32u * 1024)

enum spawner_state {
    SPAWNER_NONE = 0,
    SPAWNER_RUNNING, /* may be asked; also before it is READY */
    SPAWNER_ENDING,  /* SIGKILL was sent; its number is not free yet */
    SPAWNER_STATE_COUNT
};

/* Owned by whoever starts workers; descriptors are -1 when there are none. */
struct spawner {
    enum spawner_state state;
    struct own_users own_users;
    pid_t pid; /* also the number of its session and of its process group */
    int socket;
    int pidfd; /* from READY on */
    uint32_t generation;
    uint32_t asked_count;
    size_t asked_bytes; /* since the last time that all was answered */
};

/* Nothing is open, nothing runs. The users are none but those of workers, if there are any. */
void spawner_init(struct spawner *spawner, struct own_users own_users);

/* Starts the process; waits until it is exec'ed, so the loop has one before it has clients. 0 or
 * -errno. SIGCHLD must not be ignored in this process. */
int spawner_open(struct spawner *spawner) MUST_USE;

/* Whether it can be asked now; one that does not run cannot. */
static inline bool spawner_may_ask(const struct spawner *spawner)
{
    return spawner->state == SPAWNER_RUNNING &&
           (spawner->asked_count == 0 || (spawner->asked_count < SPAWNER_ASKED_COUNT_MAX &&
                                          spawner->asked_bytes <= SPAWNER_ASKED_BYTES_MAX));
}

/* Asks for a worker, whose answers will name `index` and `generation`. 0, or -errno: -EAGAIN when
 * too much is asked for already, -E2BIG, -EPIPE when the spawner is gone. Never waits. */
int spawner_ask(struct spawner *spawner, const struct worker_spawn_options *options, uint32_t index,
                uint32_t generation) MUST_USE;

/* Lets another process close what may take long to be closed. The descriptor stays the caller's,
 * who is no longer the last one to close it. 0 or -errno. Never waits. */
int spawner_let_close(const struct spawner *spawner, int fd) MUST_USE;

/* What the next answer is, which stays there: 1, 0 when there is none yet, -EPIPE when there will
 * be none any more. */
int spawner_peek(const struct spawner *spawner, struct spawn_answer *out) MUST_USE;

/* Takes that answer. `*pidfd` is the caller's; -1: there is none, or this process has no descriptor
 * for it. */
void spawner_take(struct spawner *spawner, int *pidfd);

/* Ends it at once, with all that it has started and not yet told of; answers are lost. */
void spawner_kill(struct spawner *spawner);

/* After spawner_kill(): reaps what is left of it. True when nothing is, and it can be opened again.
 * Processes that `is_known` says yes to are left to whoever knows them. */
bool spawner_is_gone(struct spawner *spawner, bool (*is_known)(const void *context, pid_t pid),
                     const void *context);

/* For the end of this program: lets it kill what is left of its workers, and waits for it. */
void spawner_close(struct spawner *spawner);

/* spawner_main.c: the process itself. Returns its exit code. */
int spawner_main(int argc, char **argv);

#endif
