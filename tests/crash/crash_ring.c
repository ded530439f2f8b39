/* SPDX-License-Identifier: MIT */
/*
 * crash_ring.c - an end of a ring dies at any instruction (docs/internals/memory.md).
 */
#include "tests/crash/stepper.h"

#include "shm/ring.h"
#include "tests/unit/shm/ring_memory.h"

#define CAPACITY RING_BYTES_MIN
#define PART 40u
#define WHOLE 80u

enum stage {
    STAGE_CLAIM = 1,
    STAGE_WRITE,
    STAGE_EXTEND,
    STAGE_ABORT,
    STAGE_COMMIT,
    STAGE_PEEK,
    STAGE_COPY,
    STAGE_RELEASE,
    STAGE_OVER
};

struct world {
    struct stepper stepper;
    struct ring_shared *shared;
    uint8_t copy[WHOLE];
};

static void put(struct ring_tx *tx, uint32_t bytes, uint32_t sequence)
{
    void *payload;
    assert_int_equal(ring_claim(tx, bytes, &payload), 0);
    pattern_fill(payload, 0, bytes, sequence);
    ring_commit(tx, &(struct record){.bytes = bytes, .kind = RECORD_CHUNK, .sequence = sequence});
}

/* Two records of WHOLE bytes; from the third on, WHOLE bytes do not fit before the wrap, but PART
 * do. */
static void *world_new(void)
{
    struct world *world = guarded_map(sizeof *world);
    world->shared = ring_memory_map(CAPACITY, CAPACITY - 64 - 2 * 96);
    struct ring_tx tx;
    ring_tx_init(&tx, world->shared, CAPACITY);
    put(&tx, WHOLE, 0);
    put(&tx, WHOLE, 1);
    return world;
}

static void world_drop(void *argument)
{
    struct world *world = argument;
    ring_memory_unmap(world->shared, CAPACITY);
    guarded_unmap(world, sizeof *world);
}

/* ---- the producer dies ----------------------------------------------------------------------- */

static void produce(void *argument)
{
    struct world *world = argument;
    struct ring_tx tx;
    void *payload;
    ring_tx_init(&tx, world->shared, CAPACITY);

    stepper_stage(&world->stepper, STAGE_CLAIM);
    mr_assert(ring_claim(&tx, PART, &payload) == 0);
    stepper_stage(&world->stepper, STAGE_ABORT);
    ring_abort(&tx);
    mr_assert(ring_claim(&tx, PART, &payload) == 0);
    stepper_stage(&world->stepper, STAGE_WRITE);
    pattern_fill(payload, 0, PART, 2);
    stepper_stage(&world->stepper, STAGE_EXTEND); /* it moves behind the wrap */
    mr_assert(ring_extend(&tx, PART, WHOLE, &payload) == 0);
    pattern_fill(payload, PART, WHOLE, 2);
    stepper_stage(&world->stepper, STAGE_COMMIT); /* a pad, and the record behind it */
    ring_commit(&tx, &(struct record){.bytes = WHOLE, .kind = RECORD_CHUNK, .sequence = 2});
    stepper_stage(&world->stepper, STAGE_OVER);
}

/* What a consumer finds; returns how many records it took. All of them are whole and in order. */
static uint32_t drain(struct world *world)
{
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    uint32_t count = 0;
    ring_rx_init(&rx, world->shared, CAPACITY);
    int rc;
    while ((rc = ring_peek(&rx, &meta, &payload)) == 1) {
        assert_int_equal(meta.bytes, WHOLE);
        assert_int_equal(meta.sequence, count);
        assert_true(pattern_holds(payload, WHOLE, count));
        count++;
    }
    assert_int_equal(rc, 0);
    assert_true(ring_release(&rx));
    return count;
}

/* The ring itself is sound: another producer can go on where the dead one stood. */
static void expect_usable(struct world *world)
{
    struct ring_tx tx;
    struct ring_rx rx;
    ring_tx_init(&tx, world->shared, CAPACITY);
    ring_rx_init(&rx, world->shared, CAPACITY);
    for (uint32_t i = 0; i < 2 * CAPACITY / WHOLE; i++) {
        struct record meta;
        const void *payload;
        put(&tx, WHOLE, i);
        assert_int_equal(ring_peek(&rx, &meta, &payload), 1);
        assert_true(pattern_holds(payload, WHOLE, i));
        ring_release(&rx);
    }
}

static void expect_only_what_was_committed(void *argument)
{
    assert_int_equal(drain(argument), 2);
    expect_usable(argument);
}

static uint32_t seen_without;
static uint32_t seen_with;

static void expect_all_or_nothing_of_the_last(void *argument)
{
    uint32_t count = drain(argument);
    assert_true(count == 2 || count == 3);
    seen_without += count == 2;
    seen_with += count == 3;
    expect_usable(argument);
}

