/* SPDX-License-Identifier: MIT */
/* test_id_index.c - places are found by their ids, also where ids share a chain. */
#include "dispatcher/runs/id_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define PLACE_COUNT 100u
#define ID_BYTES 37u
#define STEP_COUNT 100000u

static struct id_index id_index;
static char ids[PLACE_COUNT][ID_BYTES]; /* "": the place is free */

static int scene_open(void **state)
{
    (void)state;
    memset(ids, 0, sizeof(ids));
    return id_index_init(&id_index, PLACE_COUNT);
}

static int scene_close(void **state)
{
    (void)state;
    id_index_finish(&id_index);
    return 0;
}

static uint32_t find(const char *id)
{
    for (uint32_t i = id_index_first(&id_index, id); i != ID_NONE; i = id_index_next(&id_index, i))
        if (strcmp(ids[i], id) == 0)
            return i;
    return ID_NONE;
}

static void put(uint32_t place, uint64_t high, uint64_t low)
{
    snprintf(ids[place], ID_BYTES, "run_%016llx%016llx", (unsigned long long)high,
             (unsigned long long)low);
    id_index_add(&id_index, ids[place], place);
}

static void take(uint32_t place)
{
    id_index_remove(&id_index, ids[place], place);
    ids[place][0] = '\0';
}

static void an_empty_index_finds_nothing_whatever_is_asked(void **state)
{
    (void)state;
    const char *const texts[] = {
        "", "r", "run_", "run_x", "run_\xff\xff", "no run at all, but long text"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_int_equal(find(texts[i]), ID_NONE);
    put(3, 1, 2);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_int_equal(find(texts[i]), ID_NONE);
}

/* The digits that are the hash are the same in all. */
static void ids_that_share_a_chain_are_told_apart(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PLACE_COUNT; i++)
        put(i, 0xabcdef0000000000, i);
    for (uint32_t i = 0; i < PLACE_COUNT; i += 2)
        take(i);
    for (uint32_t i = 0; i < PLACE_COUNT; i++) {
        char id[ID_BYTES];
        snprintf(id, sizeof(id), "run_abcdef0000000000%016x", i);
        assert_int_equal(find(id), i % 2 == 0 ? ID_NONE : i);
    }
}

static void random_ids_spread(void **state)
{
    (void)state;
    uint64_t chance = 1;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < PLACE_COUNT; i++)
        put(i, (uint64_t)random_next(&chance) << 32, 0);
    for (uint32_t i = 0; i < PLACE_COUNT; i++) {
        uint32_t length = 0;
        for (uint32_t k = id_index_first(&id_index, ids[i]); k != ID_NONE;
             k = id_index_next(&id_index, k))
            length++;
        longest = length > longest ? length : longest;
    }
    assert_true(longest < 8);
}

static void what_was_added_and_not_removed_is_found(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t step = 0; step < STEP_COUNT; step++) {
        uint32_t place = (uint32_t)random_below(&chance, PLACE_COUNT);
        if (ids[place][0])
            take(place);
        else
            put(place, (uint64_t)random_below(&chance, 16) << 32, step);
        uint32_t asked = (uint32_t)random_below(&chance, PLACE_COUNT);
        if (ids[asked][0])
            assert_int_equal(find(ids[asked]), asked);
    }
}

#define INDEX_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        INDEX_TEST(an_empty_index_finds_nothing_whatever_is_asked),
        INDEX_TEST(ids_that_share_a_chain_are_told_apart),
        INDEX_TEST(random_ids_spread),
        INDEX_TEST(what_was_added_and_not_removed_is_found),
    };
    return cmocka_run_group_tests_name("id_index", tests, descriptors_note, descriptors_compare);
}
