/* SPDX-License-Identifier: MIT */
/* test_alias_choice.c - shares are exact by turns, near by keys, and no key moves that need not. */
#include "dispatcher/runs/alias_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "millrace/check.h"

#define KEY_COUNT 20000u

static void fill(struct alias_choice *choices, const uint32_t *weights, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        choices[i] =
            (struct alias_choice){.identity = alias_hash(&i, sizeof i), .weight = weights[i]};
}

static uint64_t key_of(uint32_t number)
{
    return alias_hash(&number, sizeof number);
}

static uint64_t key_count_max(uint32_t part, uint32_t sum)
{
    return (uint64_t)KEY_COUNT * part / sum;
}

/* ---- turns --------------------------------------------------------------------------------- */

static void turns_of_one_are_spread_among_those_of_the_others(void **state)
{
    (void)state;
    struct alias_choice choices[3];
    fill(choices, (const uint32_t[]){5, 1, 1}, 3);
    static const char expected[] = "aabacaaaabacaa";
    for (size_t i = 0; expected[i] != '\0'; i++)
        assert_int_equal('a' + (int)alias_choose_turn(choices, 3), expected[i]);
}

/* Never two turns from its share, whatever the number of them. */
static void shares_are_exact_in_each_round_and_near_within_it(void **state)
{
    (void)state;
    static const uint32_t weights[][4] = {
        {90, 10, 0, 0}, {1, 1, 1, 1}, {999, 1, 0, 0}, {3, 0, 7, 11}, {0, 0, 0, 5}};
    for (size_t w = 0; w < ARRAY_COUNT(weights); w++) {
        struct alias_choice choices[4];
        uint32_t counts[4] = {0}, sum = 0;
        fill(choices, weights[w], 4);
        for (uint32_t i = 0; i < 4; i++)
            sum += weights[w][i];
        for (uint32_t turn = 1; turn <= 3 * sum; turn++) {
            counts[alias_choose_turn(choices, 4)]++;
            for (uint32_t i = 0; i < 4; i++) {
                double due = (double)turn * weights[w][i] / sum;
                assert_true(counts[i] > due - 2 && counts[i] < due + 2);
                if (turn % sum == 0)
                    assert_int_equal(counts[i], turn / sum * weights[w][i]);
            }
        }
    }
}

static void the_largest_weights_do_not_overflow(void **state)
{
    (void)state;
    struct alias_choice choices[8];
    uint32_t counts[8] = {0};
    fill(choices, (const uint32_t[]){1000000, 1000000, 1000000, 1000000, 1, 1000000, 1000000, 0},
         8);
    for (uint32_t i = 0; i < 6000001; i++)
        counts[alias_choose_turn(choices, 8)]++;
    assert_int_equal(counts[0], 1000000);
    assert_int_equal(counts[4], 1);
    assert_int_equal(counts[7], 0);
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void a_key_stays_where_it_is_whatever_the_turns_and_the_order(void **state)
{
    (void)state;
    struct alias_choice choices[3], turned[3];
    fill(choices, (const uint32_t[]){70, 20, 10}, 3);
    for (uint32_t i = 0; i < 3; i++)
        turned[i] = choices[2 - i];
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t place = alias_choose_key(choices, 3, key_of(i));
        alias_choose_turn(choices, 3);
        assert_int_equal(alias_choose_key(choices, 3, key_of(i)), place);
        assert_int_equal(alias_choose_key(turned, 3, key_of(i)), 2 - place);
    }
}

/* In another program, and on another machine, too: servers behind a balancer agree. */
static void places_of_keys_are_the_same_everywhere(void **state)
{
    (void)state;
    struct alias_choice choices[2] = {{.identity = 1, .weight = 1}, {.identity = 2, .weight = 1}};
    uint32_t places = 0;
    assert_true(alias_hash("alice", 5) == UINT64_C(0xef1fc6b48d0d4434));
    for (uint32_t i = 0; i < 32; i++)
        places = places << 1 | alias_choose_key(choices, 2, i);
    assert_int_equal(places, 0xcb880206);
}

static void shares_of_keys_are_those_of_the_weights(void **state)
{
    (void)state;
    static const uint32_t weights[] = {70, 0, 20, 10};
    struct alias_choice choices[4];
    uint32_t counts[4] = {0};
    fill(choices, weights, 4);
    for (uint32_t i = 0; i < KEY_COUNT; i++)
        counts[alias_choose_key(choices, 4, key_of(i))]++;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t due = key_count_max(weights[i], 100);
        assert_true(counts[i] + KEY_COUNT / 100 >= due && counts[i] <= due + KEY_COUNT / 100);
    }
    assert_int_equal(counts[1], 0);
}

static void no_key_moves_that_need_not(void **state)
{
    (void)state;
    struct alias_choice before[3], after[3];
    uint32_t moved = 0;
    fill(before, (const uint32_t[]){60, 30, 10}, 3);
    fill(after, (const uint32_t[]){60, 30, 30}, 3); /* of 100 keys 10 had it, now 25 have */
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        uint32_t place = alias_choose_key(before, 3, key_of(i));
        uint32_t now = alias_choose_key(after, 3, key_of(i));
        assert_true(now == place || now == 2);
        moved += now != place;
    }
    assert_true(moved > key_count_max(14, 100) && moved < key_count_max(16, 100));
    fill(after, (const uint32_t[]){60, 30, 0}, 3); /* it goes */
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        uint32_t place = alias_choose_key(before, 3, key_of(i));
        assert_true(place == 2 || alias_choose_key(after, 3, key_of(i)) == place);
    }
    fill(after, (const uint32_t[]){600, 300, 100}, 3); /* the same shares */
    for (uint32_t i = 0; i < KEY_COUNT; i++)
        assert_int_equal(alias_choose_key(after, 3, key_of(i)),
                         alias_choose_key(before, 3, key_of(i)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_of_one_are_spread_among_those_of_the_others),
        cmocka_unit_test(shares_are_exact_in_each_round_and_near_within_it),
        cmocka_unit_test(the_largest_weights_do_not_overflow),
        cmocka_unit_test(a_key_stays_where_it_is_whatever_the_turns_and_the_order),
        cmocka_unit_test(places_of_keys_are_the_same_everywhere),
        cmocka_unit_test(shares_of_keys_are_those_of_the_weights),
        cmocka_unit_test(no_key_moves_that_need_not),
    };
    return cmocka_run_group_tests_name("alias_choice", tests, NULL, NULL);
}
