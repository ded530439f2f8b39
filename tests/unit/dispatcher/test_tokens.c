/* SPDX-License-Identifier: MIT */
/*
 * test_tokens.c - the token file is read strictly, and only a token's own hash opens the door.
 */
#include "dispatcher/config/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/fds.h"

/* SHA-256 of "a" and of "b". */
#define HASH_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define HASH_B "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"

static char path[] = "/tmp/millrace-tokens-XXXXXX";
static char reason[256];
static int fd_count;

static int file_make(void **state)
{
    (void)state;
    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    int fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    close(fd);
    reason[0] = '\0';
    fd_count = fds_count();
    return 0;
}

static int file_remove(void **state)
{
    (void)state;
    assert_int_equal(fds_count(), fd_count);
    return unlink(path);
}

static void file_write(const char *text, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
}

static int load(struct tokens *tokens, const char *text)
{
    file_write(text, strlen(text));
    return tokens_load(tokens, path, reason, sizeof(reason));
}

static void refused(const char *text, const char *why)
{
    struct tokens tokens = {0};
    assert_int_equal(load(&tokens, text), -EINVAL);
    assert_string_equal(reason, why);
    assert_null(tokens.entries);
}

static void a_token_is_found_by_the_hash_of_its_text(void **state)
{
    (void)state;
    struct tokens tokens;
    assert_int_equal(load(&tokens, "alice:" HASH_A "\nbob:" HASH_B "\n"), 0);
    assert_int_equal(tokens.count, 2);
    assert_string_equal(tokens_find(&tokens, "a", 1)->name, "alice");
    assert_string_equal(tokens_find(&tokens, "b", 1)->name, "bob");
    assert_null(tokens_find(&tokens, "c", 1));
    assert_null(tokens_find(&tokens, "", 0));
    assert_null(tokens_find(&tokens, HASH_A, strlen(HASH_A)));
    tokens_finish(&tokens);
}

static void no_tokens_find_nothing(void **state)
{
    (void)state;
    struct tokens tokens = {0};
    assert_null(tokens_find(&tokens, "a", 1));
}

static void comments_blank_lines_crlf_and_a_missing_last_newline_are_fine(void **state)
{
    (void)state;
    struct tokens tokens;
    assert_int_equal(load(&tokens, "# people\r\n\r\n\nalice:" HASH_A "\r\nbob:" HASH_B), 0);
    assert_int_equal(tokens.count, 2);
    assert_string_equal(tokens_find(&tokens, "b", 1)->name, "bob");
    tokens_finish(&tokens);
}

static void hex_digits_may_be_capitals(void **state)
{
    (void)state;
    struct tokens tokens;
    assert_int_equal(
        load(&tokens, "x:CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB"), 0);
    assert_string_equal(tokens_find(&tokens, "a", 1)->name, "x");
    tokens_finish(&tokens);
}

static void a_file_without_tokens_is_refused_since_nobody_to_check_would_be_everyone(void **state)
{
    (void)state;
    refused("", "there is no token in it");
    refused("# alice:" HASH_A "\n", "there is no token in it");
}

static void bad_lines_are_refused_with_their_number(void **state)
{
    (void)state;
    refused("alice\n", "line 1: it is not NAME:SHA256");
    refused("\n# x\n:" HASH_A "\n", "line 3: the name is not 1 to 64 letters, digits and ._@-");
    refused("al ice:" HASH_A, "line 1: the name is not 1 to 64 letters, digits and ._@-");
    refused("alice:" HASH_A "0\n", "line 1: after the colon there are not 64 hex digits");
    refused("alice: " HASH_A "\n", "line 1: after the colon there are not 64 hex digits");
    refused("alice:" HASH_A " \n", "line 1: after the colon there are not 64 hex digits");
    refused("alice:zz978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
            "line 1: after the colon there are not 64 hex digits");
    refused("a:" HASH_A "\na:" HASH_B "\n", "line 2: another line has the same name");
    refused("a:" HASH_A "\nb:" HASH_B "\nc:" HASH_A, "line 3: another line has the same token");
}

static void a_token_put_where_its_hash_belongs_is_refused_without_being_quoted(void **state)
{
    (void)state;
    refused("alice:mr_secret\n", "line 1: this is a token, the file holds its SHA-256 in hex");
    assert_null(strstr(reason, "secret"));
}

static void a_nul_byte_is_no_part_of_a_name(void **state)
{
    (void)state;
    char text[] = "al\0ce:" HASH_A "\n";
    file_write(text, sizeof(text) - 1);
    struct tokens tokens;
    assert_int_equal(tokens_load(&tokens, path, reason, sizeof(reason)), -EINVAL);
}

static void file_write_names(unsigned count)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (unsigned i = 0; i < count; i++)
        fprintf(file, "n%u:%064x\n", i, i);
    fclose(file);
}

static void more_tokens_than_the_maximum_are_refused(void **state)
{
    (void)state;
    struct tokens tokens;
    file_write_names(TOKEN_COUNT_MAX);
    assert_int_equal(tokens_load(&tokens, path, reason, sizeof(reason)), 0);
    tokens_finish(&tokens);
    file_write_names(TOKEN_COUNT_MAX + 1);
    assert_int_equal(tokens_load(&tokens, path, reason, sizeof(reason)), -EINVAL);
    assert_string_equal(reason, "line 1025: too many tokens, at most 1024");
}

static void a_file_larger_than_the_maximum_is_refused(void **state)
{
    (void)state;
    struct tokens tokens;
    assert_int_equal(truncate(path, TOKEN_FILE_BYTES_MAX + 1), 0);
    assert_int_equal(tokens_load(&tokens, path, reason, sizeof(reason)), -EINVAL);
    assert_string_equal(reason, "it is larger than 262144 bytes");
}

