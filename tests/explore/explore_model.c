/* SPDX-License-Identifier: MIT */
/*
 * explore_model.c - the explorer finds what C11 allows and nothing that it forbids: the small
 * programs that memory models are usually told apart by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/check.h"
#include "tests/explore/explorer.h"

#define WATCHDOG_S 60u

/* Two words, plain data, and what the sides have read. */
struct world {
    _Atomic uint64_t x;
    _Atomic uint64_t y;
    uint64_t data;
    uint64_t got[4];
};

static const struct explorer_name names[] = {
    {offsetof(struct world, x), "x"},
    {offsetof(struct world, y), "y"},
    {offsetof(struct world, data), "data"},
};

/* A bit for each outcome that some run had: what `outcome` makes of a world. */
static uint64_t outcomes;
static uint32_t (*outcome)(const struct world *world);

static void note_outcome(void *argument)
{
    outcomes |= UINT64_C(1) << outcome(argument);
}

static struct explorer_result result;

static enum explorer_finding explore(const struct explorer_side *sides, uint32_t side_count,
                                     uint32_t (*outcome_of)(const struct world *world))
{
    static struct world world;
    outcomes = 0;
    outcome = outcome_of;
    explorer_explore(
        &(struct explorer_world){
            .memory = &world,
            .bytes = sizeof world,
            .end = outcome_of ? note_outcome : NULL,
            .sides = sides,
            .side_count = side_count,
            .names = names,
            .name_count = ARRAY_COUNT(names),
        },
        &result);
    return result.finding;
}

#define EXPLORE(outcome_of, ...)                                                                   \
    explore((const struct explorer_side[]){__VA_ARGS__},                                           \
            sizeof((const struct explorer_side[]){__VA_ARGS__}) / sizeof(struct explorer_side),    \
            outcome_of)

static uint32_t first_two(const struct world *world)
{
    return (uint32_t)(world->got[0] << 1 | world->got[1]);
}

static bool was_seen(uint32_t which)
{
    return (outcomes >> which & 1) != 0;
}

/* ---- each stores one word, then loads the other
 * -------------------------------------------------- */

/* Both orders and the fence are parameters of the sides that the compiler sees as constants. */
#define BUFFERED(name, own, other, slot, FENCE)                                                    \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        atomic_store_explicit(&world->own, 1, memory_order_release);                               \
        FENCE;                                                                                     \
        world->got[slot] = atomic_load_explicit(&world->other, memory_order_acquire);              \
    }

BUFFERED(x_then_y, x, y, 0, )
BUFFERED(y_then_x, y, x, 1, )
BUFFERED(x_then_y_acq_rel, x, y, 0, atomic_thread_fence(memory_order_acq_rel))
BUFFERED(y_then_x_acq_rel, y, x, 1, atomic_thread_fence(memory_order_acq_rel))
BUFFERED(x_then_y_seq_cst, x, y, 0, atomic_thread_fence(memory_order_seq_cst))
BUFFERED(y_then_x_seq_cst, y, x, 1, atomic_thread_fence(memory_order_seq_cst))

static void a_load_overtakes_a_store_unless_both_sides_have_a_seq_cst_fence(void **state)
{
    (void)state;
    EXPLORE(first_two, {"x", x_then_y}, {"y", y_then_x});
    assert_int_equal(outcomes, 0xf);
    EXPLORE(first_two, {"x", x_then_y_acq_rel}, {"y", y_then_x_acq_rel});
    assert_int_equal(outcomes, 0xf);
    EXPLORE(first_two, {"x", x_then_y_seq_cst}, {"y", y_then_x_acq_rel});
    assert_int_equal(outcomes, 0xf);
    EXPLORE(first_two, {"x", x_then_y_seq_cst}, {"y", y_then_x_seq_cst});
    assert_int_equal(outcomes, 0xe);
}

/* ---- one passes plain data to the other
 * ---------------------------------------------------------- */

#define SENDER(name, BEFORE, order)                                                                \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        world->data = 7;                                                                           \
        BEFORE;                                                                                    \
        atomic_store_explicit(&world->x, 1, order);                                                \
    }

#define RECEIVER(name, order, BEHIND)                                                              \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        if (atomic_load_explicit(&world->x, order) == 0)                                           \
            return;                                                                                \
        BEHIND;                                                                                    \
        explorer_expect(world->data == 7);                                                         \
    }

SENDER(send_release, , memory_order_release)
SENDER(send_relaxed, , memory_order_relaxed)
SENDER(send_fenced, atomic_thread_fence(memory_order_release), memory_order_relaxed)
SENDER(send_wrongly_fenced, atomic_thread_fence(memory_order_acquire), memory_order_relaxed)
RECEIVER(receive_acquire, memory_order_acquire, )
RECEIVER(receive_relaxed, memory_order_relaxed, )
RECEIVER(receive_fenced, memory_order_relaxed, atomic_thread_fence(memory_order_acquire))

