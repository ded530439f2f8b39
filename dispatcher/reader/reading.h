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

#include "dispatcher/config/config.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reactor/body.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/reader/read_job.h"
#include "dispatcher/reader/reader.h"
#include "millrace/check.h"

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

/* Of START: in memory of the heap, or in a sealed file. The files that its inputs name stand behind
 * it in the same place. */
struct read_payload {
    uint8_t *memory; /* NULL: it is in the file */
    int fd;
    size_t bytes, reference_bytes;
    uint32_t
        body_room; /* what the body still holds of the memory for requests; it is about to go */
};

/* Told to whoever began the job. After `packed` and `refused`, and after `parsed` said false, the
 * job is the caller's again. */
struct reading_ops {
    /* The envelope is `request`, which has no document, or why there is none: what
     * run_request_parse() says. True: its inputs are to be packed, for job->variables and
     * job->birth.id, which are set now; false: it is answered. */
    bool (*parsed)(struct read_job *job, const struct run_request *request, int rc,
                   const struct api_error *error);
    /* They are packed, or what run_request_pack() says; takes the payload over. */
    void (*packed)(struct read_job *job, const struct read_payload *payload, int rc,
                   const struct api_error *error);
    /* It was not read: the status of the answer, and why. */
    void (*refused)(struct read_job *job, int status, const char *reason);
};

/* Owned by the server. */
struct reading {
    const struct config *config;
    struct reactor *reactor;
    struct input_memory *input;
    const struct reading_ops *ops;
    bool is_stopping; /* nothing is begun any more */

    struct servant reader;
    struct read_job *first[READ_LEVEL_COUNT], *last[READ_LEVEL_COUNT];
    uint32_t waiting_count;
    enum read_kind asked; /* READ_NONE: the reader has nothing to do */
    uint64_t number;      /* of the body that is asked about */
    struct read_job *job; /* whose it is; NULL: nobody waits for the answer */
    int pack_fd;          /* the file it is packed into; -1 */
    bool cannot_open;     /* the last try failed */
    bool was_put_off; /* what it was to be asked last could not be sent yet, and that was said */
    uint64_t opened_ms;
    struct read_answer answer; /* the last one */
    struct timer timer;        /* the answer is late; or another one may be opened */
    uint64_t inline_pass;      /* the pass that `inline_ns` is of */
    uint64_t inline_ns;
    uint64_t body_count, lost_count; /* for GET /metrics */
};

/* What it works with; all borrowed for as long as it lives. */
struct reading_options {
    const struct config *config;
    struct reactor *reactor;
    struct input_memory *input;
    const struct reading_ops *ops;
};

/* Nothing runs. 0 or -ENOMEM; reading_finish() in either case. */
int reading_init(struct reading *reading, const struct reading_options *options) MUST_USE;
void reading_finish(struct reading *reading);

/* From now on the reader is heard. */
void reading_start(struct reading *reading);

/* Whether a body is not the loop's to read, now. `body` may have it already, or be empty: then it
 * is `data`. */
bool reading_takes(struct reading *reading, const struct body *body, const char *data,
                   size_t bytes);

/* The job, whose body, timeout and birth are set, waits from now on, and its due_ms is set;
 * reading_ops tell what becomes of it, perhaps already here. */
void reading_begin(struct reading *reading, struct read_job *job);

/* Nobody waits for it any more. */
void reading_drop(struct reading *reading, struct read_job *job);

/* Its time is over: it is refused. */
void reading_expire(struct reading *reading, struct read_job *job);

/* All that wait are told that the server stops. */
void reading_stop(struct reading *reading);

void reading_on_reader(struct reading *reading, const struct uring_event *event);
void reading_on_timer(struct reading *reading);

#endif
