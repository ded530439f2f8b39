/* SPDX-License-Identifier: MIT */
/*
 * stress_slot.c - a dispatcher and a worker take one slot through many runs, and each edge carries
 * plain words that nothing else orders: ThreadSanitizer sees when one does not.
 *
 * What happens in a run (revoked or not, cancelled or not) follows from its generation.
 *
 *     N=10000000 build/release/tests/stress/stress_slot
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include "shm/slot.h"

#include <cmocka.h>

#include "tests/stress/drivers.h"
#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/shm/slot_view.h"

#define RUN_COUNT 60000u
#define DELIVERY_COUNT 3u
#define WATCHDOG_S 100u

/* The slot, and what each edge carries. */
struct cargo {
    struct slot_shared slot;
    _Atomic uint64_t cancel_count;
    uint64_t input;                      /* R3 of the offer */
    uint64_t output;                     /* R3 of the worker's last move */
    uint64_t reason;                     /* R4, and every second time R6 */
    uint64_t deliveries[DELIVERY_COUNT]; /* R5 */
    uint64_t cancelled;                  /* the worker's own: runs that were, so far */
    uint32_t count;
};

static bool is_revoked(uint32_t generation)
{
    return generation % 5 == 0;
}

static bool is_cancelled(uint32_t generation)
{
    return generation % 3 == 0;
}

static uint64_t value_of(uint32_t generation, uint32_t which)
{
    return ((uint64_t)generation << 8 | which) * UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- dispatcher ------------------------------------------------------------------------------ */

static void await_end(struct cargo *cargo, uint32_t generation)
{
    for (;;) {
        struct slot_view view = slot_load(&cargo->slot);
        mr_assert(view.generation == generation);
        if (view.state == SLOT_ENDED)
            return;
        sched_yield();
    }
}

static void deliver_and_cancel(struct cargo *cargo, uint32_t generation)
{
    for (uint32_t i = 0; i < DELIVERY_COUNT; i++) {
        cargo->deliveries[i] = value_of(generation, i);
        slot_deliver(&cargo->slot, i + 1);
    }
    if (is_cancelled(generation)) {
        cargo->reason = value_of(generation, 100);
        slot_cancel(&cargo->slot, &cargo->cancel_count, generation, CANCEL_REQUESTED);
    }
}

static void dispatch(void *argument)
{
    struct cargo *cargo = argument;
    uint32_t revoked_count = 0;
    uint64_t progress = 0;
    for (uint32_t generation = 1; generation <= cargo->count; generation++) {
        cargo->input = value_of(generation, 101);
        slot_offer(&cargo->slot, generation);
        bool revoked = is_revoked(generation) &&
                       slot_move(&cargo->slot, generation, SLOT_OFFERED, SLOT_REVOKED);
        if (!revoked)
            deliver_and_cancel(cargo, generation);
        await_end(cargo, generation);
        mr_assert(cargo->output == value_of(generation, revoked ? 103 : 102));
        mr_assert(slot_last_progress(&cargo->slot) >= progress);
        progress = slot_last_progress(&cargo->slot);
        revoked_count += revoked;
        slot_free(&cargo->slot, generation);
    }
    print_message("%u runs, %u of them revoked\n", cargo->count, revoked_count);
}

/* ---- worker ---------------------------------------------------------------------------------- */

/* Takes the run by one of two ways: look first, or just try. False when it was revoked. */
static bool take_run(struct cargo *cargo, uint32_t generation)
{
    for (;;) {
        if (generation % 2 == 0) {
            struct slot_view view = slot_load(&cargo->slot);
            if (view.generation == generation && view.state == SLOT_OFFERED)
                mr_assert(cargo->input == value_of(generation, 101));
        }
        if (slot_move(&cargo->slot, generation, SLOT_OFFERED, SLOT_RUNNING))
            return true;
        if (slot_move(&cargo->slot, generation, SLOT_REVOKED, SLOT_REVOKED))
            return false;
        sched_yield();
    }
}

/* By the word, or by the count. */
static void await_cancel(struct cargo *cargo, uint32_t generation)
{
    if (generation % 2 == 0) {
        while (slot_cancel_reason(&cargo->slot, generation) == CANCEL_NONE)
            sched_yield();
        return;
    }
    while (slot_cancel_count(&cargo->cancel_count) < cargo->cancelled)
        sched_yield();
}

static void run(struct cargo *cargo, uint32_t generation)
{
    mr_assert(cargo->input == value_of(generation, 101));
    for (uint32_t seen = 0; seen < DELIVERY_COUNT;) {
        uint64_t delivered = slot_delivered(&cargo->slot);
        mr_assert(delivered >= seen);
        mr_assert(delivered <= DELIVERY_COUNT);
        for (; seen < delivered; seen++)
            mr_assert(cargo->deliveries[seen] == value_of(generation, seen));
        sched_yield();
    }
    if (is_cancelled(generation)) {
        cargo->cancelled++;
        await_cancel(cargo, generation);
        mr_assert(cargo->reason == value_of(generation, 100));
        mr_assert(slot_cancel_reason(&cargo->slot, generation) == CANCEL_REQUESTED);
    }
    mr_assert(slot_cancel_reason(&cargo->slot, generation - 1) == CANCEL_NONE);
}

static void work(void *argument)
{
    struct cargo *cargo = argument;
    for (uint32_t generation = 1; generation <= cargo->count; generation++) {
        bool taken = take_run(cargo, generation);
        if (taken)
            run(cargo, generation);
        slot_progress(&cargo->slot, generation);
        cargo->output = value_of(generation, taken ? 102 : 103);
        mr_assert(
            slot_move(&cargo->slot, generation, taken ? SLOT_RUNNING : SLOT_REVOKED, SLOT_ENDED));
    }
}

static int cargo_new(void **state)
{
    struct cargo *cargo = guarded_map(sizeof *cargo);
    cargo->count = (uint32_t)environment_number("N", RUN_COUNT);
    *state = cargo;
    return 0;
}

static int cargo_drop(void **state)
{
    guarded_unmap(*state, sizeof(struct cargo));
    return 0;
}

static void runs_pass_between_threads(void **state)
{
    struct sides sides = {.near = dispatch, .far = work, .argument = *state};
    sides_run_as_threads(&sides);
}

static void runs_pass_between_processes(void **state)
{
    struct sides sides = {.near = dispatch, .far = work, .argument = *state};
    sides_run_as_processes(&sides, WATCHDOG_S);
}

int main(void)
{
    if (environment_number("N", RUN_COUNT) <= RUN_COUNT)
        alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_pass_between_threads, cargo_new, cargo_drop),
        cmocka_unit_test_setup_teardown(runs_pass_between_processes, cargo_new, cargo_drop),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
