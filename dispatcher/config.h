/* SPDX-License-Identifier: MIT */
/*
 * config.h - what `millrace serve` was told, checked and complete; constant while it runs.
 */
#ifndef DISPATCHER_CONFIG_H
#define DISPATCHER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/tokens.h"
#include "millrace/limits.h"

#define PIPELINE_COUNT_MAX 64u
#define PIPELINE_ID_BYTES 42u /* "pipeline_" and 32 hex digits, and the NUL */
#define LISTEN_COUNT_MAX 8u

/* One [POINTER=]SOURCE[:NAME] of the command line. Strings are owned by the config. */
struct pipeline_config {
    char *pointer; /* my_user/my_pipeline:v1 */
    char id[PIPELINE_ID_BYTES];
    char *source; /* path of the shared object */
    char *name;   /* of the pipeline inside it; NULL: the only one */
};

struct config {
    struct pipeline_config pipelines[PIPELINE_COUNT_MAX];
    uint32_t pipeline_count;

    uint32_t worker_count;    /* of each pipeline, --workers */
    uint32_t concurrency;     /* runs a worker interleaves, --concurrency */
    char *worker_path;        /* of the millrace-worker binary */
    uint32_t request_ring_bytes;
    uint32_t reply_ring_bytes;
    uint32_t window_bytes;    /* --window */

    char *listen[LISTEN_COUNT_MAX]; /* "ADDR:PORT" or "[ADDR6]:PORT", --listen, repeatable */
    uint32_t listen_count;
    uint32_t conn_count_max;  /* --max-connections */
    uint32_t queue_count_max; /* runs waiting for a worker, of each pipeline, --queue */
    uint32_t run_count_max;   /* runs known at once, running and queued; derived */
    uint64_t output_bytes_max; /* all responses waiting to be sent, --output-memory */

    uint32_t body_bytes_max;
    uint32_t head_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t stall_timeout_ms;  /* a client that reads nothing, --stall-timeout */
    uint32_t keepalive_ms;      /* blank line after so much silence, 0 = never, --keepalive */
    uint32_t stop_timeout_ms;   /* running runs after SIGTERM, --stop-timeout */
    uint32_t cancel_grace_ms;   /* a cancelled run may take so long to end, --cancel-grace */
    uint32_t start_timeout_ms;  /* a worker may take so long to be ready, --start-timeout */
    int pipeline_error_status;  /* 200, or what --pipeline-error-status said */
    bool keep_half_closed;      /* a client's FIN does not cancel its run, --keep-half-closed */
    bool no_auth;

    struct tokens tokens; /* empty: everyone may */
};

#endif
