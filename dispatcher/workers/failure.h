/* SPDX-License-Identifier: MIT */
/*
 * failure.h - what a worker says went wrong, read from its untrusted bytes.
 */
#ifndef DISPATCHER_FAILURE_H
#define DISPATCHER_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/runs/run.h"

/* Reads msgpack [type, message, traceback or nil], as in ERROR records and FAILED messages, into
 * the type and texts of `out`; they point into `bytes` and are cut to the limits. Where it is
 * something else, `out` is untouched and the result false. */
bool failure_read(const uint8_t *bytes, size_t count, struct run_failure *out);

#endif
