/* SPDX-License-Identifier: MIT */
/*
 * run.h - one execution of a pipeline, from admission to its one end.
 */
#ifndef DISPATCHER_RUN_H
#define DISPATCHER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/timer.h"
#include "dispatcher/runs/metrics.h"
#include "dispatcher/runs/run_fsm.h"
#include "dispatcher/text/text.h"
#include "millrace/protocol.h"

struct conn;
struct loop;
struct pipeline;
struct worker;

#define RUN_ID_BYTES 37u /* "run_" and 32 hex digits, and the NUL */
#define RUN_PREFIX_BYTES_MAX 288u

enum run_mode {
    RUN_MODE_LINES = 0, /* NDJSON */
    RUN_MODE_EVENTS,    /* text/event-stream */
    RUN_MODE_RESULT,    /* POST /v4/runs: one result */
    RUN_MODE_COUNT
};

struct run {
    uint32_t index;
    uint32_t generation;
    enum run_state state;
    enum run_mode mode;
    bool final_line;    /* asked for a status line at the end */
    bool head_sent;     /* the response has begun; its status is said */
    bool is_async;      /* nobody waits: its outputs are kept for GET /v4/runs/{id} */
    bool conn_attached; /* conn_index is being answered */
    uint32_t conn_index;
    uint32_t owner; /* to whom alone it exists, see owner.h */
    uint32_t pipeline_index;
    uint32_t worker_index; /* ACTIVE and CANCELLING */
    uint32_t slot_index;
    struct run *next, *previous; /* the pipeline's queue, or the free list */
    uint64_t ticket;             /* in that queue */
    struct run *older, *newer;   /* of its owner's, those that are queued or active */

    char id[RUN_ID_BYTES];
    double created_at;                             /* Unix time, seconds */
    uint64_t created_ms, started_ms, cancelled_ms; /* monotonic */
    uint64_t last_chunk_ms;                        /* 0: none came */
    uint64_t former_stamp_ns; /* in its slot before the worker knew of it: of another run */
    uint32_t timeout_ms;      /* in all; 0 = no limit */

    uint8_t *payload;      /* of START, until it is offered; owned */
    bool has_payload_file; /* it is in a sealed file, and not in memory */
    int payload_fd;        /* likewise owned */
    size_t payload_bytes;

    uint32_t sequence;        /* of the next record */
    uint64_t line_count;      /* written to the client */
    uint64_t charged;         /* charge received from the worker */
    uint64_t delivered;       /* of which the kernel took for the client */
    struct text *collected;   /* RESULT: one for each output; owned, see collected.h */
    uint64_t collected_bytes; /* that they hold, of loop->collected_bytes */

    uint64_t last_line_ms; /* for the keep-alive line */
    struct timer timer;    /* the next limit, see deadline.h */

    uint64_t prefix_pass; /* loop pass whose time `prefix` shows */
    uint32_t prefix_count;
    uint32_t updated_offset; /* of the time inside prefix */
    char prefix[RUN_PREFIX_BYTES_MAX];
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

/* A new id. */
void run_id_make(struct loop *loop, char id[RUN_ID_BYTES]);

/* A new run in RUN_FREE with an id, taken from the pool; NULL when there are too many. */
struct run *run_create(struct loop *loop, struct pipeline *pipeline, struct conn *conn,
                       enum run_mode mode);

/* The run was created before it is: as the body that asks for it was complete, under this id. */
void run_backdate(struct loop *loop, struct run *run, const char id[RUN_ID_BYTES],
                  double created_at, uint64_t created_ms);

/* Nobody waits for the run any more, and it goes on: an asynchronous one. */
void run_let_go(struct loop *loop, struct run *run);

/* The request for the worker, which the run keeps until it is offered; taken over. */
void run_payload_take(struct loop *loop, struct run *run, uint8_t *payload, size_t bytes);
void run_payload_take_file(struct loop *loop, struct run *run, int fd, size_t bytes);
void run_payload_free(struct loop *loop, struct run *run);

/* Gives an unadmitted run back. */
void run_destroy(struct loop *loop, struct run *run);

/* One event, one step of the table. `failure` where the event ends the run for its client. */
void run_admit(struct loop *loop, struct run *run);
void run_assign(struct loop *loop, struct run *run); /* its worker and slot are set */
void run_chunk(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes);
/* A value cannot be sent (`error` as line_write() and collected_count() say): the run ends with a
 * line that tells why. */
void run_value_failed(struct loop *loop, struct run *run, int error);
void run_end(struct loop *loop, struct run *run);
void run_error(struct loop *loop, struct run *run, const struct run_failure *failure);
void run_worker_lost(struct loop *loop, struct run *run, const struct run_failure *failure);
void run_client_gone(struct loop *loop, struct run *run);
void run_client_stalled(struct loop *loop, struct run *run); /* likewise, since it reads nothing */
void run_cancel(struct loop *loop, struct run *run, const struct run_failure *failure);
void run_on_timer(struct loop *loop, struct run *run);

/* The kernel took lines of this charge for the client. */
void run_delivered(struct loop *loop, struct run *run, uint64_t charge);

/* The run of this owner with this id that is queued or active, or NULL. */
struct run *run_find(struct loop *loop, uint32_t owner, const char *id);

#endif
