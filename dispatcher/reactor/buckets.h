/* SPDX-License-Identifier: MIT */
/*
 * buckets.h - how often a time fell between fixed bounds; adding one is a walk over few numbers.
 */
#ifndef DISPATCHER_BUCKETS_H
#define DISPATCHER_BUCKETS_H

#include <stdint.h>

#define BUCKET_BOUND_COUNT_MAX 17u

/* Upper bounds, growing; `text` is each in seconds, as the metrics have it. */
struct bucket_scale {
    uint32_t count;
    uint64_t bounds_ns[BUCKET_BOUND_COUNT_MAX];
    const char *texts[BUCKET_BOUND_COUNT_MAX];
};

extern const struct bucket_scale bucket_scale_runs;   /* 1 ms to 10 min */
extern const struct bucket_scale bucket_scale_passes; /* 10 us to 1 s */
extern const struct bucket_scale bucket_scale_gaps;   /* 1 ms to 65.5 s, each the double */

/* Zero is empty. */
struct buckets {
    uint64_t counts[BUCKET_BOUND_COUNT_MAX + 1]; /* of each bound alone; the last one: above */
    uint64_t sum_ns;
};

void buckets_add(struct buckets *buckets, const struct bucket_scale *scale, uint64_t value_ns);

/* The same with bucket_scale_gaps, for what is counted often: no walk. */
static inline void buckets_add_gap(struct buckets *buckets, uint64_t value_ns)
{
    uint64_t ms = (value_ns + 999999) / 1000000;
    uint32_t i = ms <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(ms - 1);
    buckets->counts[i < BUCKET_BOUND_COUNT_MAX ? i : BUCKET_BOUND_COUNT_MAX]++;
    buckets->sum_ns += value_ns;
}

#endif
