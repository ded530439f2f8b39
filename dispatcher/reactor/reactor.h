/* SPDX-License-Identifier: MIT */
/*
 * reactor.h - what every part of the server waits with and tells the time by: the ring of
 * operations, timers, the log, the clocks of a pass, random ids.
 *
 * It knows nobody: an operation that is done and a timer that fires carry a number, what they are
 * for, which the server's tables turn into a call (dispatcher/server/handlers.c).
 */
#ifndef DISPATCHER_REACTOR_H
#define DISPATCHER_REACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/reactor/buckets.h"
#include "dispatcher/reactor/identity.h"
#include "dispatcher/reactor/log.h"
#include "dispatcher/reactor/log_file.h"
#include "dispatcher/reactor/timer.h"
#include "dispatcher/reactor/uring.h"
#include "dispatcher/text/put.h"
#include "millrace/check.h"

#define WALL_TEXT_BYTES 17u
#define RECEIVE_BUFFER_BYTES 16384u

/* Owned by the server; whoever waits for something has a pointer to it. */
struct reactor {
    struct uring *uring; /* NULL until reactor_open() */
    struct timers timers;
    struct log log;
    struct log_file log_file; /* that it goes to */
    struct identity identity;

    uint64_t pass;           /* number of this pass, from 1; counted for GET /metrics, too */
    uint64_t now_ns;         /* CLOCK_MONOTONIC at the start of the pass */
    uint64_t now_ms;         /* the same moment */
    double wall_s;           /* the same moment, CLOCK_REALTIME */
    uint32_t wall_us;        /* its microseconds */
    char wall_text[32];      /* reactor_wall_text() */
    uint64_t wall_text_pass; /* that it is of */
    char date_text[32];      /* for the Date header, made once a second */
    int64_t date_s;
    uint64_t started_ms;
    double started_wall_s;
    bool has_chores; /* something that is rare is to be done at the end of the pass */

    /* Counted for GET /metrics. */
    uint64_t wait_count;       /* passes that waited */
    struct buckets pass_times; /* how long passes take */
    struct buckets lateness;   /* of the first timer of each pass that has one */
};

/* No time was read yet, and nothing is open. Log lines go to `log_fd`. */
void reactor_init(struct reactor *reactor, int log_fd, enum log_level log_level);

/* Makes the ring. 0, or -errno, which uring_explain() explains. */
int reactor_open(struct reactor *reactor) MUST_USE;

/* Nothing belongs to the kernel afterwards. */
void reactor_close(struct reactor *reactor);

/* The rest; after all owners of timers are gone. */
void reactor_finish(struct reactor *reactor);

/* The time of this pass. */
void reactor_clocks_read(struct reactor *reactor);

/* wall_s with microseconds, always WALL_TEXT_BYTES characters; made in passes that want it. */
static inline const char *reactor_wall_text(struct reactor *reactor)
{
    if (reactor->wall_text_pass != reactor->pass) {
        put_six_digits(reactor->wall_text + WALL_TEXT_BYTES - 6, reactor->wall_us);
        reactor->wall_text_pass = reactor->pass;
    }
    return reactor->wall_text;
}

#endif