static void a_file_that_cannot_be_read_gives_the_errno(void **state)
{
    (void)state;
    struct tokens tokens;
    assert_int_equal(tokens_load(&tokens, "/nonexistent/tokens", reason, sizeof(reason)), -ENOENT);
    assert_int_equal(tokens_load(&tokens, "/", reason, sizeof(reason)), -EISDIR);
}

static void a_created_token_has_its_form_and_is_never_the_same(void **state)
{
    (void)state;
    char token[TOKEN_BYTES];
    char other[TOKEN_BYTES];
    char hash[TOKEN_HASH_BYTES];
    assert_int_equal(token_create(other, hash), 0);
    assert_int_equal(token_create(token, hash), 0);
    assert_int_equal(strlen(token), 46);
    assert_memory_equal(token, "mr_", 3);
    assert_int_equal(strspn(token + 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_"),
                     43);
    assert_string_not_equal(token, other);
    assert_int_equal(strlen(hash), 64);
}

static void an_appended_token_is_found_afterwards(void **state)
{
    (void)state;
    char token[TOKEN_BYTES];
    char hash[TOKEN_HASH_BYTES];
    file_write("alice:" HASH_A, strlen("alice:" HASH_A)); /* without a newline */
    assert_int_equal(token_create(token, hash), 0);
    assert_int_equal(tokens_append(path, "bob", hash, reason, sizeof(reason)), 0);
    struct tokens tokens;
    assert_int_equal(tokens_load(&tokens, path, reason, sizeof(reason)), 0);
    assert_string_equal(tokens_find(&tokens, "a", 1)->name, "alice");
    assert_string_equal(tokens_find(&tokens, token, strlen(token))->name, "bob");
    tokens_finish(&tokens);
}

static void a_file_that_append_creates_is_for_its_owner_alone(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(tokens_append(path, "alice", HASH_A, reason, sizeof(reason)), 0);
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
}

static void append_leaves_the_file_alone_when_it_refuses(void **state)
{
    (void)state;
    struct stat file;
    file_write("alice:" HASH_A "\n", strlen("alice:" HASH_A "\n"));
    assert_int_equal(tokens_append(path, "alice", HASH_B, reason, sizeof(reason)), -EEXIST);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_size, strlen("alice:" HASH_A "\n"));
    file_write("not a token file\n", 17);
    assert_int_equal(tokens_append(path, "bob", HASH_B, reason, sizeof(reason)), -EINVAL);
    assert_string_equal(reason, "line 1: it is not NAME:SHA256");
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_size, 17);
}

/* True once a process waits for a lock that this one holds. */
static bool is_waiting_for_lock(pid_t pid)
{
    char line[256];
    char waiter[64];
    bool found = false;
    snprintf(waiter, sizeof(waiter), "-> FLOCK  ADVISORY  WRITE %d ", (int)pid);
    FILE *locks = fopen("/proc/locks", "re");
    assert_non_null(locks);
    while (!found && fgets(line, sizeof(line), locks))
        found = strstr(line, waiter) != NULL;
    fclose(locks);
    return found;
}

static void append_waits_for_another_and_then_sees_what_it_wrote(void **state)
{
    (void)state;
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        alarm(20);
        close(fd); /* ours holds the lock, this one would hold it on */
        _exit(-tokens_append(path, "bob", HASH_B, reason, sizeof(reason)));
    }
    while (!is_waiting_for_lock(pid))
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_int_equal(write(fd, "bob:" HASH_A "\n", strlen("bob:" HASH_A "\n")),
                     strlen("bob:" HASH_A "\n"));
    close(fd);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EEXIST);
}

static void names_are_short_words(void **state)
{
    (void)state;
    assert_true(token_name_is_valid("alice@example.org"));
    assert_true(
        token_name_is_valid("0123456789012345678901234567890123456789012345678901234567890123"));
    assert_false(
        token_name_is_valid("01234567890123456789012345678901234567890123456789012345678901234"));
    assert_false(token_name_is_valid(""));
    assert_false(token_name_is_valid("a:b"));
    assert_false(token_name_is_valid("a\nb"));
    assert_false(token_name_is_valid("#a"));
}

#define TOKEN_TEST(name) cmocka_unit_test_setup_teardown(name, file_make, file_remove)

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        TOKEN_TEST(a_token_is_found_by_the_hash_of_its_text),
        TOKEN_TEST(no_tokens_find_nothing),
        TOKEN_TEST(comments_blank_lines_crlf_and_a_missing_last_newline_are_fine),
        TOKEN_TEST(hex_digits_may_be_capitals),
        TOKEN_TEST(a_file_without_tokens_is_refused_since_nobody_to_check_would_be_everyone),
        TOKEN_TEST(bad_lines_are_refused_with_their_number),
        TOKEN_TEST(a_token_put_where_its_hash_belongs_is_refused_without_being_quoted),
        TOKEN_TEST(a_nul_byte_is_no_part_of_a_name),
        TOKEN_TEST(more_tokens_than_the_maximum_are_refused),
        TOKEN_TEST(a_file_larger_than_the_maximum_is_refused),
        TOKEN_TEST(a_file_that_cannot_be_read_gives_the_errno),
        TOKEN_TEST(a_created_token_has_its_form_and_is_never_the_same),
        TOKEN_TEST(an_appended_token_is_found_afterwards),
        TOKEN_TEST(a_file_that_append_creates_is_for_its_owner_alone),
        TOKEN_TEST(append_leaves_the_file_alone_when_it_refuses),
        TOKEN_TEST(append_waits_for_another_and_then_sees_what_it_wrote),
        TOKEN_TEST(names_are_short_words),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
