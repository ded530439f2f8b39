/* SPDX-License-Identifier: MIT */
/*
 * bench_stats.h - what a load run counts, and how its times are distributed.
 */
#ifndef DISPATCHER_BENCH_STATS_H
#define DISPATCHER_BENCH_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "dispatcher/cli/bench/bench_example.h"

/* Buckets grow with the value: 32 for each power of two, so a quantile is at most 3 % too large. */
#define HISTOGRAM_STEPS 32u
#define HISTOGRAM_BUCKETS (60u * HISTOGRAM_STEPS)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The value below which `share` (0 .. 1) of all values lie; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

/* Times are nanoseconds. At the end of a run each request is in one of the counts below it. */
struct bench_stats {
    uint64_t request_count;    /* begun, and not answered before the warm-up ended */
    uint64_t complete_count;   /* answered whole, with status 200 and without an error line */
    uint64_t failed_count;     /* answered whole: another status, or an error line */
    uint64_t truncated_count;  /* cut: no terminal chunk, or a broken connection */
    uint64_t wrong_count;      /* other than --lines lines, or out of sequence */
    uint64_t left_count;       /* by clients that were told to leave */
    uint64_t unfinished_count; /* under way when the time was over */
    uint64_t refused_count;    /* connections that could not be made */
    struct bench_examples examples;
    uint64_t line_count, byte_count;
    uint64_t warmup_line_count; /* before anything was counted */
    uint64_t idle_count, idle_closed_count,
        idle_refused_count;      /* connections that send nothing; closed by the server; not made */
    double seconds, cpu_seconds; /* of all that is counted here; CPU is our own */
    struct histogram first_line, gap, total, latency;
};

/* A table for people, or one JSON object. */
void bench_stats_print(FILE *file, const struct bench_stats *stats);
void bench_stats_print_json(FILE *file, const struct bench_stats *stats);

#endif
