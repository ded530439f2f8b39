/* SPDX-License-Identifier: MIT */
/*
 * run.h - one execution of a pipeline, from admission to its one end.
 */
#ifndef DISPATCHER_RUN_H
#define DISPATCHER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/tokens.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/runs/deadline.h"
#include "dispatcher/runs/fair_queue.h"
#include "dispatcher/runs/given_files.h"
#include "dispatcher/runs/run_fsm.h"
#include "dispatcher/runs/run_rank.h"
#include "dispatcher/runs/sink.h"
#include "dispatcher/runs/staged_files.h"
#include "dispatcher/runs/tally.h"
#include "dispatcher/workers/worker.h"
#include "millrace/check.h"
#include "millrace/protocol.h"

#define RUN_REQUEST_BYTES 129u
#define RUN_CLIENT_BYTES 46u

struct alias;
struct pipeline;
struct runs;
struct worker;

struct run {
    uint32_t index;
    uint32_t generation;
    enum run_state state;
    struct sink *sink; /* where its output goes; NULL: it was told the end, or nobody waits */
    uint32_t owner;    /* to whom alone it exists, see owner.h */
    bool waits;        /* also where nothing can run it soon */
    struct pipeline *pipeline;
    struct alias *alias;   /* by which it was asked for; NULL: by none */
    struct worker *worker; /* ACTIVE and CANCELLING */
    uint32_t slot_index;
    struct run *next, *previous; /* the pipeline's queue, or the free list */
    uint64_t ticket;             /* in that queue */
    struct run_rank rank;        /* by which it is scheduled, */
    struct fair_item fair;       /* in turns, if its pipeline is fair */
    uint32_t passed_count;       /* times that one behind it went first, see pipeline_pick.c */
    struct run *older, *newer;   /* of its owner's, those that are queued or active */

    char id[RUN_ID_BYTES];
    char request_id[RUN_REQUEST_BYTES];   /* "": none */
    char client[RUN_CLIENT_BYTES];        /* "": not known */
    char token[TOKEN_NAME_BYTES_MAX + 1]; /* "": it came with none */
    uint32_t token_index;
    char created_text[WALL_TEXT_BYTES]; /* created_at, with microseconds; not terminated */
    double created_at;                  /* Unix time, seconds */
    double started_at, first_chunk_at;  /* likewise; 0: not yet */
    uint64_t created_ms, started_ms, first_chunk_ms, cancelled_ms; /* monotonic; 0: not yet */
    uint64_t queued_ms;            /* likewise: it waits for a worker since then */
    uint64_t gap_count;            /* that were counted of those between its values */
    uint64_t last_chunk_ns;        /* monotonic; 0: none came */
    uint64_t last_line_ms;         /* its sink was told something */
    struct deadline_limits limits; /* of its pipeline when it began; keepalive_ms: nothing */
    uint64_t value_count;          /* that its sink took */
    uint32_t offer_count;          /* to workers; the last one took it, if it has started */

    uint8_t *payload;      /* of START, until it is offered; owned */
    bool has_payload_file; /* it is in a sealed file, and not in memory */
    int payload_fd;        /* of that file; owned, too */
    size_t payload_bytes;
    bool is_unread; /* the payload is its request: nobody knows yet what inputs its pipeline has */

    struct staged_files *files; /* that its inputs name; NULL: none */
    struct given_files *given;  /* files that it gives out; NULL: none */
    uint64_t plain_outputs;     /* declared as streams, and one value each: known at its end */

    struct timer timer; /* the next limit, see deadline.h */
};

#define RUN_WORKER_NONE UINT32_MAX

/* Whose a run is, for the log; texts are borrowed, NULL: not known. */
struct run_origin {
    const char *request_id; /* of which RUN_REQUEST_BYTES - 1 are kept */
    const char *client;     /* its address; RUN_CLIENT_BYTES - 1 likewise */
    const char *token;      /* its name, of which the run keeps a copy */
    uint32_t token_index;   /* of that token in it, where there is one */
    struct alias *alias;    /* by which it is asked for, which the run keeps; NULL: by none */
};

