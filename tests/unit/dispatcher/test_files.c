/* SPDX-License-Identifier: MIT */
/* test_files.c - names of files, what is said of them on the disk, and parts of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/files/file_about.h"
#include "dispatcher/http/http_range.h"
#include "dispatcher/text/file_name.h"
#include "tests/unit/dispatcher/edge.h"

#define ID "file_0123456789abcdef0123456789abcdef"
#define HASH "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void a_name_is_what_follows_the_last_slash_and_can_be_shown(void **state)
{
    static const struct {
        const char *said;
        size_t bytes;
        const char *name;
    } rows[] = {
#define ROW(said, name) {said, sizeof said - 1, name}
        ROW("a.txt", "a.txt"),
        ROW("/etc/passwd", "passwd"),
        ROW("..\\..\\a", "a"),
        ROW("a/b/", "file"),
        ROW("", "file"),
        ROW("...", "file"),
        ROW(". .a", "a"),
        ROW("a\0b", "a_b"),
        ROW("\xff\xfe", "__"),
        ROW("na\xc3\xafve", "na\xc3\xafve"),
        ROW("cut \xc3", "cut _"),
        ROW("\xe2\x80\xae"
            "fdp.exe",
            "_fdp.exe"),
        ROW("a  ", "a"),
    };
    char name[FILE_NAME_BYTES_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct edge said = edge_copy(rows[i].said, rows[i].bytes);
        file_name_make(said.bytes, rows[i].bytes, name);
        assert_string_equal(name, rows[i].name);
        munmap(said.map, said.map_bytes);
    }
}

static void a_long_name_keeps_its_ending_and_whole_characters(void **state)
{
    char said[1000], name[FILE_NAME_BYTES_MAX + 1];
    (void)state;
    for (size_t i = 0; i + 2 < sizeof said; i += 2)
        memcpy(said + i, "\xc3\xa9", 2);
    memcpy(said + sizeof said - 4, ".png", 4);
    file_name_make(said, sizeof said, name);
    assert_int_equal(strlen(name), FILE_NAME_BYTES_MAX);
    assert_string_equal(name + FILE_NAME_BYTES_MAX - 6, "\xc3\xa9.png");
    file_name_make(said, sizeof said - 5, name); /* ends within a character, and has no ending */
    assert_int_equal(strlen(name), FILE_NAME_BYTES_MAX);
}

static void what_is_said_of_a_file_is_read_back(void **state)
{
    const struct file_about about = {.id = ID,
                                     .owner = "alice",
                                     .name = "photo of a cat.jpg",
                                     .sha256 = HASH,
                                     .bytes = 48213,
                                     .created_at = 1705589076.25};
    struct file_about read;
    char text[FILE_ABOUT_BYTES_MAX];
    (void)state;
    const size_t bytes = file_about_format(&about, text);
    assert_int_equal(file_about_parse(ID, text, bytes, &read), 0);
    assert_string_equal(read.id, ID);
    assert_string_equal(read.owner, about.owner);
    assert_string_equal(read.name, about.name);
    assert_string_equal(read.sha256, about.sha256);
    assert_true(read.bytes == about.bytes && read.created_at == about.created_at);
    for (size_t cut = 0; cut < bytes; cut++) { /* whatever the disk has lost of it */
        struct edge piece = edge_copy(text, cut);
        assert_int_equal(file_about_parse(ID, piece.bytes, cut, &read), -EINVAL);
        munmap(piece.map, piece.map_bytes);
    }
}

