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

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/servant.h"
#include "dispatcher/reader/read_message.h"
#include "millrace/check.h"

/* What argv[0] of this program is when it is the reader: main() asks for it first of all. */
#define READER_NAME "millrace-reader"

/* Starts the process, for bodies of at most so many bytes; waits until it is exec'ed. 0 or
 * -errno. */
int reader_open(struct servant *reader, uint64_t body_bytes_max) MUST_USE;

/* servant_ask() and servant_hear() with what the two say to each other. */
int reader_ask(const struct servant *reader, const struct read_request *request, const void *rest,
               size_t bytes, int fd) MUST_USE;
int reader_hear(const struct servant *reader, struct read_answer *out) MUST_USE;

/* reader_main.c: the process itself. Returns its exit code. */
int reader_main(int argc, char **argv);

#endif
