/* SPDX-License-Identifier: MIT */
/*
 * front.h - the side of the server that clients see: listeners, connections, what they hold, and
 * what is counted of them.
 */
#ifndef DISPATCHER_FRONT_H
#define DISPATCHER_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/http/clients.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/http/exchange.h"
#include "dispatcher/http/http_parse.h"
#include "dispatcher/http/listener.h"
#include "dispatcher/http/request_refusal.h"
#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/out.h"
#include "dispatcher/reactor/reactor.h"
#include "millrace/check.h"

/* Those of two configurations, while one takes the place of the other. */
#define LISTENER_COUNT_MAX (2 * LISTEN_COUNT_MAX)

#define RESPONSE_STATUS_MIN 100
#define RESPONSE_STATUS_COUNT 500

/* For GET /metrics; they only grow. */
struct front_counts {
    uint64_t accepted_count, accept_failed_count, stall_count;
    uint64_t request_count;
    uint64_t refusals[REQUEST_REFUSAL_COUNT];
    uint64_t responses[RESPONSE_STATUS_COUNT]; /* by status, from RESPONSE_STATUS_MIN on */
    uint64_t sent_byte_count, received_byte_count;
    uint64_t send_count;
};

/* Owned by the server. */
struct front {
    const struct config *config;
    struct reactor *reactor;
    struct input_memory *input;
    const struct exchange_ops *ops; /* who answers, */
    void *owner;                    /* and with what */
    struct out_pool out;
    /* Of the bytes of `input`, and of the pool `out`: held by connections that have shown no good
     * token. */
    uint64_t stranger_input_bytes, stranger_output_bytes;

    struct listener listeners[LISTENER_COUNT_MAX]; /* listener_count; fd -1: it was closed */
    uint32_t listener_count;
    struct timer accept_timer; /* after EMFILE */
    uint32_t timer_count;      /* reserved: this one, and one of each connection */

    struct conn *conns; /* conn_count_max of them */
    uint32_t conn_count_max;
    uint32_t index_base; /* of conns[0] and of listeners[0] in references: each front has its own */
    struct conn *free;
    uint32_t conn_count;
    uint32_t opened_count;  /* the first of conns: those behind were never open */
    struct clients clients; /* empty unless their connections are limited */
    /* To flush at the end of the pass, the one that waits longest first. */
    struct conn *dirty, *dirty_last;

    struct http_head head;           /* of the request being parsed */
    char rest[RECEIVE_BUFFER_BYTES]; /* what a socket has besides, while it is looked at */
    bool is_draining;                /* no request is taken behind the one that is being answered */

    struct front_counts counts;
};

struct front_options {
    const struct config *config;
    struct reactor *reactor;
    struct input_memory *input;
    const struct exchange_ops *ops;
    void *owner; /* theirs */
    uint32_t conn_count_max;
    uint64_t output_bytes_max; /* all responses that wait for their clients */
    uint32_t index_base;       /* for references, see struct front */
};

/* Takes memory for all connections there can be. 0 or -ENOMEM; front_finish() in any case. */
int front_init(struct front *front, const struct front_options *options) MUST_USE;

/* Ends it all. Nothing of it belongs to the kernel any more, and nothing counts its input. A front
 * that is all zero is fine. */
void front_finish(struct front *front);

/* Opens the listeners of the config. 0, or a negative errno with `reason`. */
int front_listen(struct front *front, char *reason, size_t reason_bytes) MUST_USE;

/* Takes over a socket that listens, and accepts on it from now on. */
void front_listen_on(struct front *front, int fd, const char *name);

/* Opens what another configuration listens on besides, without waiting. 0, or a negative errno with
 * `reason`, and nothing has changed. */
int front_listen_for(struct front *front, const struct config *next, char *reason,
                     size_t reason_bytes) MUST_USE;

/* The configuration of front_listen_for() is the one in use from now on: listeners that it does not
 * have are closed, connections stay. */
void front_follow(struct front *front, const struct config *next);

/* No new connections, and no further requests: connections that wait for one are closed. */
void front_drain(struct front *front);

/* Whether some connection is in the middle of a request or of its answer. */
bool front_is_answering(const struct front *front);

/* The end of a pass: hands what waits to the kernel. How many connections had something. */
uint32_t front_flush(struct front *front);

/* The connection that an operation belongs to; NULL when it is another one's by now. */
struct conn *front_conn(struct front *front, struct uring_ref ref);

/* Counts something that is not taken. */
void front_count_refusal(struct front *front, enum request_refusal refusal);

/* For tests: what must always hold between passes. Aborts. */
void front_check(const struct front *front);

#endif
