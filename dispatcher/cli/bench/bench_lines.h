/* SPDX-License-Identifier: MIT */
/*
 * bench_lines.h - the lines of one answer of a load run: counted, and looked into when asked.
 */
#ifndef DISPATCHER_BENCH_LINES_H
#define DISPATCHER_BENCH_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/cli/bench/bench_example.h"
#include "dispatcher/cli/bench/bench_stats.h"

/* What is looked at of a line, from its beginning. */
#define BENCH_LOOK_BYTES_MAX 4096u

/* How lines are read; the same for all answers of a run. */
struct bench_look {
    bool is_events;     /* lines are those of server-sent events */
    bool wants_numbers; /* "i" counts up from 0, "t_ns" gives the latency */
    bool wants_last;    /* the last line may be shown */
};

struct bench_lines {
    uint64_t count;                  /* whole lines so far, without blank ones */
    bool is_wrong;                   /* one was out of sequence */
    bool is_failure;                 /* the last one is an error */
    unsigned status;                 /* of the answer; other than 200: its first line is an error */
    struct bench_examples *examples; /* of all clients; NULL: nobody asks */
    uint32_t last_count;
    char last[BENCH_SHOWN_BYTES];
    char *kept;             /* BENCH_LOOK_BYTES_MAX: the beginning of a line that is not whole */
    uint64_t kept_count;    /* bytes of it that came; more than fit are only counted */
    uint32_t number_offset; /* of "i" in the line before, a guess for the next; 0: none */
    uint32_t time_distance; /* of "t_ns" behind "i", likewise */
};

/* The next answer. */
void bench_lines_begin(struct bench_lines *lines);

/* Takes the next bytes of the body, which came at `now_ns`. Ages go to `latency`. */
void bench_lines_take(const struct bench_look *look, struct bench_lines *lines, const char *bytes,
                      size_t count, uint64_t now_ns, struct histogram *latency);

/* The answer failed: what there is without a last newline may say why, if nothing else has. */
void bench_lines_end(const struct bench_lines *lines);

#endif
