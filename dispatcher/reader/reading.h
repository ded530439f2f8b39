/* SPDX-License-Identifier: MIT */
/*
 * reading.h - the loop and its reader: bodies that take too long to be read in a pass wait here.
 *
 * A body goes BODY, then (the pipeline known) PACK; what comes of it is the API's to answer. One
 * body is with the reader at a time. Of those that wait, the smaller ones come first, but nobody
 * waits for ever: a body's size counts like time that it came later.
 */
#ifndef DISPATCHER_READING_H
#define DISPATCHER_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/timer.h"
#include "dispatcher/reader/reader.h"
#include "dispatcher/runs/run.h"

struct conn;
struct loop;
struct uring_event;

#define READ_LEVEL_COUNT 4u

/* What the loop reads itself: so many bytes and values of one body, so many nanoseconds of all
 * bodies of a pass, by estimate; then still those that take next to no time. */
#define READ_INLINE_TINY_BYTES 256u
#define READ_INLINE_BYTES_MAX (64u * 1024)
#define READ_INLINE_VALUE_COUNT_MAX 4096u
#define READ_INLINE_PASS_NS_MAX 2000000u
#define READ_INLINE_SMALL_NS 10000u

/* What a payload may have to be copied; a larger one stays the file it came as. */
#define READ_COPY_BYTES_MAX (256u * 1024)

#define READ_TIMEOUT_MS 10000u

/* Owned by the loop. */
struct reading {
    struct reader reader;
    struct conn *first[READ_LEVEL_COUNT], *last[READ_LEVEL_COUNT];
    uint32_t waiting_count;
    enum read_kind asked; /* READ_NONE: the reader has nothing to do */
    uint64_t number;      /* of the body that is asked about */
    struct conn *conn;    /* whose it is; NULL: nobody waits for the answer */
    int pack_fd;          /* the file it is packed into; -1 */
    bool cannot_open;     /* the last try failed */
    bool was_put_off; /* what it was to be asked last could not be sent yet, and that was said */
    uint64_t opened_ms;
    struct timer timer;   /* the answer is late; or another one may be opened */
    uint64_t inline_pass; /* the pass that `inline_ns` is of */
    uint64_t inline_ns;
};

/* Nothing runs. */
void reading_init(struct reading *reading);

/* From now on the reader is heard. */
void reading_start(struct loop *loop);

/* Whether this body is not the loop's to read, now. */
bool reading_takes(struct loop *loop, const struct conn *conn, const char *body, size_t bytes);

/* The run that this body asks for is begun, or refused, when the reader has read it. */
void reading_begin(struct loop *loop, struct conn *conn, const char *body, size_t bytes,
                   enum run_mode mode);

/* Nobody waits for it any more. */
void reading_drop(struct loop *loop, struct conn *conn);

/* Its time is over: it is answered. */
void reading_expire(struct loop *loop, struct conn *conn);

/* All that wait are told that the server stops. */
void reading_stop(struct loop *loop);

void reading_on_reader(struct loop *loop, const struct uring_event *event);
void reading_on_timer(struct loop *loop);

#endif