static void producer_row(uint32_t stage, uint32_t deaths_min)
{
    const struct row row = {world_new, produce, expect_only_what_was_committed, world_drop, stage};
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths\n", deaths);
    assert_true(deaths >= deaths_min);
}

static void producer_dies_while_it_claims(void **state)
{
    (void)state;
    producer_row(STAGE_CLAIM, 20);
}

static void producer_dies_while_it_aborts(void **state)
{
    (void)state;
    producer_row(STAGE_ABORT, 20);
}

static void producer_dies_while_it_writes_the_payload(void **state)
{
    (void)state;
    producer_row(STAGE_WRITE, PART);
}

static void producer_dies_while_it_extends_past_the_wrap(void **state)
{
    (void)state;
    producer_row(STAGE_EXTEND, 40);
}

static void producer_dies_while_it_commits(void **state)
{
    (void)state;
    const struct row row = {world_new, produce, expect_all_or_nothing_of_the_last, world_drop,
                            STAGE_COMMIT};
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths, %u before the record was visible\n", deaths, seen_without);
    assert_true(seen_without >= 20);
    assert_true(seen_with >= 2);
}

/* ---- the consumer dies ----------------------------------------------------------------------- */

static void consume(void *argument)
{
    struct world *world = argument;
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, world->shared, CAPACITY);

    stepper_stage(&world->stepper, STAGE_PEEK);
    mr_assert(ring_peek(&rx, &meta, &payload) == 1);
    stepper_stage(&world->stepper, STAGE_COPY);
    memcpy(world->copy, payload, meta.bytes);
    stepper_stage(&world->stepper, STAGE_RELEASE);
    ring_release(&rx);
    stepper_stage(&world->stepper, STAGE_OVER);
}

static uint32_t seen_kept;
static uint32_t seen_released;

/* The producer fills what it may, is told that the ring is full, and whoever reads on from the head
 * finds everything that was not released. */
static void expect_full_ring_with_everything_in_it(void *argument)
{
    struct world *world = argument;
    struct ring_tx tx;
    struct ring_rx rx;
    void *payload;
    int rc;
    uint32_t sequence = 2;
    ring_tx_init(&tx, world->shared, CAPACITY);
    while ((rc = ring_claim(&tx, 16, &payload)) == 0) {
        pattern_fill(payload, 0, 16, sequence);
        ring_commit(&tx, &(struct record){.bytes = 16, .kind = RECORD_CHUNK, .sequence = sequence});
        sequence++;
    }
    assert_int_equal(rc, -EAGAIN);

    ring_rx_init(&rx, world->shared, CAPACITY);
    struct record meta;
    const void *peeked;
    assert_int_equal(ring_peek(&rx, &meta, &peeked), 1);
    assert_true(meta.sequence <= 1);
    seen_kept += meta.sequence == 0;
    seen_released += meta.sequence == 1;
    for (uint32_t expected = meta.sequence; expected < sequence; expected++) {
        assert_int_equal(meta.sequence, expected);
        assert_true(pattern_holds(peeked, meta.bytes, expected));
        assert_int_equal(ring_peek(&rx, &meta, &peeked), expected + 1 < sequence);
    }
}

static void consumer_row(uint32_t stage, uint32_t deaths_min)
{
    const struct row row = {world_new, consume, expect_full_ring_with_everything_in_it, world_drop,
                            stage};
    seen_kept = 0;
    seen_released = 0;
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths, %u after the release\n", deaths, seen_released);
    assert_true(deaths >= deaths_min);
    assert_int_equal(seen_kept + seen_released, deaths);
}

static void consumer_dies_while_it_peeks(void **state)
{
    (void)state;
    consumer_row(STAGE_PEEK, 20);
    assert_int_equal(seen_released, 0);
}

static void consumer_dies_while_it_copies(void **state)
{
    (void)state;
    consumer_row(STAGE_COPY, 5);
    assert_int_equal(seen_released, 0);
}

static void consumer_dies_while_it_releases(void **state)
{
    (void)state;
    consumer_row(STAGE_RELEASE, 5);
    assert_true(seen_kept >= 5);
    assert_true(seen_released >= 1);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(producer_dies_while_it_claims),
        cmocka_unit_test(producer_dies_while_it_aborts),
        cmocka_unit_test(producer_dies_while_it_writes_the_payload),
        cmocka_unit_test(producer_dies_while_it_extends_past_the_wrap),
        cmocka_unit_test(producer_dies_while_it_commits),
        cmocka_unit_test(consumer_dies_while_it_peeks),
        cmocka_unit_test(consumer_dies_while_it_copies),
        cmocka_unit_test(consumer_dies_while_it_releases),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