static void data_passes_only_with_a_release_and_an_acquire(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(NULL, {"s", send_release}, {"r", receive_acquire}), EXPLORER_NOTHING);
    assert_int_equal(EXPLORE(NULL, {"s", send_fenced}, {"r", receive_acquire}), EXPLORER_NOTHING);
    assert_int_equal(EXPLORE(NULL, {"s", send_release}, {"r", receive_fenced}), EXPLORER_NOTHING);
    assert_int_equal(EXPLORE(NULL, {"s", send_relaxed}, {"r", receive_acquire}), EXPLORER_RACE);
    assert_int_equal(EXPLORE(NULL, {"s", send_release}, {"r", receive_relaxed}), EXPLORER_RACE);
    assert_int_equal(EXPLORE(NULL, {"s", send_wrongly_fenced}, {"r", receive_acquire}),
                     EXPLORER_RACE);
    assert_non_null(strstr(result.text, "data race: r reads 8 bytes at data"));
}

#define READS_THEN_SAYS(name, order)                                                               \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        world->got[0] = world->data;                                                               \
        atomic_store_explicit(&world->x, 1, order);                                                \
    }

READS_THEN_SAYS(read_then_release, memory_order_release)
READS_THEN_SAYS(read_then_say, memory_order_relaxed)

static void write_when_it_was_read(void *argument)
{
    struct world *world = argument;
    if (atomic_load_explicit(&world->x, memory_order_acquire) == 1)
        world->data = 9;
}

static void overwriting_what_may_still_be_read_is_a_race(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(NULL, {"r", read_then_release}, {"w", write_when_it_was_read}),
                     EXPLORER_NOTHING);
    assert_int_equal(EXPLORE(NULL, {"r", read_then_say}, {"w", write_when_it_was_read}),
                     EXPLORER_RACE);
}

/* Seen by a third side, over an exchange that is itself relaxed. */
static void add_one(void *argument)
{
    struct world *world = argument;
    atomic_fetch_add_explicit(&world->x, 1, memory_order_relaxed);
}

static void read_behind_two(void *argument)
{
    struct world *world = argument;
    if (atomic_load_explicit(&world->x, memory_order_acquire) == 2)
        explorer_expect(world->data == 7);
}

static void what_was_released_stays_so_across_an_exchange(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(NULL, {"s", send_release}, {"a", add_one}, {"r", read_behind_two}),
                     EXPLORER_NOTHING);
    assert_int_equal(EXPLORE(NULL, {"s", send_relaxed}, {"a", add_one}, {"r", read_behind_two}),
                     EXPLORER_RACE);
}

/* ---- words ----------------------------------------------------------------------------------- */

static void store_1_then_2(void *argument)
{
    struct world *world = argument;
    atomic_store_explicit(&world->x, 1, memory_order_relaxed);
    atomic_store_explicit(&world->x, 2, memory_order_relaxed);
}

static void load_twice(void *argument)
{
    struct world *world = argument;
    uint64_t first = atomic_load_explicit(&world->x, memory_order_relaxed);
    uint64_t second = atomic_load_explicit(&world->x, memory_order_relaxed);
    explorer_expect(second >= first);
    world->got[0] = first * 3 + second;
}

static uint32_t first_got(const struct world *world)
{
    return (uint32_t)world->got[0];
}

static void one_word_is_never_seen_to_go_back(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(first_got, {"w", store_1_then_2}, {"r", load_twice}),
                     EXPLORER_NOTHING);
    /* 0 0, 0 1, 0 2, 1 1, 1 2, 2 2. */
    assert_int_equal(outcomes, 1u << 0 | 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 8);
}

#define STORES_BOTH(name, first, second)                                                           \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        atomic_store_explicit(&world->first, 1, memory_order_relaxed);                             \
        atomic_store_explicit(&world->second, 2, memory_order_relaxed);                            \
    }

STORES_BOTH(store_x_y, x, y)
STORES_BOTH(store_y_x, y, x)

static uint32_t both_words(const struct world *world)
{
    return (uint32_t)(atomic_load_explicit(&world->x, memory_order_relaxed) * 3 +
                      atomic_load_explicit(&world->y, memory_order_relaxed));
}

static void a_later_store_may_take_effect_first(void **state)
{
    (void)state;
    EXPLORE(both_words, {"a", store_x_y}, {"b", store_y_x});
    assert_int_equal(outcomes, 1u << 4 | 1u << 5 | 1u << 7 | 1u << 8);
}

static uint32_t final_x(const struct world *world)
{
    return (uint32_t)atomic_load_explicit(&world->x, memory_order_relaxed);
}

