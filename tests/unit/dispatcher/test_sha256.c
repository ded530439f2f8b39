/* SPDX-License-Identifier: MIT */
/* test_sha256.c - whichever library hashes, the hash is that of FIPS 180-4. */
#include "dispatcher/files/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/check.h"

static const struct {
    const char *text;
    size_t repeats;
    const char *hash;
} rows[] = {
    {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void hashes_are_those_of_the_standard(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sha256 hash;
        char text[SHA256_HEX_BYTES];
        sha256_init(&hash);
        for (size_t k = 0; k < rows[i].repeats; k++)
            sha256_add(&hash, rows[i].text, strlen(rows[i].text));
        sha256_finish(&hash, text);
        assert_string_equal(text, rows[i].hash);
    }
}

static void before_it_is_opened_the_one_that_is_always_there_hashes(void **state)
{
    (void)state;
    hashes_are_those_of_the_standard();
}

static void the_one_that_was_found_hashes_alike(void **state)
{
    (void)state;
    const char *library = sha256_open();
    assert_non_null(library);
    printf("# %s\n", library);
    hashes_are_those_of_the_standard();
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_it_is_opened_the_one_that_is_always_there_hashes),
        cmocka_unit_test(the_one_that_was_found_hashes_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
