/* SPDX-License-Identifier: MIT */
/*
 * uring.h - io_uring as the loop uses it; uring.c is the only file that includes liburing.h.
 *
 * Every operation carries a reference (what, index, generation) in user_data, never a pointer: a
 * late completion for a reused place is a look-up that fails. Memory handed to an operation belongs
 * to the kernel until its completion. Operations are queued and leave with the next uring_wait().
 * All results follow io_uring_enter(2) and the man page of the operation, as negative errno.
 */
#ifndef DISPATCHER_URING_H
#define DISPATCHER_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "millrace/check.h"

enum uring_op {
    URING_NONE = 0,
    URING_ACCEPT,
    URING_RECV,
    URING_SEND,
    URING_GONE,
    URING_BELL,
    URING_PIDFD,
    URING_SOCKET,
    URING_SPAWNER,
    URING_SPAWNER_PIDFD,
    URING_READER,
    URING_FETCHER,
    URING_SCANNER,
    URING_OUTPUT_PIPE,
    URING_LOG,
    URING_LOG_OPEN,
    URING_LOG_CLOSE,
    URING_READY_LINE,
    URING_SIGNAL,
    URING_RELOAD,
    URING_DISK,
    URING_INTAKE,
    URING_CANCEL,
    URING_OP_COUNT
};

/* index < 2^24 */
struct uring_ref {
    enum uring_op op;
    uint32_t index;
    uint32_t generation;
};

struct uring_event {
    struct uring_ref ref;
    int32_t result;
    bool more;       /* a multishot operation goes on; else it must be queued again */
    bool has_buffer; /* uring_buffer(buffer) holds `result` bytes; give it back */
    uint16_t buffer;
};

struct uring; /* opaque: one ring and its provided receive buffers */

struct uring_options {
    uint32_t entries; /* submission queue; the completion queue is eight times as large */
    uint32_t receive_buffer_count; /* a power of two */
    uint32_t receive_buffer_bytes;
};

/* Makes a ring. 0 or -errno; `out` is owned by the caller. */
int uring_create(struct uring **out, const struct uring_options *options) MUST_USE;
void uring_destroy(struct uring *uring);

/* Why uring_create() failed with `error`, and what to do about it, in one line. */
void uring_explain(int error, char *text, size_t text_bytes);

/* Words for the ready line of the log: which optional features are in use. */
const char *uring_features(const struct uring *uring);

void uring_accept(struct uring *uring, int fd, struct uring_ref ref); /* multishot */
/* Into provided buffers; multishot, or one of them alone. */
void uring_recv(struct uring *uring, int fd, struct uring_ref ref, bool is_single);
void uring_send(struct uring *uring, int fd, const struct msghdr *message, struct uring_ref ref);
void uring_poll(struct uring *uring, int fd, struct uring_ref ref); /* POLLIN, multishot */
/* Once: the other end of a socket sends no more, or all of it is over; POLLRDHUP, POLLHUP,
 * POLLERR. */
void uring_poll_gone(struct uring *uring, int fd, struct uring_ref ref);
void uring_read(struct uring *uring, int fd, void *bytes, uint32_t count, struct uring_ref ref);
void uring_write(struct uring *uring, int fd, const void *bytes, uint32_t count,
                 struct uring_ref ref);

/* open(2) and close(2); the path stays where it is until the completion. */
void uring_open(struct uring *uring, const char *path, int flags, unsigned mode,
                struct uring_ref ref);
void uring_close(struct uring *uring, int fd, struct uring_ref ref);

/* Ends the operation queued under `ref`; its own completion says -ECANCELED. */
void uring_cancel(struct uring *uring, struct uring_ref ref);

/* Hands over everything queued and waits for a completion, at most `timeout_ns` (0: do not wait;
 * UINT64_MAX: for ever). 0 or -errno; a timeout is 0. */
int uring_wait(struct uring *uring, uint64_t timeout_ns) MUST_USE;

/* Takes up to `count` completions. */
uint32_t uring_reap(struct uring *uring, struct uring_event *events, uint32_t count);

/* The bytes of a provided buffer, and its return to the kernel. */
const char *uring_buffer(const struct uring *uring, uint16_t buffer);
void uring_buffer_return(struct uring *uring, uint16_t buffer);

/* io_uring_enter calls so far, for the counts. */
uint64_t uring_enter_count(const struct uring *uring);

#endif
