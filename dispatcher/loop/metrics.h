/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - what the server counts, for GET /metrics; counters only grow.
 */
#ifndef DISPATCHER_METRICS_H
#define DISPATCHER_METRICS_H

#include <stdint.h>

#include "millrace/protocol.h"

struct metrics {
    uint64_t accepted_count, accept_failed_count, conn_refused_count;
    uint64_t request_count, bad_request_count, unauthorized_count;
    uint64_t run_count, run_completed_count;
    uint64_t run_failed_count[ERROR_TYPE_COUNT];
    uint64_t run_cancelled_count[CANCEL_REASON_COUNT];
    uint64_t run_refused_count;
    uint64_t record_count, line_count, byte_count;
    uint64_t send_count, pass_count, wait_count;
    uint64_t worker_start_count, worker_exit_count, worker_killed_count;
};

#endif
