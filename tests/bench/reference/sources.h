/* SPDX-License-Identifier: MIT */
/*
 * sources.h - the three ways in which the references come to their lines.
 */
#ifndef TESTS_BENCH_REFERENCE_SOURCES_H
#define TESTS_BENCH_REFERENCE_SOURCES_H

#include <stdint.h>

#include "tests/bench/reference/server.h"

/* One process: lines are made where they are sent, and gathered; or one call for each line. */
const struct source *source_gathered(void);
const struct source *source_single(void);

/* A process of its own makes values and writes each to a pipe when it is made, since nobody knows
 * how long the next one takes; lines are gathered. Or, with `is_batched`, it holds values back
 * until there are many, or until it has to wait. */
const struct source *source_pipe(bool is_batched);

/* What goes through the pipes, one direction each. */
enum pipe_kind {
    PIPE_BEGIN = 0, /* a command: make these lines */
    PIPE_LEAVE,     /* a command: no more of them */
    PIPE_VALUE,     /* a frame: `bytes` of a value follow */
    PIPE_END,       /* a frame: that was the last one */
};

struct pipe_command {
    uint32_t kind;
    uint32_t owner, generation;
    uint32_t text_bytes;
    uint64_t total, pace_ns, start_ns;
};

struct pipe_frame {
    uint32_t kind;
    uint32_t owner, generation;
    uint32_t bytes;
};

/* The process behind the pipes: reads commands, writes frames, ends with the server. */
_Noreturn void pipe_worker_run(int commands, int frames, bool is_batched);

/* Adds a line's prefix, with the time of this pass. */
char *source_put_prefix(const struct server *server, struct client *client, char *out);

#endif
