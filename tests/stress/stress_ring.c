/* SPDX-License-Identifier: MIT */
/*
 * stress_ring.c - a producer and a consumer at full speed: nothing is lost, doubled, reordered or
 * changed on the way.
 *
 * What a record must look like follows from its sequence alone, so both sides know it without a
 * word. The producer takes every way to a record: plain, cut at the commit, grown, after an abort.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include "shm/ring.h"

#include <cmocka.h>

#include "tests/stress/drivers.h"
#include "tests/unit/shm/ring_memory.h"

#define RECORD_COUNT 100000u
#define WATCHDOG_S 100u

struct stress {
    struct ring_shared *shared;
    uint32_t capacity;
    uint32_t longest;
    uint32_t count;
};

static uint32_t hash_of(uint32_t sequence)
{
    uint64_t state = ((uint64_t)sequence << 1 | 1) * UINT64_C(0x9e3779b97f4a7c15);
    return random_next(&state);
}

/* Mostly short, now and then the longest that the ring takes. */
static uint32_t length_of(const struct stress *stress, uint32_t sequence)
{
    uint32_t hash = hash_of(sequence);
    if (hash % 64 == 0)
        return stress->longest;
    return hash % 16 == 1 ? (hash >> 8) % stress->longest : (hash >> 8) % 96;
}

static struct record meta_of(const struct stress *stress, uint32_t sequence)
{
    uint32_t hash = hash_of(sequence ^ 0xffff0000);
    return (struct record){
        .bytes = length_of(stress, sequence),
        .slot = (uint16_t)hash,
        .kind = (uint8_t)(1 + hash % 255),
        .flags = (uint8_t)(hash >> 8),
        .generation = hash,
        .sequence = sequence,
    };
}

/* Claims until there is room. */
static void *claim(struct ring_tx *tx, uint32_t bytes)
{
    void *payload;
    for (;;) {
        int rc = ring_claim(tx, bytes, &payload);
        if (rc == 0)
            return payload;
        mr_assert(rc == -EAGAIN);
        sched_yield();
    }
}

static void *extend(struct ring_tx *tx, uint32_t used, uint32_t bytes)
{
    void *payload;
    for (;;) {
        int rc = ring_extend(tx, used, bytes, &payload);
        if (rc == 0)
            return payload;
        mr_assert(rc == -EAGAIN);
        sched_yield();
    }
}

static void produce(void *argument)
{
    const struct stress *stress = argument;
    struct ring_tx tx;
    uint64_t seed = 1;
    ring_tx_init(&tx, stress->shared, stress->capacity);
    for (uint32_t sequence = 0; sequence < stress->count; sequence++) {
        struct record meta = meta_of(stress, sequence);
        uint8_t *payload;
        uint32_t part;
        switch (random_below(&seed, 8)) {
        case 0: /* grown once half of it is written */
            part = meta.bytes / 2;
            payload = claim(&tx, part);
            pattern_fill(payload, 0, part, sequence);
            payload = extend(&tx, part, meta.bytes);
            pattern_fill(payload, part, meta.bytes, sequence);
            break;
        case 1: /* cut at the commit */
            payload = claim(&tx, stress->longest);
            pattern_fill(payload, 0, meta.bytes, sequence);
            break;
        case 2: /* after one that was thought better of */
            payload = claim(&tx, stress->longest / 2);
            pattern_fill(payload, 0, stress->longest / 2, ~sequence);
            ring_abort(&tx);
            payload = claim(&tx, meta.bytes);
            pattern_fill(payload, 0, meta.bytes, sequence);
            break;
        default:
            payload = claim(&tx, meta.bytes);
            pattern_fill(payload, 0, meta.bytes, sequence);
            break;
        }
        ring_commit(&tx, &meta);
    }
}

static void consume(void *argument)
{
    const struct stress *stress = argument;
    struct ring_rx rx;
    uint64_t seed = 2;
    ring_rx_init(&rx, stress->shared, stress->capacity);
    for (uint32_t sequence = 0; sequence < stress->count;) {
        struct record meta;
        const void *payload;
        int rc = ring_peek(&rx, &meta, &payload);
        if (rc == 0) {
            ring_release(&rx);
            sched_yield();
            continue;
        }
        mr_assert(rc == 1);
        struct record expected = meta_of(stress, sequence);
        mr_assert(memcmp(&meta, &expected, sizeof meta) == 0);
        mr_assert(pattern_holds(payload, meta.bytes, sequence));
        sequence++;
        if (random_below(&seed, 8) == 0)
            ring_release(&rx);
    }
    ring_release(&rx);
    mr_assert(ring_is_empty(&rx));
}

static struct stress stress_new(uint32_t capacity)
{
    return (struct stress){
        .shared = ring_memory_map(capacity, 0),
        .capacity = capacity,
        .longest = ring_payload_max(capacity),
        .count = (uint32_t)environment_number("N", RECORD_COUNT),
    };
}

static void records_pass_between_threads(void **state)
{
    (void)state;
    struct stress stress = stress_new(RING_BYTES_MIN);
    struct sides sides = {.near = consume, .far = produce, .argument = &stress};
    sides_run_as_threads(&sides);
    ring_memory_unmap(stress.shared, stress.capacity);
}

static void records_pass_between_processes(void **state)
{
    (void)state;
    struct stress stress = stress_new(RING_BYTES_MIN);
    struct sides sides = {.near = consume, .far = produce, .argument = &stress};
    sides_run_as_processes(&sides, WATCHDOG_S);
    ring_memory_unmap(stress.shared, stress.capacity);
}

static void records_pass_through_a_larger_ring(void **state)
{
    (void)state;
    struct stress stress = stress_new(16 * RING_BYTES_MIN);
    struct sides sides = {.near = produce, .far = consume, .argument = &stress};
    sides_run_as_threads(&sides);
    ring_memory_unmap(stress.shared, stress.capacity);
}

int main(void)
{
    if (environment_number("N", RECORD_COUNT) <= RECORD_COUNT)
        alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_pass_between_threads),
        cmocka_unit_test(records_pass_between_processes),
        cmocka_unit_test(records_pass_through_a_larger_ring),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
