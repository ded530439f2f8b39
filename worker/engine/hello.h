/* SPDX-License-Identifier: MIT */
/*
 * hello.h - HELLO: what this worker serves, for the dispatcher and its clients.
 */
#ifndef WORKER_HELLO_H
#define WORKER_HELLO_H

#include <stdint.h>

#include "millrace/check.h"
#include "worker/engine/graph.h"

/* Sends HELLO (docs/internals/protocol.md). 0 or -errno; -EMSGSIZE when metadata is too long. */
int hello_send(int socket, const struct mr_builder *graph, const char *name,
               uint32_t concurrency) MUST_USE;

#endif
