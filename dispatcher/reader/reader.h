/* SPDX-License-Identifier: MIT */
/*
 * reader.h - the server's side of the process that reads large bodies.
 *
 * A body of many values takes longer to read than the loop may stop
 * (docs/decisions/0017-reader.md). So there is a process that does nothing else: it gets the body
 * as a file, on a socket, and answers what is in it.
 */
#ifndef DISPATCHER_READER_H
#define DISPATCHER_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/reader/read_message.h"
#include "millrace/check.h"

/* What argv[0] of this program is when it is the reader: main() asks for it first of all. */
#define READER_NAME "millrace-reader"

enum reader_state {
    READER_NONE = 0,
    READER_RUNNING, /* may be asked */
    READER_ENDING,  /* SIGKILL was sent; its number is not free yet */
    READER_STATE_COUNT
};

/* Owned by the loop; the socket is -1 when there is none. */
struct reader {
    enum reader_state state;
    pid_t pid;
    int socket; /* which says also that it ended: nobody else has the other end */
    uint32_t generation;
};

/* Nothing is open, nothing runs. */
void reader_init(struct reader *reader);

/* Starts the process, for bodies of at most so many bytes; waits until it is exec'ed. 0 or
 * -errno. */
int reader_open(struct reader *reader, uint64_t body_bytes_max) MUST_USE;

/* Sends a request with a file (-1: none), which stays the caller's, and `bytes` behind it. 0 or
 * -errno; -EPIPE when the reader is gone. Never waits. */
int reader_ask(const struct reader *reader, const struct read_request *request, const void *rest,
               size_t bytes, int fd) MUST_USE;

/* The next answer: 1; 0 when there is none yet; -EPIPE when there will be none any more; -EBADMSG
 * for what is not one. Its content is to be checked. */
int reader_hear(const struct reader *reader, struct read_answer *out) MUST_USE;

/* Ends it at once. */
void reader_kill(struct reader *reader);

/* After reader_kill(): true when nothing is left of it, and it can be opened again. */
bool reader_is_gone(struct reader *reader);

/* For the end of this program: it leaves, and is waited for. */
void reader_close(struct reader *reader);

/* reader_main.c: the process itself. Returns its exit code. */
int reader_main(int argc, char **argv);

#endif
