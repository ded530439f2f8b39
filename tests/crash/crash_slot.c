/* SPDX-License-Identifier: MIT */
/*
 * crash_slot.c - the dispatcher or the worker dies at any instruction of a move of a slot
 * (docs/internals/memory.md).
 */
#include "tests/crash/stepper.h"

#include "shm/calls.h"
#include "shm/ring.h"
#include "shm/slot.h"
#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/shm/slot_view.h"

#define CAPACITY RING_BYTES_MIN
#define OLD 6u /* the generation that ended */
#define NEW 7u /* the generation of this run */

enum stage {
    STAGE_OFFER = 1,
    STAGE_START,
    STAGE_REVOKE,
    STAGE_CANCEL,
    STAGE_DELIVER,
    STAGE_FREE,
    STAGE_TAKE,
    STAGE_STAMP,
    STAGE_COUNT,
    STAGE_END,
    STAGE_END_RECORD,
    STAGE_OVER
};

struct world {
    struct stepper stepper;
    struct slot_shared slot;
    _Atomic uint64_t cancel_count;
    struct calls_shared calls;
    struct ring_shared *ring; /* the one that the dead process wrote */
};

static void *world_new(void)
{
    struct world *world = guarded_map(sizeof *world);
    world->ring = ring_memory_map(CAPACITY, 0);
    slot_offer(&world->slot, OLD);
    slot_cancel(&world->slot, &world->cancel_count, OLD, CANCEL_DEADLINE);
    slot_deliver(&world->slot, 1000);
    slot_free(&world->slot, OLD);
    return world;
}

static void *world_offered(void)
{
    struct world *world = world_new();
    slot_offer(&world->slot, NEW);
    return world;
}

static void *world_running(void)
{
    struct world *world = world_offered();
    assert_true(slot_move(&world->slot, NEW, SLOT_OFFERED, SLOT_RUNNING));
    return world;
}

static void *world_ended(void)
{
    struct world *world = world_running();
    assert_true(slot_move(&world->slot, NEW, SLOT_RUNNING, SLOT_ENDED));
    return world;
}

static void world_drop(void *argument)
{
    struct world *world = argument;
    ring_memory_unmap(world->ring, CAPACITY);
    guarded_unmap(world, sizeof *world);
}

static void put(struct world *world, enum record_kind kind)
{
    struct ring_tx tx;
    void *payload;
    ring_tx_init(&tx, world->ring, CAPACITY);
    mr_assert(ring_claim(&tx, 0, &payload) == 0);
    ring_commit(&tx, &(struct record){.kind = (uint8_t)kind, .generation = NEW});
}

/* True when the ring holds a record of `kind`, and nothing but. */
static bool has_record(struct world *world, enum record_kind kind)
{
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, world->ring, CAPACITY);
    int rc = ring_peek(&rx, &meta, &payload);
    assert_true(rc >= 0);
    if (rc == 1) {
        assert_int_equal(meta.kind, kind);
        assert_int_equal(meta.generation, NEW);
        assert_int_equal(ring_peek(&rx, &meta, &payload), 0);
    }
    return rc == 1;
}

static uint32_t seen_before;
static uint32_t seen_after;

/* The slot is in one of two states of this run. */
static enum slot_state expect_state(struct world *world, enum slot_state before,
                                    enum slot_state after)
{
    struct slot_view view = slot_load(&world->slot);
    assert_int_equal(view.generation, NEW);
    assert_true(view.state == before || view.state == after);
    seen_before += view.state == before;
    seen_after += view.state == after;
    return view.state;
}

/* Kills at every instruction of the stage, and wants both outcomes among the deaths. */
static void run_row(void *(*prepare)(void), void (*body)(void *), void (*check)(void *),
                    uint32_t stage)
{
    const struct row row = {prepare, body, check, world_drop, stage};
    seen_before = 0;
    seen_after = 0;
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths: %u before, %u after\n", deaths, seen_before, seen_after);
    assert_int_equal(seen_before + seen_after, deaths);
    assert_true(seen_before >= 3);
    assert_true(seen_after >= 2);
}

/* ---- the dispatcher dies; the worker survives ------------------------------------------------ */

