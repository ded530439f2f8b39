/* SPDX-License-Identifier: MIT */
/*
 * buckets.h - how often a time or a count fell between fixed bounds; adding is a walk over few of
 * them.
 */
#ifndef DISPATCHER_BUCKETS_H
#define DISPATCHER_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_BOUND_COUNT_MAX 17u

/* Upper bounds, growing; `texts` has each as the metrics have it, times in seconds. Of a scale of
 * items there are only these: somebody else counts. */
struct bucket_scale {
    uint32_t count;
    bool is_of_items;
    uint64_t bounds_ns[BUCKET_BOUND_COUNT_MAX];
    const char *texts[BUCKET_BOUND_COUNT_MAX];
};

extern const struct bucket_scale bucket_scale_runs;   /* 1 ms to 10 min */
extern const struct bucket_scale bucket_scale_passes; /* 10 us to 1 s */
extern const struct bucket_scale bucket_scale_gaps;   /* 1 ms to 65.5 s, each the double */
extern const struct bucket_scale bucket_scale_calls; /* 100 us to 6.55 s, likewise (shm/calls.h), */
extern const struct bucket_scale bucket_scale_items; /* and 0, 1, 2, 4 to 8192 items */

/* Zero is empty. */
struct buckets {
    uint64_t counts[BUCKET_BOUND_COUNT_MAX + 1]; /* of each bound alone; the last one: above */
    uint64_t sum;                                /* ns, or items */
};

void buckets_add(struct buckets *buckets, const struct bucket_scale *scale, uint64_t value_ns);

/* The same with bucket_scale_gaps, for what is counted often: no walk. */
static inline void buckets_add_gap(struct buckets *buckets, uint64_t value_ns)
{
    uint64_t ms = (value_ns + 999999) / 1000000;
    uint32_t i = ms <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(ms - 1);
    buckets->counts[i < BUCKET_BOUND_COUNT_MAX ? i : BUCKET_BOUND_COUNT_MAX]++;
    buckets->sum += value_ns;
}

#endif