static void what_somebody_else_wrote_is_refused(void **state)
{
    static const char *const texts[] = {
        "millrace-file 2\nowner \nname a\nbytes 1\nsha256 " HASH "\ncreated 1\n",
        "millrace-file 1\nowner a b\nname a\nbytes 1\nsha256 " HASH "\ncreated 1\n",
        "millrace-file 1\nowner \nname a\nbytes -1\nsha256 " HASH "\ncreated 1\n",
        "millrace-file 1\nowner \nname a\nbytes 1\nsha256 abc\ncreated 1\n",
        "millrace-file 1\nowner \nname a\nbytes 1\nsha256 " HASH "\ncreated x\n",
        "millrace-file 1\nowner \nname a\nbytes 1\nsha256 " HASH "\ncreated 1\nmore\n",
        "owner \nmillrace-file 1\nname a\nbytes 1\nsha256 " HASH "\ncreated 1\n",
    };
    struct file_about read;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_int_equal(file_about_parse(ID, texts[i], strlen(texts[i]), &read), -EINVAL);
    static const char fine[] =
        "millrace-file 1\nowner \nname ../a\nbytes 1\nsha256 " HASH "\ncreated 1\n";
    assert_int_equal(file_about_parse(ID, fine, sizeof fine - 1, &read), 0);
    assert_string_equal(read.name, "a");
}

static void an_id_is_the_word_and_32_digits(void **state)
{
    (void)state;
    assert_true(file_id_is_valid(ID, sizeof ID - 1));
    assert_false(file_id_is_valid(ID, sizeof ID - 2));
    assert_false(file_id_is_valid("file_0123456789abcdef0123456789abcdeF", 37));
    assert_false(file_id_is_valid("file_../456789abcdef0123456789abcdef0", 37));
    assert_false(file_id_is_valid("part_0123456789abcdef0123456789abcdef", 37));
}

static void one_range_of_bytes_is_understood(void **state)
{
    static const struct {
        const char *field;
        enum http_range_result result;
        uint64_t first, bytes;
    } rows[] = {
        {"bytes=0-0", HTTP_RANGE_PART, 0, 1},
        {"bytes=0-99", HTTP_RANGE_PART, 0, 100},
        {"bytes=0-100", HTTP_RANGE_PART, 0, 100},
        {"bytes=99-", HTTP_RANGE_PART, 99, 1},
        {"bytes=-1", HTTP_RANGE_PART, 99, 1},
        {"bytes=-1000", HTTP_RANGE_PART, 0, 100},
        {"BYTES= 1-2", HTTP_RANGE_PART, 1, 2},
        {"bytes=5-18446744073709551617", HTTP_RANGE_PART, 5, 95},
        {"bytes=100-", HTTP_RANGE_NONE, 0, 0},
        {"bytes=18446744073709551617-", HTTP_RANGE_NONE, 0, 0},
        {"bytes=-0", HTTP_RANGE_NONE, 0, 0},
        {"bytes=2-1", HTTP_RANGE_ALL, 0, 0},
        {"bytes=1-2,4-5", HTTP_RANGE_ALL, 0, 0},
        {"bytes=-", HTTP_RANGE_ALL, 0, 0},
        {"bytes=1", HTTP_RANGE_ALL, 0, 0},
        {"bytes=", HTTP_RANGE_ALL, 0, 0},
        {"bytes", HTTP_RANGE_ALL, 0, 0},
        {"", HTTP_RANGE_ALL, 0, 0},
        {"lines=1-2", HTTP_RANGE_ALL, 0, 0},
        {"bytes=+1-2", HTTP_RANGE_ALL, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_range range = {0, 0};
        struct edge field = edge_copy(rows[i].field, strlen(rows[i].field));
        const struct http_text text = {field.bytes, strlen(rows[i].field)};
        assert_int_equal(http_range_read(text, 100, &range), rows[i].result);
        if (rows[i].result == HTTP_RANGE_PART)
            assert_true(range.first == rows[i].first && range.bytes == rows[i].bytes);
        assert_int_not_equal(http_range_read(text, 0, &range), HTTP_RANGE_PART);
        munmap(field.map, field.map_bytes);
    }
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_what_follows_the_last_slash_and_can_be_shown),
        cmocka_unit_test(a_long_name_keeps_its_ending_and_whole_characters),
        cmocka_unit_test(what_is_said_of_a_file_is_read_back),
        cmocka_unit_test(what_somebody_else_wrote_is_refused),
        cmocka_unit_test(an_id_is_the_word_and_32_digits),
        cmocka_unit_test(one_range_of_bytes_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