static void dispatcher_body(void *argument)
{
    struct world *world = argument;
    struct stepper *stepper = &world->stepper;
    switch (stepper->wanted) {
    case STAGE_OFFER:
        stepper_stage(stepper, STAGE_OFFER);
        slot_offer(&world->slot, NEW);
        break;
    case STAGE_START:
        stepper_stage(stepper, STAGE_START);
        put(world, RECORD_START);
        break;
    case STAGE_REVOKE:
        stepper_stage(stepper, STAGE_REVOKE);
        mr_assert(slot_move(&world->slot, NEW, SLOT_OFFERED, SLOT_REVOKED));
        break;
    case STAGE_CANCEL:
        stepper_stage(stepper, STAGE_CANCEL);
        slot_cancel(&world->slot, &world->cancel_count, NEW, CANCEL_REQUESTED);
        break;
    case STAGE_DELIVER:
        stepper_stage(stepper, STAGE_DELIVER);
        slot_deliver(&world->slot, UINT64_C(0x100000002));
        break;
    default:
        stepper_stage(stepper, STAGE_FREE);
        slot_free(&world->slot, NEW);
        break;
    }
    stepper_stage(stepper, STAGE_OVER);
}

/* Offered or not: without its START record no run begins. */
static void expect_no_start(void *argument)
{
    struct world *world = argument;
    struct slot_view view = slot_load(&world->slot);
    bool offered = view.generation == NEW;
    assert_int_equal(view.generation, offered ? NEW : OLD);
    assert_int_equal(view.state, offered ? SLOT_OFFERED : SLOT_FREE);
    assert_int_equal(slot_cancel_reason(&world->slot, NEW), CANCEL_NONE);
    if (offered)
        assert_int_equal(slot_delivered(&world->slot), 0);
    assert_false(has_record(world, RECORD_START));
    seen_before += !offered;
    seen_after += offered;
}

static void dispatcher_dies_while_it_offers(void **state)
{
    (void)state;
    run_row(world_new, dispatcher_body, expect_no_start, STAGE_OFFER);
}

/* The whole record or none; with it the run may begin, and finds that nobody listens. */
static void expect_start_or_none(void *argument)
{
    struct world *world = argument;
    bool started = has_record(world, RECORD_START);
    seen_before += !started;
    seen_after += started;
    assert_true(slot_move(&world->slot, NEW, SLOT_OFFERED, SLOT_RUNNING));
}

static void dispatcher_dies_while_it_commits_the_start(void **state)
{
    (void)state;
    run_row(world_offered, dispatcher_body, expect_start_or_none, STAGE_START);
}

/* The worker starts the run exactly when it was not revoked. */
static void expect_take_unless_revoked(void *argument)
{
    struct world *world = argument;
    enum slot_state found = expect_state(world, SLOT_OFFERED, SLOT_REVOKED);
    bool taken = slot_move(&world->slot, NEW, SLOT_OFFERED, SLOT_RUNNING);
    assert_int_equal(taken, found == SLOT_OFFERED);
    assert_int_equal(slot_move(&world->slot, NEW, SLOT_REVOKED, SLOT_ENDED), !taken);
}

static void dispatcher_dies_while_it_revokes(void **state)
{
    (void)state;
    run_row(world_offered, dispatcher_body, expect_take_unless_revoked, STAGE_REVOKE);
}

static void expect_reason_or_none(void *argument)
{
    struct world *world = argument;
    uint64_t count = slot_cancel_count(&world->cancel_count);
    uint32_t reason = slot_cancel_reason(&world->slot, NEW);
    assert_true(reason == CANCEL_NONE || reason == CANCEL_REQUESTED);
    /* One was counted for the old run. A reason that is counted is there. */
    assert_true(count == 1 || count == 2);
    if (count == 2)
        assert_int_equal(reason, CANCEL_REQUESTED);
    seen_before += reason == CANCEL_NONE;
    seen_after += reason == CANCEL_REQUESTED;
    assert_int_equal(slot_load(&world->slot).state, SLOT_RUNNING);
}

static void dispatcher_dies_while_it_cancels(void **state)
{
    (void)state;
    run_row(world_running, dispatcher_body, expect_reason_or_none, STAGE_CANCEL);
}

static void expect_old_or_new_count(void *argument)
{
    struct world *world = argument;
    uint64_t delivered = slot_delivered(&world->slot);
    assert_true(delivered == 0 || delivered == UINT64_C(0x100000002));
    seen_before += delivered == 0;
    seen_after += delivered != 0;
}

static void dispatcher_dies_while_it_counts_deliveries(void **state)
{
    (void)state;
    run_row(world_running, dispatcher_body, expect_old_or_new_count, STAGE_DELIVER);
}

static void expect_ended_or_free(void *argument)
{
    expect_state(argument, SLOT_ENDED, SLOT_FREE);
}

static void dispatcher_dies_while_it_frees(void **state)
{
    (void)state;
    run_row(world_ended, dispatcher_body, expect_ended_or_free, STAGE_FREE);
}

/* ---- the worker dies; the dispatcher survives ------------------------------------------------ */

