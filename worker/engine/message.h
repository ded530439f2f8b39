/* SPDX-License-Identifier: MIT */
/*
 * message.h - the worker's messages on its socketpair (protocol.h).
 */
#ifndef WORKER_MESSAGE_H
#define WORKER_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"
#include "millrace/protocol.h"
#include "worker/engine/error.h"
#include "worker/engine/reply.h"
#include "worker/engine/value.h"

/* Sends one message. Waits while the socket is full. 0 or -errno. */
int message_send(int socket, enum message_kind kind, const void *body, size_t bytes) MUST_USE;

/* The same, but never waits: -EAGAIN, the socket is full. */
int message_try_send(int socket, enum message_kind kind, const void *body, size_t bytes) MUST_USE;

/* The same of one run. */
int message_send_of(int socket, enum message_kind kind, const struct reply_job *job,
                    const void *body, size_t bytes) MUST_USE;

/* Sends one whose body is a complete value. 0 or -errno; -EMSGSIZE when it is too long. */
int message_send_value(int socket, enum message_kind kind, struct mr_value *value) MUST_USE;

/* Sends FAILED with what the error says. */
int message_send_failed(int socket, const struct error *error) MUST_USE;

/* Takes BLOB messages, which come before their START records and in the same order, until the one
 * of this run; others are of runs that never were. On success *fd is a descriptor
 * that the caller owns and *bytes the size of the payload in it. 0, or -EPROTO: there is none. */
int message_receive_blob(int socket, const struct reply_job *job, int *fd,
                         uint64_t *bytes) MUST_USE;

/* The same of FILES: the bytes of its body, or -EPROTO. */
ssize_t message_receive_files(int socket, const struct reply_job *job,
                              uint8_t body[MESSAGE_FILES_BYTES_MAX]) MUST_USE;
/* Likewise the pipe of PIPE, which comes before its FILE record. */
int message_receive_pipe(int socket, const struct reply_job *job, int *fd) MUST_USE;

#endif
