/* SPDX-License-Identifier: MIT */
/*
 * test_cells.c - numbers in few characters, and texts of exactly the width that was said.
 */
#include "dispatcher/cli/operate/cells.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/check.h"

static void check(void (*make)(char cell[CELL_BYTES], double number), double number,
                  const char *expected)
{
    char cell[CELL_BYTES];
    make(cell, number);
    assert_string_equal(cell, expected);
}

static void sizes_and_counts_have_a_unit_and_three_digits(void **state)
{
    (void)state;
    check(cell_size, 0, "0");
    check(cell_size, 1023, "1023");
    check(cell_size, 1024, "1.0K");
    check(cell_size, 12.3 * 1048576, "12.3M");
    check(cell_size, 1023.6 * 1024, "1.0M");
    check(cell_size, 512.0 * 1073741824, "512G");
    check(cell_count, 99999, "99999");
    check(cell_count, 123456, "123k");
    check(cell_count, 999999, "1.00M");
    check(cell_count, 12345678901234.0, "12.3T");
    check(cell_rate, 0, "0");
    check(cell_rate, 0.01, "0.1");
    check(cell_rate, 12.34, "12.3");
    check(cell_rate, 99.96, "100");
    check(cell_rate, 12345, "12.3k");
}

static void times_have_the_two_largest_units_or_three_digits(void **state)
{
    (void)state;
    check(cell_age, 0.9, "0s");
    check(cell_age, 59.9, "59s");
    check(cell_age, 192, "3m12s");
    check(cell_age, 7500, "2h05m");
    check(cell_age, 3 * 86400 + 4 * 3600, "3d04h");
    check(cell_time, 0.00012, "0.1ms");
    check(cell_time, 0.0123, "12.3ms");
    check(cell_time, 0.123, "123ms");
    check(cell_time, 0.9996, "1.00s");
    check(cell_time, 12.3, "12.3s");
    check(cell_time, 600, "600s");
    check(cell_percent, 0.126, "13%");
}

static void check_device(const char *kind, double index, const char *expected)
{
    char cell[CELL_BYTES];
    cell_device(cell, kind, index);
    assert_string_equal(cell, expected);
}

static void a_device_is_its_kind_and_its_number(void **state)
{
    (void)state;
    check_device("cuda", 2, "cuda:2");
    check_device("level-zero", 255, "level-zero:255");
    check_device("", 2, "");
    check_device("cuda", NAN, "");
    check_device("a-kind-that-nobody-knows", 1e300, "a-kind-that-:1000000");
}

static void what_is_not_known_is_a_dash_and_nothing_is_too_long(void **state)
{
    (void)state;
    void (*const makers[])(char cell[CELL_BYTES], double number) = {
        cell_size, cell_age, cell_count, cell_rate, cell_time, cell_percent};
    for (size_t i = 0; i < ARRAY_COUNT(makers); i++) {
        char cell[CELL_BYTES];
        check(makers[i], NAN, "-");
        check(makers[i], -1, "-");
        check(makers[i], INFINITY, "-");
        makers[i](cell, 1e300);
        assert_true(strlen(cell) < CELL_BYTES - 1);
    }
}

static void check_left(const char *text, size_t columns, const char *expected)
{
    struct text out = {0};
    cells_add_left(&out, text, columns);
    text_add_bytes(&out, "", 1);
    assert_string_equal(out.bytes, expected);
    text_finish(&out);
}

static void a_text_is_cut_or_filled_to_its_width(void **state)
{
    (void)state;
    check_left("abc", 5, "abc  ");
    check_left("abc", 3, "abc");
    check_left("abcd", 3, "ab~");
    check_left("abcd", 0, "");
    check_left("\xc3\xa9t\xc3\xa9", 4, "\xc3\xa9t\xc3\xa9 ");
    check_left("\xe6\xbc\xa2\xe5\xad\x97", 4, "\xe6\xbc\xa2\xe5\xad\x97");
    check_left("\xe6\xbc\xa2\xe5\xad\x97", 3, "\xe6\xbc\xa2~");
    check_left("\xe6\xbc\xa2\xe5\xad\x97", 2, "~ ");
    struct text out = {0};
    cells_add_right(&out, "12", 4);
    cells_add_right(&out, "12345", 4);
    text_add_bytes(&out, "", 1);
    assert_string_equal(out.bytes, "  12123~");
    text_finish(&out);
}

static void what_would_move_the_cursor_is_not_shown(void **state)
{
    (void)state;
    check_left("a\x1b[2J\tb\n\xff\xc2\x9b\xe2\x80\xae", 16, "a?[2J b ??????  ");
}

int main(void)
{
    alarm(20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_counts_have_a_unit_and_three_digits),
        cmocka_unit_test(times_have_the_two_largest_units_or_three_digits),
        cmocka_unit_test(a_device_is_its_kind_and_its_number),
        cmocka_unit_test(what_is_not_known_is_a_dash_and_nothing_is_too_long),
        cmocka_unit_test(a_text_is_cut_or_filled_to_its_width),
        cmocka_unit_test(what_would_move_the_cursor_is_not_shown),
    };
    return cmocka_run_group_tests_name("cells", tests, NULL, NULL);
}
