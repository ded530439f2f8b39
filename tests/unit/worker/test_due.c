/* SPDX-License-Identifier: MIT */
/*
 * test_due.c - the heap of waiting runs behaves like a sorted list, whatever is added and removed.
 */
#include "worker/engine/due.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOT_COUNT 200u
#define STEP_COUNT 200000u

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void an_empty_heap_is_never_due(void **state)
{
    (void)state;
    struct due due;
    assert_int_equal(due_init(&due, 1), 0);
    assert_true(due_earliest_ns(&due) == UINT64_MAX);
    due_remove(&due, 0);
    due_add(&due, 0, 5);
    assert_true(due_earliest_ns(&due) == 5);
    assert_int_equal(due_take(&due), 0);
    assert_true(due_earliest_ns(&due) == UINT64_MAX);
    due_finish(&due);
}

static uint64_t model_earliest(const uint64_t *model)
{
    uint64_t earliest = UINT64_MAX;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        earliest = model[i] < earliest ? model[i] : earliest;
    return earliest;
}

static void any_sequence_gives_what_a_list_gives(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    uint64_t model[SLOT_COUNT];
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        model[i] = UINT64_MAX;
    struct due due;
    assert_int_equal(due_init(&due, SLOT_COUNT), 0);
    for (uint32_t i = 0; i < STEP_COUNT; i++) {
        uint32_t slot = (uint32_t)(random_next(&seed) % SLOT_COUNT);
        uint32_t what = (uint32_t)(random_next(&seed) % 8);
        if (what == 0 && due.count > 0) {
            uint64_t earliest = due_earliest_ns(&due);
            slot = due_take(&due);
            assert_true(model[slot] == earliest);
            model[slot] = UINT64_MAX;
        } else if (what < 3) {
            due_remove(&due, slot);
            model[slot] = UINT64_MAX;
        } else if (model[slot] == UINT64_MAX) {
            model[slot] = random_next(&seed) % 1000; /* with many equal times */
            due_add(&due, slot, model[slot]);
        }
        if (i % 16 == 0)
            assert_true(due_earliest_ns(&due) == model_earliest(model));
    }
    due_finish(&due);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_is_never_due),
        cmocka_unit_test(any_sequence_gives_what_a_list_gives),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
