/* SPDX-License-Identifier: MIT */
/*
 * attachment.h - the worker's end of everything it shares with the dispatcher.
 */
#ifndef WORKER_ATTACHMENT_H
#define WORKER_ATTACHMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/limits.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/segment.h"

/* A lock that user code shares with threads of its own (an interpreter's): it is given back while
 * we sleep. Both NULL: there is none. */
struct attachment_lock {
    void *(*give_back)(void);
    void (*take)(void *state); /* with what give_back() returned */
};

/* Owns the segment's mapping, the inherited descriptors and the epoll that watches two of them. */
struct attachment {
    struct segment segment;
    struct ring_rx request;
    struct ring_tx reply;
    struct doorbell bell;            /* ours: we sleep on it */
    struct doorbell dispatcher_bell; /* theirs: we ring it */
    int socket;
    int epoll;
    int wake; /* eventfd to end our own sleep with; -1 unless attachment_add_wake() made it */
    uint64_t ready[SLOT_COUNT_MAX / 64]; /* of each slot a bit: its descriptor is ready */
    uint32_t ready_count;
    uint64_t look_count;         /* how often it was asked what is ready */
    struct attachment_lock lock; /* set by the host, if at all */
};

/* Joins the segment and the descriptors of enum worker_fd. 0, or a negative errno with a sentence
 * in `reason`. */
int attachment_init(struct attachment *out, char *reason, size_t reason_bytes) MUST_USE;

/* What the operator lets a step of an engine take up, in units of its own; 0: nothing was said. It
 * may be another one with each call. From any thread. */
uint64_t attachment_step_budget(const struct attachment *attachment);

/* Before READY: no more than so many runs are to be offered at once; 0: as many as there are
 * slots. */
void attachment_say_capacity(struct attachment *attachment, uint32_t run_count);

/* Sleeps until the bell rings, a message or the end comes on the socket, or `due_ns` (CLOCK_NEVER:
 * no time) has passed. Call between doorbell_arm and doorbell_disarm. May return early. 0, or
 * -EPIPE when the dispatcher vanished. */
int attachment_sleep(struct attachment *attachment, uint64_t due_ns) MUST_USE;

/* For a host that sleeps itself until `epoll` is readable: takes what made it so. Results as
 * above. */
int attachment_poll(struct attachment *attachment) MUST_USE;

/* Something else that ends a sleep: attachment_wake(), from any thread, makes `epoll` readable. 0
 * or -errno. */
int attachment_add_wake(struct attachment *attachment) MUST_USE;
void attachment_wake(struct attachment *attachment);

/* From now on a sleep ends also when `fd` is ready for `events` (of poll(2)), once: the slot is
 * taken then. 0, or -errno: -EEXIST, it is watched for another slot; -EPERM, it cannot be waited
 * for. */
int attachment_watch(struct attachment *attachment, int fd, uint32_t events,
                     uint32_t slot) MUST_USE;
void attachment_unwatch(struct attachment *attachment, int fd, uint32_t slot);

/* A slot whose descriptor became ready in a sleep or a poll since. False: none did. */
bool attachment_take_ready(struct attachment *attachment, uint32_t *slot) MUST_USE;

/* What helps where the dispatcher is another one than this worker was made with. */
#define ATTACHMENT_UPGRADED "a server has to be restarted when its programs were replaced"

#endif
