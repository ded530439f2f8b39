/* SPDX-License-Identifier: MIT */
/*
 * crash_doorbell.c - the one who rings or the one who sleeps dies at any instruction
 * (docs/internals/memory.md).
 */
#include "tests/crash/stepper.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "shm/doorbell.h"
#include "shm/ring.h"
#include "tests/unit/shm/ring_memory.h"

#define CAPACITY RING_BYTES_MIN

enum stage { STAGE_RING = 1, STAGE_ARM, STAGE_LOOK, STAGE_SLEEP, STAGE_DISARM, STAGE_OVER };

struct world {
    struct stepper stepper;
    struct doorbell_shared bell_shared;
    struct doorbell bell;
    struct ring_shared *ring;
};

static void *world_new(void)
{
    struct world *world = guarded_map(sizeof *world);
    world->ring = ring_memory_map(CAPACITY, 0);
    world->bell.shared = &world->bell_shared;
    world->bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_not_equal(world->bell.fd, -1);
    return world;
}

static void world_drop(void *argument)
{
    struct world *world = argument;
    close(world->bell.fd);
    ring_memory_unmap(world->ring, CAPACITY);
    guarded_unmap(world, sizeof *world);
}

/* 1 or 0, whatever the sleeper waits for. */
static uint32_t asleep_of(struct world *world)
{
    return atomic_load_explicit(&world->bell_shared.asleep, memory_order_relaxed) != 0;
}

/* What the eventfd counted; 0 when nobody wrote. */
static uint64_t rings_of(struct world *world)
{
    uint64_t count;
    if (read(world->bell.fd, &count, sizeof count) == (ssize_t)sizeof count)
        return count;
    assert_int_equal(errno, EAGAIN);
    return 0;
}

static void publish(struct world *world)
{
    struct ring_tx tx;
    void *payload;
    ring_tx_init(&tx, world->ring, CAPACITY);
    mr_assert(ring_claim(&tx, 0, &payload) == 0);
    ring_commit(&tx, &(struct record){.kind = RECORD_CHUNK});
}

static uint32_t records_of(struct world *world)
{
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    uint32_t count = 0;
    ring_rx_init(&rx, world->ring, CAPACITY);
    while (ring_peek(&rx, &meta, &payload) == 1)
        count++;
    return count;
}

/* ---- the waker dies -------------------------------------------------------------------------- */

static void *world_with_a_sleeper(void)
{
    struct world *world = world_new();
    doorbell_arm(&world->bell, DOORBELL_ANY);
    return world;
}

static void publish_and_ring(void *argument)
{
    struct world *world = argument;
    publish(world);
    stepper_stage(&world->stepper, STAGE_RING);
    doorbell_ring(&world->bell, DOORBELL_ANY);
    stepper_stage(&world->stepper, STAGE_OVER);
}

static uint32_t seen_silent;
static uint32_t seen_swallowed;
static uint32_t seen_rung;

/* The sleeper may sleep on, even with its word cleared; looking, as it does when the pidfd fires,
 * it finds the record in each case. */
static void expect_record_with_or_without_a_ring(void *argument)
{
    struct world *world = argument;
    uint32_t asleep = asleep_of(world);
    uint64_t rings = rings_of(world);
    assert_true(asleep + rings <= 1);
    seen_silent += asleep == 1;
    seen_swallowed += asleep == 0 && rings == 0;
    seen_rung += rings == 1;
    assert_int_equal(records_of(world), 1);

    doorbell_disarm(&world->bell);
    doorbell_arm(&world->bell, DOORBELL_ANY);
    assert_true(doorbell_ring(&world->bell, DOORBELL_ANY));
    assert_int_equal(rings_of(world), 1);
}

static void waker_dies_while_it_rings(void **state)
{
    (void)state;
    const struct row row = {world_with_a_sleeper, publish_and_ring,
                            expect_record_with_or_without_a_ring, world_drop, STAGE_RING};
    stepper_run(&row);
    print_message("deaths: %u before the word was cleared, %u between, %u after the write\n",
                  seen_silent, seen_swallowed, seen_rung);
    assert_true(seen_silent >= 5);
    assert_true(seen_swallowed >= 5);
    assert_true(seen_rung >= 2);
}

/* ---- the sleeper dies ------------------------------------------------------------------------ */

static void go_to_sleep(void *argument)
{
    struct world *world = argument;
    struct ring_rx rx;
    ring_rx_init(&rx, world->ring, CAPACITY);
    struct pollfd poll_fd = {.fd = world->bell.fd, .events = POLLIN};

    stepper_stage(&world->stepper, STAGE_ARM);
    doorbell_arm(&world->bell, DOORBELL_ANY);
    stepper_stage(&world->stepper, STAGE_LOOK);
    mr_assert(ring_is_empty(&rx));
    if (world->stepper.wanted != STAGE_DISARM) {
        stepper_stage(&world->stepper, STAGE_SLEEP);
        poll(&poll_fd, 1, -1);
    }
    stepper_stage(&world->stepper, STAGE_DISARM);
    doorbell_disarm(&world->bell);
    stepper_stage(&world->stepper, STAGE_OVER);
}

static uint32_t seen_awake;
static uint32_t seen_asleep;

/* The waker publishes on and never waits; the dead one costs it one write at most. */
static void expect_at_most_one_ring_for_the_dead(void *argument)
{
    struct world *world = argument;
    uint32_t asleep = asleep_of(world);
    seen_awake += asleep == 0;
    seen_asleep += asleep == 1;
    uint32_t rings = 0;
    for (uint32_t i = 0; i < 10; i++) {
        publish(world);
        rings += doorbell_ring(&world->bell, DOORBELL_ANY);
    }
    assert_int_equal(rings, asleep);
    assert_int_equal(rings_of(world), asleep);
    assert_int_equal(records_of(world), 10);
}

static struct row sleeper_row(uint32_t stage)
{
    seen_awake = 0;
    seen_asleep = 0;
    return (struct row){world_new, go_to_sleep, expect_at_most_one_ring_for_the_dead, world_drop,
                        stage};
}

static void sleeper_dies_while_it_arms(void **state)
{
    (void)state;
    const struct row row = sleeper_row(STAGE_ARM);
    stepper_run(&row);
    assert_true(seen_awake >= 3);
    assert_true(seen_asleep >= 2);
}

static void sleeper_dies_while_it_looks_again(void **state)
{
    (void)state;
    const struct row row = sleeper_row(STAGE_LOOK);
    stepper_run(&row);
    assert_int_equal(seen_awake, 0);
    assert_true(seen_asleep >= 5);
}

static void sleeper_dies_asleep(void **state)
{
    (void)state;
    const struct row row = sleeper_row(STAGE_SLEEP);
    stepper_run_blocked(&row);
    assert_int_equal(seen_asleep, 1);
}

static void sleeper_dies_while_it_disarms(void **state)
{
    (void)state;
    const struct row row = sleeper_row(STAGE_DISARM);
    stepper_run(&row);
    assert_true(seen_asleep >= 3);
    assert_true(seen_awake >= 2);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waker_dies_while_it_rings),
        cmocka_unit_test(sleeper_dies_while_it_arms),
        cmocka_unit_test(sleeper_dies_while_it_looks_again),
        cmocka_unit_test(sleeper_dies_asleep),
        cmocka_unit_test(sleeper_dies_while_it_disarms),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