/* What a new run is made of. */
struct run_options {
    struct pipeline *pipeline;
    struct sink *sink;
    uint32_t owner;
    uint32_t timeout_ms; /* that was asked for; 0: none was */
    bool waits;          /* also where nothing can run it soon */
    struct run_rank rank;
    /* As it was when its request was complete; NULL: that is now. */
    const struct run_birth *birth;
    struct run_origin origin;
};

struct run_birth {
    char id[RUN_ID_BYTES];
    char created_text[WALL_TEXT_BYTES];
    double created_at;
    uint64_t created_ms;
};

/* What a client is told of a run that did not complete. Texts are borrowed. */
struct run_failure {
    enum error_type type;
    int status; /* of the answer when nothing was sent yet */
    uint32_t retry_after_s;
    const char *state; /* NULL: "failed" */
    const char *message;
    size_t message_count;
    const char *traceback; /* NULL: none */
    size_t traceback_count;
    enum cancel_reason reason;   /* for the worker, when it is told */
    enum deadline_kind deadline; /* of CANCEL_DEADLINE: which */
    enum refusal refusal;        /* why its pipeline did not take the run */
};

/* A run that begins now, under a new id. */
void run_birth_now(struct runs *runs, struct run_birth *out);

/* A new run in RUN_FREE, whose sink is told of it; NULL when there are too many. */
struct run *run_create(struct runs *runs, const struct run_options *options);

/* The request for the worker, which the run keeps until it is offered; taken over. */
void run_payload_take(struct runs *runs, struct run *run, uint8_t *payload, size_t bytes);
void run_payload_take_file(struct runs *runs, struct run *run, int fd, size_t bytes);
void run_payload_free(struct runs *runs, struct run *run);

/* Gives an unadmitted run back; its sink is dropped unless it was told the end. */
void run_destroy(struct runs *runs, struct run *run);

/* One event, one step of the table. `failure` where the event ends the run for its sink. */
void run_admit(struct runs *runs, struct run *run); /* its files, if any, are there */
void run_stage(struct runs *runs, struct run *run, struct staged_files *files);
void run_assign(struct runs *runs, struct run *run); /* its worker and slot are set */
void run_value(struct runs *runs, struct run *run, const uint8_t *data, size_t bytes);
void run_end(struct runs *runs, struct run *run);
void run_error(struct runs *runs, struct run *run, const struct run_failure *failure);
void run_worker_lost(struct runs *runs, struct run *run, const struct run_failure *failure);
void run_client_gone(struct runs *runs, struct run *run);
void run_client_stalled(struct runs *runs, struct run *run); /* gone, since it reads nothing */
void run_cancel(struct runs *runs, struct run *run, const struct run_failure *failure);
void run_on_timer(struct runs *runs, struct run *run);

/* A value cannot be told, as sink_ops.value says, or -ENOBUFS: values on their way have all of the
 * pipeline's share of memory. The run ends with a failure that says why. */
void run_value_lost(struct runs *runs, struct run *run, int error);

/* "completed", "failed", or the failure's own word; NULL: completed. */
const char *run_failure_state(const struct run_failure *failure);

/* Output of this charge has left. */
static inline void run_delivered(struct run *run, uint64_t charge)
{
    if (run->worker)
        worker_deliver(run->worker, run->slot_index, charge);
}

/* Bytes of the values that came of it, as its worker packed them. */
uint64_t run_value_bytes(const struct run *run);

/* The number of its worker within its pipeline; RUN_WORKER_NONE: it has had none. */
uint32_t run_worker_number(const struct run *run);

/* The run of this owner with this id that is queued or active, or NULL. */
struct run *run_find(const struct runs *runs, uint32_t owner, const char *id);

#endif
