/* SPDX-License-Identifier: MIT */
/*
 * callback.h - results of runs on their way to the URL that their client named (callback_url).
 *
 * They wait in memory, CALLBACK_COUNT_MAX of them and CALLBACK_BYTES_MAX, and FETCH_POST_COUNT_MAX
 * are posted at once; one owner of runs has three quarters of either at most. One that is not taken
 * is tried again, CALLBACK_ATTEMPT_COUNT_MAX times in all, later each time; then it is given up,
 * and the log says so.
 */
#ifndef DISPATCHER_CALLBACK_H
#define DISPATCHER_CALLBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/fetcher/fetching.h"
#include "dispatcher/reactor/identity.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

#define CALLBACK_COUNT_MAX 1024u
#define CALLBACK_BYTES_MAX (UINT64_C(64) * 1024 * 1024) /* or one, if that alone is larger */
#define CALLBACK_ATTEMPT_COUNT_MAX 5u

/* After the first attempt that failed, and four times as long after each other. */
#define CALLBACK_RETRY_MS 1000u

enum callback_end {
    CALLBACK_DELIVERED = 0, /* answered with 200 to 299 */
    CALLBACK_REFUSED,       /* answered otherwise, for good; or nothing is sent there */
    CALLBACK_GIVEN_UP,      /* tried too often, or the server stopped */
    CALLBACK_DROPPED,       /* there was no room for it */
    CALLBACK_END_COUNT
};

struct callback;

/* Owned by the server. */
struct callbacks {
    struct reactor *reactor;
    struct fetching *fetching;
    struct callback *first, *last; /* owned */
    uint32_t count, posting_count;
    uint64_t bytes;   /* of their results */
    bool is_stopping; /* there is no later */
    struct timer timer;

    uint64_t counts[CALLBACK_END_COUNT]; /* for GET /metrics */
    uint64_t retry_count;
};

/* None yet. 0 or -ENOMEM; callbacks_finish() in either case. */
int callbacks_init(struct callbacks *callbacks, struct reactor *reactor,
                   struct fetching *fetching) MUST_USE;
void callbacks_finish(struct callbacks *callbacks);

/* The result of this run of this owner, JSON, is posted to `url`, of which both are taken over: the
 * text and memory of malloc(). */
void callback_begin(struct callbacks *callbacks, const char *run_id, uint32_t owner, char *url,
                    struct text *body);

/* The server stops: each has one more attempt, now. */
void callbacks_hurry(struct callbacks *callbacks);

/* All that are left are given up. */
void callbacks_give_up(struct callbacks *callbacks);

void callbacks_on_timer(struct callbacks *callbacks);

const char *callback_end_name(enum callback_end end);

#endif