static void worker_body(void *argument)
{
    struct world *world = argument;
    struct stepper *stepper = &world->stepper;
    switch (stepper->wanted) {
    case STAGE_TAKE:
        stepper_stage(stepper, STAGE_TAKE);
        mr_assert(slot_move(&world->slot, NEW, SLOT_OFFERED, SLOT_RUNNING));
        break;
    case STAGE_STAMP:
        stepper_stage(stepper, STAGE_STAMP);
        slot_progress(&world->slot, UINT64_C(0x100000002));
        break;
    case STAGE_COUNT:
        stepper_stage(stepper, STAGE_COUNT);
        calls_add(&world->calls, UINT64_C(0x100000002), 3);
        break;
    case STAGE_END:
        stepper_stage(stepper, STAGE_END);
        mr_assert(slot_move(&world->slot, NEW, SLOT_RUNNING, SLOT_ENDED));
        break;
    default:
        stepper_stage(stepper, STAGE_END_RECORD);
        put(world, RECORD_END);
        break;
    }
    stepper_stage(stepper, STAGE_OVER);
}

/* OFFERED: it never began, and revoking it now succeeds. RUNNING: it may have done anything. */
static void expect_revocable_unless_taken(void *argument)
{
    struct world *world = argument;
    enum slot_state found = expect_state(world, SLOT_OFFERED, SLOT_RUNNING);
    bool revoked = slot_move(&world->slot, NEW, SLOT_OFFERED, SLOT_REVOKED);
    assert_int_equal(revoked, found == SLOT_OFFERED);
}

static void worker_dies_while_it_takes_a_run(void **state)
{
    (void)state;
    run_row(world_offered, worker_body, expect_revocable_unless_taken, STAGE_TAKE);
}

static void expect_stamp_or_none(void *argument)
{
    struct world *world = argument;
    uint64_t stamp = slot_last_progress(&world->slot);
    assert_true(stamp == 0 || stamp == UINT64_C(0x100000002));
    seen_before += stamp == 0;
    seen_after += stamp != 0;
}

static void worker_dies_while_it_stamps(void **state)
{
    (void)state;
    run_row(world_running, worker_body, expect_stamp_or_none, STAGE_STAMP);
}

/* Some of the words may tell of it and others not: each is right for itself. */
static void expect_call_or_part_of_it(void *argument)
{
    struct world *world = argument;
    struct calls seen = {0}, total = {0};
    calls_collect(&world->calls, &seen, &total);
    assert_true(total.time_ns == 0 || total.time_ns == UINT64_C(0x100000002));
    assert_true(total.item_count == 0 || total.item_count == 3);
    uint64_t count = calls_count(&total);
    assert_true(count <= 1);
    seen_before += count == 0;
    seen_after += count == 1;
}

static void worker_dies_while_it_counts_a_call(void **state)
{
    (void)state;
    run_row(world_running, worker_body, expect_call_or_part_of_it, STAGE_COUNT);
}

/* Whatever the word says: no END record, so the run did not complete. The slot serves again. */
static void expect_no_end_record(void *argument)
{
    struct world *world = argument;
    expect_state(world, SLOT_RUNNING, SLOT_ENDED);
    assert_false(has_record(world, RECORD_END));
    slot_offer(&world->slot, NEW + 1);
    assert_true(slot_move(&world->slot, NEW + 1, SLOT_OFFERED, SLOT_RUNNING));
}

static void worker_dies_while_it_ends_a_run(void **state)
{
    (void)state;
    run_row(world_running, worker_body, expect_no_end_record, STAGE_END);
}

/* The record decides: there, the run completed though its worker is dead; not there, it failed. */
static void expect_end_record_or_none(void *argument)
{
    struct world *world = argument;
    bool ended = has_record(world, RECORD_END);
    seen_before += !ended;
    seen_after += ended;
    assert_int_equal(slot_load(&world->slot).state, SLOT_ENDED);
}

static void worker_dies_while_it_commits_the_end(void **state)
{
    (void)state;
    run_row(world_ended, worker_body, expect_end_record_or_none, STAGE_END_RECORD);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dispatcher_dies_while_it_offers),
        cmocka_unit_test(dispatcher_dies_while_it_commits_the_start),
        cmocka_unit_test(dispatcher_dies_while_it_revokes),
        cmocka_unit_test(dispatcher_dies_while_it_cancels),
        cmocka_unit_test(dispatcher_dies_while_it_counts_deliveries),
        cmocka_unit_test(dispatcher_dies_while_it_frees),
        cmocka_unit_test(worker_dies_while_it_takes_a_run),
        cmocka_unit_test(worker_dies_while_it_stamps),
        cmocka_unit_test(worker_dies_while_it_counts_a_call),
        cmocka_unit_test(worker_dies_while_it_ends_a_run),
        cmocka_unit_test(worker_dies_while_it_commits_the_end),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
