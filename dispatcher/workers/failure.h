/* SPDX-License-Identifier: MIT */
/*
 * failure.h - what a worker says went wrong, read from its untrusted bytes.
 */
#ifndef DISPATCHER_FAILURE_H
#define DISPATCHER_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/protocol.h"

/* Texts are borrowed, from what was read. */
struct worker_failure {
    enum error_type type;
    const char *message;
    size_t message_bytes;
    const char *traceback; /* NULL: none */
    size_t traceback_bytes;
};

/* Reads msgpack [type, message, traceback or nil], as in ERROR records and FAILED messages; the
 * texts point into `data` and are cut to the limits. Where it is something else, `out` is untouched
 * and the result false. */
bool failure_read(const uint8_t *data, size_t bytes, struct worker_failure *out);

#endif
