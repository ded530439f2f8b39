/* SPDX-License-Identifier: MIT */
/* test_affinity.c - keys and who has them: a bounded table, and hashes that nobody can choose. */
#include "dispatcher/runs/affinity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/runs/run_rank.h"
#include "tests/unit/dispatcher/edge.h"
#include "tests/unit/shm/ring_memory.h"

static struct affinity affinity;
static struct rank_secret secret;

static int scene_open(void **state)
{
    (void)state;
    return affinity_init(&affinity) + rank_secret_make(&secret);
}

static int scene_close(void **state)
{
    (void)state;
    affinity_finish(&affinity);
    return 0;
}

static uint32_t holder_of(uint64_t key)
{
    struct affinity_holder holder;
    return affinity_find(&affinity, key, &holder) ? holder.worker : UINT32_MAX;
}

static void note(uint64_t key, uint32_t worker)
{
    affinity_note(&affinity, key, (struct affinity_holder){.worker = worker, .generation = 1});
}

static void a_key_is_with_whoever_had_it_last(void **state)
{
    (void)state;
    assert_int_equal(holder_of(5), UINT32_MAX);
    note(5, 1);
    note(6, 2);
    assert_int_equal(holder_of(5), 1);
    note(5, 3);
    assert_int_equal(holder_of(5), 3);
    assert_int_equal(holder_of(6), 2);
}

static void of_more_keys_than_places_those_are_known_that_were_used_last(void **state)
{
    (void)state;
    /* One set of places, of which there are eight. */
    const uint64_t sets = AFFINITY_KEY_COUNT / 8;
    for (uint32_t i = 0; i < 8; i++)
        note(1 + i * sets, i);
    note(1, 0); /* used again */
    note(1 + 8 * sets, 8);
    assert_int_equal(holder_of(1), 0);
    assert_int_equal(holder_of(1 + sets), UINT32_MAX);
    for (uint32_t i = 2; i < 9; i++)
        assert_int_equal(holder_of(1 + i * sets), i);
}

static void any_number_of_keys_has_a_bounded_table(void **state)
{
    (void)state;
    uint32_t known_count = 0;
    for (uint32_t i = 0; i < 100000; i++)
        note(rank_hash(&secret, &i, sizeof i), i);
    for (uint32_t i = 0; i < 100000; i++)
        known_count += holder_of(rank_hash(&secret, &i, sizeof i)) == i;
    assert_int_equal(known_count, AFFINITY_KEY_COUNT);
}

/* ---- hashes -------------------------------------------------------------------------------- */

static void another_process_has_other_hashes(void **state)
{
    (void)state;
    struct rank_secret other;
    assert_int_equal(rank_secret_make(&other), 0);
    assert_int_not_equal(rank_hash(&secret, "a", 1), rank_hash(&other, "a", 1));
    assert_int_equal(rank_hash(&secret, "a", 1), rank_hash(&secret, "a", 1));
}

static uint64_t prefix_hash(const void *payload, size_t count, uint32_t bytes)
{
    struct edge edge = edge_copy(payload, count);
    uint64_t hash = rank_hash_prefix(&secret, edge.bytes, count, bytes);
    edge_destroy(&edge);
    return hash;
}

#define PREFIX(payload, bytes) prefix_hash(payload, sizeof(payload) - 1, bytes)

static void a_prefix_is_that_of_the_first_text(void **state)
{
    (void)state;
    uint64_t abc = rank_hash(&secret, "abc", 3);
    assert_int_equal(PREFIX("\x92\xa2id\x91\xa3"
                            "abc",
                            3),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\x91\xa5"
                            "abcde",
                            3),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\x91\xd9\x05"
                            "abcde",
                            3),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\x92\x07\xa5"
                            "abcde",
                            3),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\x92\x81\xa1k\xa1v\xda\x00\x03"
                            "abc",
                            9),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\xdc\x00\x01\xa3"
                            "abc",
                            9),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\x91\xa0", 9), rank_hash(&secret, "", 0));
    /* Of one that is not all at hand, its beginning is enough, and less is not. */
    assert_int_equal(PREFIX("\x92\xa2id\x91\xdb\x00\x01\x00\x00"
                            "abcd",
                            3),
                     abc);
    assert_int_equal(PREFIX("\x92\xa2id\x91\xdb\x00\x01\x00\x00"
                            "ab",
                            3),
                     0);
}

static void what_is_no_payload_has_no_prefix(void **state)
{
    (void)state;
    assert_int_equal(PREFIX("", 3), 0);
    assert_int_equal(PREFIX("{\"inputs\":[]}", 3), 0);
    assert_int_equal(PREFIX("\x92\xa2id\x90", 3), 0);
    assert_int_equal(PREFIX("\x92\xa2id\x91\x07", 3), 0);
    assert_int_equal(PREFIX("\x92\xa2id\xa3"
                            "abc",
                            3),
                     0);
    static const char whole[] = "\x92\xa2id\x93\x07\x92\xa1x\x08\xd9\x05"
                                "abcde";
    for (size_t count = 0; count < sizeof whole - 4; count++)
        assert_int_equal(prefix_hash(whole, count, 3), 0);
    uint64_t chance = 7;
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t noise[32];
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)random_next(&chance);
        memcpy(noise, "\x92\xa2id", i % 2 ? 4 : 0);
        prefix_hash(noise, random_next(&chance) % sizeof noise, 4);
    }
}

#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_key_is_with_whoever_had_it_last),
        SCENE_TEST(of_more_keys_than_places_those_are_known_that_were_used_last),
        SCENE_TEST(any_number_of_keys_has_a_bounded_table),
        SCENE_TEST(another_process_has_other_hashes),
        SCENE_TEST(a_prefix_is_that_of_the_first_text),
        SCENE_TEST(what_is_no_payload_has_no_prefix),
    };
    return cmocka_run_group_tests_name("affinity", tests, descriptors_note, descriptors_compare);
}
