/* SPDX-License-Identifier: MIT */
/* buckets.c - times, counted by size. */
#include "dispatcher/reactor/buckets.h"

#include "millrace/check.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)

const struct bucket_scale bucket_scale_runs = {
    .count = 16,
    .bounds_ns = {1 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1 * S,
                  5 * S / 2, 5 * S, 10 * S, 30 * S, 60 * S, 300 * S, 600 * S},
    .texts = {"0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0",
              "10.0", "30.0", "60.0", "300.0", "600.0"},
};

const struct bucket_scale bucket_scale_passes = {
    .count = 16,
    .bounds_ns = {10 * US, 25 * US, 50 * US, 100 * US, 250 * US, 500 * US, 1 * MS, 5 * MS / 2,
                  5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1 * S},
    .texts = {"0.00001", "0.000025", "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025",
              "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0"},
};

const struct bucket_scale bucket_scale_gaps = {
    .count = BUCKET_BOUND_COUNT_MAX,
    .bounds_ns = {1 * MS, 2 * MS, 4 * MS, 8 * MS, 16 * MS, 32 * MS, 64 * MS, 128 * MS, 256 * MS,
                  512 * MS, 1024 * MS, 2048 * MS, 4096 * MS, 8192 * MS, 16384 * MS, 32768 * MS,
                  65536 * MS},
    .texts = {"0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128", "0.256",
              "0.512", "1.024", "2.048", "4.096", "8.192", "16.384", "32.768", "65.536"},
};

const struct bucket_scale bucket_scale_calls = {
    .count = BUCKET_BOUND_COUNT_MAX,
    .bounds_ns = {100 * US, 200 * US, 400 * US, 800 * US, 1600 * US, 3200 * US, 6400 * US,
                  12800 * US, 25600 * US, 51200 * US, 102400 * US, 204800 * US, 409600 * US,
                  819200 * US, 1638400 * US, 3276800 * US, 6553600 * US},
    .texts = {"0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.0064", "0.0128",
              "0.0256", "0.0512", "0.1024", "0.2048", "0.4096", "0.8192", "1.6384", "3.2768",
              "6.5536"},
};

const struct bucket_scale bucket_scale_items = {
    .count = 15,
    .is_of_items = true,
    .texts = {"0.0", "1.0", "2.0", "4.0", "8.0", "16.0", "32.0", "64.0", "128.0", "256.0", "512.0",
              "1024.0", "2048.0", "4096.0", "8192.0"},
};

void buckets_add(struct buckets *buckets, const struct bucket_scale *scale, uint64_t value_ns)
{
    uint32_t i = 0;
    mr_assert(scale->count <= BUCKET_BOUND_COUNT_MAX);
    mr_assert(!scale->is_of_items);
    while (i < scale->count && value_ns > scale->bounds_ns[i])
        i++;
    buckets->counts[i]++;
    buckets->sum += value_ns;
}
