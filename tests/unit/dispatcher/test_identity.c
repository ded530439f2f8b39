/* SPDX-License-Identifier: MIT */
/*
 * test_identity.c - ids are 32 hex digits, never the same, and leave nothing of themselves behind.
 */
#include "dispatcher/reactor/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define ID_COUNT 3000u /* several pages of randomness */

static struct identity identity;

static void an_id_is_32_hex_digits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ID_COUNT; i++) {
        char id[IDENTITY_HEX_BYTES + 1];
        memset(id, '#', sizeof(id));
        identity_hex(&identity, id);
        assert_int_equal(strspn(id, "0123456789abcdef"), 32);
        assert_int_equal(id[32], '\0');
        assert_int_equal(id[33], '#');
    }
}

static void its_digits_are_those_of_the_random_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 256; i++)
        identity.bytes[i] = (uint8_t)i;
    identity.left = 256;
    for (unsigned first = 256; first > 0; first -= 16) {
        char id[IDENTITY_HEX_BYTES], expected[IDENTITY_HEX_BYTES];
        identity_hex(&identity, id);
        for (unsigned k = 0; k < 16; k++)
            snprintf(expected + 2 * k, 3, "%02x", first - 16 + k);
        assert_string_equal(id, expected);
    }
}

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, IDENTITY_HEX_BYTES);
}

static void no_two_ids_are_the_same(void **state)
{
    (void)state;
    static char ids[ID_COUNT][IDENTITY_HEX_BYTES];
    for (unsigned i = 0; i < ID_COUNT; i++)
        identity_hex(&identity, ids[i]);
    qsort(ids, ID_COUNT, sizeof(ids[0]), by_text);
    for (unsigned i = 1; i < ID_COUNT; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
}

static void every_bit_of_an_id_is_sometimes_set_and_sometimes_not(void **state)
{
    (void)state;
    unsigned counts[32][16] = {0};
    for (unsigned i = 0; i < ID_COUNT; i++) {
        char id[IDENTITY_HEX_BYTES];
        identity_hex(&identity, id);
        for (unsigned k = 0; k < 32; k++) {
            char digit[] = {id[k], '\0'};
            counts[k][strtoul(digit, NULL, 16)]++;
        }
    }
    /* Expected 187 each; the chance of any outside these bounds is below 1e-12. */
    for (unsigned k = 0; k < 32; k++)
        for (unsigned digit = 0; digit < 16; digit++)
            assert_in_range(counts[k][digit], 70, 330);
}

static void what_was_used_is_wiped(void **state)
{
    (void)state;
    static const uint8_t zeros[sizeof(identity.bytes)];
    char id[IDENTITY_HEX_BYTES];
    do
        identity_hex(&identity, id);
    while (identity.left > 0);
    assert_memory_equal(identity.bytes, zeros, sizeof(zeros));
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_32_hex_digits),
        cmocka_unit_test(its_digits_are_those_of_the_random_bytes),
        cmocka_unit_test(no_two_ids_are_the_same),
        cmocka_unit_test(every_bit_of_an_id_is_sometimes_set_and_sometimes_not),
        cmocka_unit_test(what_was_used_is_wiped),
    };
    return cmocka_run_group_tests_name("identity", tests, descriptors_note, descriptors_compare);
}
