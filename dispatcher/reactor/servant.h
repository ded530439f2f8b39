/* SPDX-License-Identifier: MIT */
/*
 * servant.h - a process of the server's own that is asked things over a socket, so that the loop
 * need not wait for what it does.
 *
 * It is this program under another name (child.h). A message is one packet; what it answers is to
 * be checked like what a worker says, since it handles what strangers sent.
 */
#ifndef DISPATCHER_SERVANT_H
#define DISPATCHER_SERVANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

enum servant_state {
    SERVANT_NONE = 0,
    SERVANT_RUNNING, /* may be asked */
    SERVANT_ENDING,  /* SIGKILL was sent; its number is not free yet */
    SERVANT_STATE_COUNT
};

/* Owned by the loop; the socket is -1 when there is none. */
struct servant {
    enum servant_state state;
    pid_t pid;
    int socket; /* which says also that it ended: nobody else has the other end */
    uint32_t generation;
};

/* Nothing is open, nothing runs. */
void servant_init(struct servant *servant);

/* Starts the process with this name and word; waits until it is exec'ed. 0 or -errno. */
int servant_open(struct servant *servant, const char *name, const char *word) MUST_USE;

/* Sends a message, `bytes` and `more_bytes` behind them, with a file (-1: none), which stays the
 * caller's. 0 or -errno; -EPIPE when the servant is gone. Never waits. */
int servant_ask(const struct servant *servant, const void *message, size_t bytes, const void *more,
                size_t more_bytes, int fd) MUST_USE;

/* The next message of exactly so many bytes: 1; 0 when there is none yet; -EPIPE when there will be
 * none any more; -EBADMSG for what is not one. Its content is to be checked. */
int servant_hear(const struct servant *servant, void *message, size_t bytes) MUST_USE;

/* Ends it at once. */
void servant_kill(struct servant *servant);

/* After servant_kill(): true when nothing is left of it, and it can be opened again. */
bool servant_is_gone(struct servant *servant);

/* For the end of this program: it leaves, and is waited for. */
void servant_close(struct servant *servant);

#endif
