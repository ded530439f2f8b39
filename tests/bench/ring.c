/* SPDX-License-Identifier: MIT */
/*
 * ring.c - what a record costs: claim, write and commit; peek, copy and release.
 *
 * Prints nanoseconds a record, median and best of ROUND_COUNT rounds, in one thread (each half
 * timed alone, the ring warm in the cache) and across two threads (a flood through
 * REPLY_RING_BYTES). Only figures, no judgement.
 */
#include "shm/ring.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"

#define ROUND_COUNT 15u
#define BATCH_COUNT 256u
#define BATCHES_A_ROUND 400u
#define FLOOD_COUNT 1000000u
#define PAYLOAD_BYTES_MAX 1024u

struct flood {
    struct ring_shared *shared;
    uint32_t bytes;
};

static uint8_t source[PAYLOAD_BYTES_MAX];
static uint8_t target[PAYLOAD_BYTES_MAX];

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_figures(const char *what, uint32_t bytes, double *figures)
{
    qsort(figures, ROUND_COUNT, sizeof figures[0], by_value);
    printf("%-34s %5u B  median %6.1f ns  best %6.1f ns\n", what, bytes, figures[ROUND_COUNT / 2],
           figures[0]);
}

static struct ring_shared *ring_new(void)
{
    struct ring_shared *shared =
        aligned_alloc(4096, sizeof *shared + REPLY_RING_BYTES + (4096 - sizeof *shared));
    mr_assert(shared != NULL);
    memset(shared, 0, sizeof *shared + REPLY_RING_BYTES);
    ring_format(shared, REPLY_RING_BYTES);
    return shared;
}

static bool put(struct ring_tx *tx, uint32_t bytes, uint32_t sequence)
{
    void *payload;
    if (ring_claim(tx, bytes, &payload) != 0)
        return false;
    memcpy(payload, source, bytes);
    ring_commit(tx, &(struct record){.bytes = bytes, .kind = RECORD_CHUNK, .sequence = sequence});
    return true;
}

static bool take(struct ring_rx *rx, uint32_t sequence)
{
    struct record meta;
    const void *payload;
    int rc = ring_peek(rx, &meta, &payload);
    if (rc == 0)
        return false;
    mr_assert(rc == 1);
    mr_assert(meta.sequence == sequence);
    memcpy(target, payload, meta.bytes);
    return true;
}

static void bench_one_thread(uint32_t bytes)
{
    double put_ns[ROUND_COUNT];
    double take_ns[ROUND_COUNT];
    struct ring_shared *shared = ring_new();
    struct ring_tx tx;
    struct ring_rx rx;
    ring_tx_init(&tx, shared, REPLY_RING_BYTES);
    ring_rx_init(&rx, shared, REPLY_RING_BYTES);
    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        double put_sum = 0;
        double take_sum = 0;
        for (uint32_t batch = 0; batch < BATCHES_A_ROUND; batch++) {
            double began = now_ns();
            for (uint32_t i = 0; i < BATCH_COUNT; i++)
                mr_assert(put(&tx, bytes, i));
            double between = now_ns();
            for (uint32_t i = 0; i < BATCH_COUNT; i++)
                mr_assert(take(&rx, i));
            ring_release(&rx);
            put_sum += between - began;
            take_sum += now_ns() - between;
        }
        put_ns[round] = put_sum / (BATCHES_A_ROUND * BATCH_COUNT);
        take_ns[round] = take_sum / (BATCHES_A_ROUND * BATCH_COUNT);
    }
    free(shared);
    print_figures("one thread, claim+write+commit", bytes, put_ns);
    print_figures("one thread, peek+copy+release", bytes, take_ns);
}

static void *flood_produce(void *argument)
{
    const struct flood *flood = argument;
    struct ring_tx tx;
    ring_tx_init(&tx, flood->shared, REPLY_RING_BYTES);
    for (uint32_t i = 0; i < FLOOD_COUNT; i++) {
        while (!put(&tx, flood->bytes, i))
            sched_yield();
    }
    return NULL;
}

static void bench_two_threads(uint32_t bytes)
{
    double figures[ROUND_COUNT];
    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        struct flood flood = {.shared = ring_new(), .bytes = bytes};
        struct ring_rx rx;
        pthread_t producer;
        ring_rx_init(&rx, flood.shared, REPLY_RING_BYTES);
        double began = now_ns();
        mr_assert(pthread_create(&producer, NULL, flood_produce, &flood) == 0);
        for (uint32_t i = 0; i < FLOOD_COUNT;) {
            if (take(&rx, i)) {
                i++;
                if (i % BATCH_COUNT != 0)
                    continue;
                ring_release(&rx);
            } else {
                ring_release(&rx);
                sched_yield();
            }
        }
        figures[round] = (now_ns() - began) / FLOOD_COUNT;
        pthread_join(producer, NULL);
        free(flood.shared);
    }
    print_figures("two threads, all of it", bytes, figures);
}

int main(void)
{
    const uint32_t sizes[] = {64, 1024};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        bench_one_thread(sizes[i]);
        bench_two_threads(sizes[i]);
    }
    return 0;
}