static void no_addition_is_lost(void **state)
{
    (void)state;
    EXPLORE(final_x, {"a", add_one}, {"b", add_one}, {"c", add_one});
    assert_int_equal(outcomes, 1u << 3);
}

#define TAKES(name, slot)                                                                          \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        uint64_t expected = 0;                                                                     \
        world->got[slot] = atomic_compare_exchange_strong_explicit(                                \
            &world->x, &expected, 1, memory_order_relaxed, memory_order_relaxed);                  \
        explorer_expect(expected == 1 - world->got[slot]);                                         \
    }

TAKES(take_0, 0)
TAKES(take_1, 1)

static void exactly_one_compare_and_exchange_succeeds(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(first_two, {"a", take_0}, {"b", take_1}), EXPLORER_NOTHING);
    assert_int_equal(outcomes, 1u << 1 | 1u << 2);
}

static void store_x(void *argument)
{
    struct world *world = argument;
    atomic_store_explicit(&world->x, 1, memory_order_release);
}

static void store_y(void *argument)
{
    struct world *world = argument;
    atomic_store_explicit(&world->y, 1, memory_order_release);
}

#define LOADS_BOTH(name, first, second, slot, FENCE)                                               \
    static void name(void *argument)                                                               \
    {                                                                                              \
        struct world *world = argument;                                                            \
        uint64_t seen = atomic_load_explicit(&world->first, memory_order_acquire);                 \
        FENCE;                                                                                     \
        seen = seen << 1 | atomic_load_explicit(&world->second, memory_order_acquire);             \
        world->got[slot] = seen == 2;                                                              \
    }

LOADS_BOTH(load_x_y, x, y, 0, )
LOADS_BOTH(load_y_x, y, x, 1, )
LOADS_BOTH(load_x_y_fenced, x, y, 0, atomic_thread_fence(memory_order_seq_cst))
LOADS_BOTH(load_y_x_fenced, y, x, 1, atomic_thread_fence(memory_order_seq_cst))

/* Both readers see one store and not the other: 3. */
static void two_readers_may_disagree_unless_they_have_seq_cst_fences(void **state)
{
    (void)state;
    EXPLORE(first_two, {"x", store_x}, {"y", store_y}, {"xy", load_x_y}, {"yx", load_y_x});
    assert_true(was_seen(3));
    EXPLORE(first_two, {"x", store_x}, {"y", store_y}, {"xy", load_x_y_fenced},
            {"yx", load_y_x_fenced});
    assert_false(was_seen(3));
}

/* ---- bells ----------------------------------------------------------------------------------- */

static void write_data_and_bell(void *argument)
{
    struct world *world = argument;
    const uint64_t one = 1;
    world->data = 7;
    mr_assert(write(explorer_bell(0), &one, sizeof one) == (ssize_t)sizeof one);
}

static void sleep_and_read(void *argument)
{
    struct world *world = argument;
    explorer_sleep(explorer_bell(0));
    explorer_expect(world->data == 7);
}

static void sleep_unless_it_takes_the_other_way(void *argument)
{
    (void)argument;
    if (explorer_choose(2) == 1)
        explorer_sleep(explorer_bell(0));
}

static void a_bell_wakes_and_carries_data(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(NULL, {"w", write_data_and_bell}, {"s", sleep_and_read}),
                     EXPLORER_NOTHING);
}

static void a_sleep_that_nobody_ends_is_found(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(NULL, {"s", sleep_unless_it_takes_the_other_way}, {"x", store_x}),
                     EXPLORER_STUCK);
    assert_non_null(strstr(result.text, "wake-up lost: s sleeps"));
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void load_for_ever(void *argument)
{
    struct world *world = argument;
    while (atomic_load_explicit(&world->x, memory_order_relaxed) == 0)
        continue;
}

static void a_run_that_does_not_end_is_found(void **state)
{
    (void)state;
    assert_int_equal(EXPLORE(NULL, {"r", load_for_ever}), EXPLORER_ENDLESS);
}

int main(void)
{
    alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_overtakes_a_store_unless_both_sides_have_a_seq_cst_fence),
        cmocka_unit_test(data_passes_only_with_a_release_and_an_acquire),
        cmocka_unit_test(overwriting_what_may_still_be_read_is_a_race),
        cmocka_unit_test(what_was_released_stays_so_across_an_exchange),
        cmocka_unit_test(one_word_is_never_seen_to_go_back),
        cmocka_unit_test(a_later_store_may_take_effect_first),
        cmocka_unit_test(no_addition_is_lost),
        cmocka_unit_test(exactly_one_compare_and_exchange_succeeds),
        cmocka_unit_test(two_readers_may_disagree_unless_they_have_seq_cst_fences),
        cmocka_unit_test(a_bell_wakes_and_carries_data),
        cmocka_unit_test(a_sleep_that_nobody_ends_is_found),
        cmocka_unit_test(a_run_that_does_not_end_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
