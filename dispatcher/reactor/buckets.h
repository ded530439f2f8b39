/* SPDX-License-Identifier: MIT */
/*
 * buckets.h - how often a time fell between fixed bounds; adding one is a walk over few numbers.
 */
#ifndef DISPATCHER_BUCKETS_H
#define DISPATCHER_BUCKETS_H

#include <stdint.h>

#define BUCKET_BOUND_COUNT_MAX 16u

/* Upper bounds, growing; `text` is each in seconds, as the metrics have it. */
struct bucket_scale {
    uint32_t count;
    uint64_t bounds_ns[BUCKET_BOUND_COUNT_MAX];
    const char *texts[BUCKET_BOUND_COUNT_MAX];
};

extern const struct bucket_scale bucket_scale_runs;   /* 1 ms to 10 min */
extern const struct bucket_scale bucket_scale_passes; /* 10 us to 1 s */

/* Zero is empty. */
struct buckets {
    uint64_t counts[BUCKET_BOUND_COUNT_MAX + 1]; /* of each bound alone; the last one: above */
    uint64_t sum_ns;
};

void buckets_add(struct buckets *buckets, const struct bucket_scale *scale, uint64_t value_ns);

#endif
