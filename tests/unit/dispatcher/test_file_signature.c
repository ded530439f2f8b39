/* SPDX-License-Identifier: MIT */
/* test_file_signature.c - whoever has a signed URL may do what it says, until then, and no more. */
#include "dispatcher/files/file_signature.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "file_0123456789abcdef0123456789abcdef"
#define OTHER_ID "file_0123456789abcdef0123456789abcdee"
#define NOW_S 1705589076u

static const uint8_t secret[FILE_SECRET_BYTES] = "a secret of this test alone";

static const struct file_claim download = {FILE_PURPOSE_DOWNLOAD, ID, 0, NOW_S + 10};

static void a_proof_is_the_time_and_the_signature(void **state)
{
    char proof[FILE_PROOF_BYTES];
    (void)state;
    const size_t bytes = file_proof_format(secret, &download, proof);
    assert_int_equal(bytes, strlen(proof));
    assert_memory_equal(proof, "?expires=1705589086&signature=", 30);
    assert_int_equal(bytes, 30 + 64);
    assert_int_equal(file_signature_check(secret, &download, proof + 30, 64, NOW_S), 0);
    const struct file_claim far = {FILE_PURPOSE_PART, OTHER_ID, UINT32_MAX, UINT64_MAX};
    assert_int_equal(file_proof_format(secret, &far, proof), FILE_PROOF_BYTES - 1);
}

static void a_signature_is_for_one_thing_until_one_time(void **state)
{
    const struct file_claim others[] = {
        {FILE_PURPOSE_PART, ID, 0, NOW_S + 10},
        {FILE_PURPOSE_DOWNLOAD, OTHER_ID, 0, NOW_S + 10},
        {FILE_PURPOSE_DOWNLOAD, ID, 1, NOW_S + 10},
        {FILE_PURPOSE_DOWNLOAD, ID, 0, NOW_S + 11},
    };
    const uint8_t other_secret[FILE_SECRET_BYTES] = "a secret of this test alonf";
    char proof[FILE_PROOF_BYTES];
    (void)state;
    file_proof_format(secret, &download, proof);
    const char *signature = proof + 30;
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        assert_int_equal(file_signature_check(secret, &others[i], signature, 64, NOW_S), -EACCES);
    assert_int_equal(file_signature_check(other_secret, &download, signature, 64, NOW_S), -EACCES);
    assert_int_equal(file_signature_check(secret, &download, signature, 63, NOW_S), -EACCES);
    assert_int_equal(file_signature_check(secret, &download, "", 0, NOW_S), -EACCES);
    for (size_t i = 0; i < 64; i++) {
        char forged[64];
        memcpy(forged, signature, sizeof forged);
        forged[i] = forged[i] == 'a' ? 'b' : 'a';
        assert_int_equal(file_signature_check(secret, &download, forged, 64, NOW_S), -EACCES);
    }
    assert_int_equal(file_signature_check(secret, &download, signature, 64, NOW_S + 9), 0);
    assert_int_equal(file_signature_check(secret, &download, signature, 64, NOW_S + 10), -ETIME);
}

static void a_secret_is_kept_and_one_that_others_may_know_is_not(void **state)
{
    uint8_t first[FILE_SECRET_BYTES], again[FILE_SECRET_BYTES];
    char path[] = "/tmp/millrace-secret-XXXXXX";
    struct stat file;
    (void)state;
    assert_non_null(mkdtemp(path));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(file_secret_open(folder, first), 0);
    assert_int_equal(fstatat(folder, "secret", &file, 0), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    assert_int_equal(file_secret_open(folder, again), 0);
    assert_memory_equal(first, again, sizeof first);
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            assert_int_equal(fchmodat(folder, "secret", 0640, 0), 0);
        if (i == 1)
            close(openat(folder, "secret", O_WRONLY | O_TRUNC | O_CLOEXEC));
        if (i == 2) {
            assert_int_equal(unlinkat(folder, "secret", 0), 0);
            assert_int_equal(symlinkat("/dev/zero", folder, "secret"), 0);
        }
        assert_int_equal(file_secret_open(folder, again), 0);
        assert_memory_not_equal(first, again, sizeof first);
        assert_int_equal(fstatat(folder, "secret", &file, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(file.st_mode) && file.st_size == FILE_SECRET_BYTES);
        memcpy(first, again, sizeof first);
    }
    assert_int_equal(unlinkat(folder, "secret", 0), 0);
    close(folder);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proof_is_the_time_and_the_signature),
        cmocka_unit_test(a_signature_is_for_one_thing_until_one_time),
        cmocka_unit_test(a_secret_is_kept_and_one_that_others_may_know_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
