/* SPDX-License-Identifier: MIT */
/*
 * test_slot.c - every move from every state, generations, and the words beside the state.
 */
#include "shm/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/shm/slot_view.h"

#define GENERATION 0xfedcba98u

static uint64_t word_of(uint32_t generation, uint32_t state)
{
    return ((uint64_t)generation << 8) | state;
}

static void set_word(struct slot_shared *slot, uint64_t word)
{
    atomic_store_explicit(&slot->word, word, memory_order_relaxed);
}

static uint64_t get_word(struct slot_shared *slot)
{
    return atomic_load_explicit(&slot->word, memory_order_relaxed);
}

static void a_zeroed_slot_is_free_with_generation_0(void **state)
{
    (void)state;
    struct slot_shared slot = {0};
    struct slot_view view = slot_load(&slot);
    assert_int_equal(view.generation, 0);
    assert_int_equal(view.state, SLOT_FREE);
    assert_int_equal(slot_cancel_reason(&slot, 0), CANCEL_NONE);
    assert_int_equal(slot_delivered(&slot), 0);
    assert_int_equal(slot_last_progress(&slot), 0);
}

static void a_move_happens_only_from_the_state_it_names(void **state)
{
    (void)state;
    for (uint32_t now = 0; now < SLOT_STATE_COUNT; now++) {
        for (uint32_t from = 0; from < SLOT_STATE_COUNT; from++) {
            for (uint32_t to = 0; to < SLOT_STATE_COUNT; to++) {
                struct slot_shared slot = {0};
                set_word(&slot, word_of(GENERATION, now));
                bool moved =
                    slot_move(&slot, GENERATION, (enum slot_state)from, (enum slot_state)to);
                assert_int_equal(moved, now == from);
                assert_int_equal(slot_load(&slot).state, moved ? to : now);
                assert_int_equal(slot_load(&slot).generation, GENERATION);
            }
        }
    }
}

static void a_move_of_another_generation_does_not_happen(void **state)
{
    (void)state;
    const uint32_t others[] = {0, 1, GENERATION - 1, GENERATION + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        struct slot_shared slot = {0};
        slot_offer(&slot, GENERATION);
        assert_false(slot_move(&slot, others[i], SLOT_OFFERED, SLOT_RUNNING));
        assert_int_equal(get_word(&slot), word_of(GENERATION, SLOT_OFFERED));
    }
}

static void a_word_that_is_nonsense_is_moved_nowhere(void **state)
{
    (void)state;
    const uint64_t words[] = {
        word_of(GENERATION, SLOT_STATE_COUNT),
        word_of(GENERATION, 0xff),
        UINT64_C(1) << 40,
        UINT64_MAX,
        word_of(GENERATION, SLOT_RUNNING) | UINT64_C(1) << 63,
    };
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        struct slot_shared slot = {0};
        set_word(&slot, words[i]);
        for (uint32_t from = 0; from < SLOT_STATE_COUNT; from++)
            assert_false(slot_move(&slot, GENERATION, (enum slot_state)from, SLOT_ENDED));
        assert_int_equal(get_word(&slot), words[i]);
    }
}

static void a_run_takes_its_slot_once_around(void **state)
{
    (void)state;
    struct slot_shared slot = {0};
    const uint32_t generations[] = {1, 2, UINT32_MAX - 1, UINT32_MAX, 0};
    for (size_t i = 0; i < ARRAY_COUNT(generations); i++) {
        uint32_t generation = generations[i];
        slot_offer(&slot, generation);
        assert_true(slot_move(&slot, generation, SLOT_OFFERED, SLOT_RUNNING));
        assert_false(slot_move(&slot, generation, SLOT_OFFERED, SLOT_REVOKED));
        assert_true(slot_move(&slot, generation, SLOT_RUNNING, SLOT_ENDED));
        slot_free(&slot, generation);
        assert_int_equal(get_word(&slot), word_of(generation, SLOT_FREE));
    }
}

static void a_revoked_run_cannot_start(void **state)
{
    (void)state;
    struct slot_shared slot = {0};
    slot_offer(&slot, 5);
    assert_true(slot_move(&slot, 5, SLOT_OFFERED, SLOT_REVOKED));
    assert_false(slot_move(&slot, 5, SLOT_OFFERED, SLOT_RUNNING));
    assert_true(slot_move(&slot, 5, SLOT_REVOKED, SLOT_ENDED));
}

static void an_offer_replaces_whatever_was_written(void **state)
{
    (void)state;
    struct slot_shared slot;
    memset(&slot, 0xff, sizeof slot);
    slot_offer(&slot, 7);
    assert_int_equal(get_word(&slot), word_of(7, SLOT_OFFERED));
    assert_int_equal(slot_cancel_reason(&slot, 7), CANCEL_NONE);
    assert_int_equal(slot_delivered(&slot), 0);

    memset(&slot, 0xff, sizeof slot);
    slot_free(&slot, 7);
    assert_int_equal(get_word(&slot), word_of(7, SLOT_FREE));
}

static void a_cancel_reaches_only_the_run_it_was_meant_for(void **state)
{
    (void)state;
    struct slot_shared slot = {0};
    _Atomic uint64_t count = 0;
    slot_offer(&slot, GENERATION);
    slot_cancel(&slot, &count, GENERATION, CANCEL_DEADLINE);
    assert_int_equal(slot_cancel_reason(&slot, GENERATION), CANCEL_DEADLINE);
    assert_int_equal(slot_cancel_reason(&slot, GENERATION + 1), CANCEL_NONE);
    assert_int_equal(slot_cancel_reason(&slot, GENERATION - 1), CANCEL_NONE);
    assert_int_equal(slot_cancel_count(&count), 1);
    slot_cancel(&slot, &count, GENERATION, CANCEL_DRAIN);
    assert_int_equal(slot_cancel_count(&count), 2);
    assert_int_equal(slot_cancel_reason(&slot, GENERATION), CANCEL_DRAIN);
    slot_offer(&slot, GENERATION + 1);
    assert_int_equal(slot_cancel_reason(&slot, GENERATION), CANCEL_NONE);
    assert_int_equal(slot_cancel_reason(&slot, GENERATION + 1), CANCEL_NONE);
}

static void counts_and_stamps_travel_whole(void **state)
{
    (void)state;
    struct slot_shared slot = {0};
    slot_deliver(&slot, UINT64_MAX - 1);
    slot_progress(&slot, UINT64_C(0x123456789abcdef0));
    assert_int_equal(slot_delivered(&slot), UINT64_MAX - 1);
    assert_int_equal(slot_last_progress(&slot), UINT64_C(0x123456789abcdef0));
    assert_int_equal(get_word(&slot), 0);
    assert_int_equal(slot_cancel_reason(&slot, 0), CANCEL_NONE);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_slot_is_free_with_generation_0),
        cmocka_unit_test(a_move_happens_only_from_the_state_it_names),
        cmocka_unit_test(a_move_of_another_generation_does_not_happen),
        cmocka_unit_test(a_word_that_is_nonsense_is_moved_nowhere),
        cmocka_unit_test(a_run_takes_its_slot_once_around),
        cmocka_unit_test(a_revoked_run_cannot_start),
        cmocka_unit_test(an_offer_replaces_whatever_was_written),
        cmocka_unit_test(a_cancel_reaches_only_the_run_it_was_meant_for),
        cmocka_unit_test(counts_and_stamps_travel_whole),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
