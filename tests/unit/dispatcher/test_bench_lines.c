/* SPDX-License-Identifier: MIT */
/*
 * test_bench_lines.c - the load tool sees each number of a line, wherever the line ends or is cut.
 */
#include "dispatcher/cli/bench/bench_lines.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_NS UINT64_C(18000000000000000000)

struct reading {
    struct bench_lines lines;
    struct histogram latency;
    char kept[BENCH_LOOK_BYTES_MAX];
};

static struct reading *reading_new(void)
{
    struct reading *reading = calloc(1, sizeof *reading);
    assert_non_null(reading);
    reading->lines.kept = reading->kept;
    bench_lines_begin(&reading->lines);
    return reading;
}

/* The bytes lie in memory of their own, so that a sanitizer sees a read beyond them. */
static void take(struct reading *reading, const char *text, size_t count)
{
    char *exact = malloc(count > 0 ? count : 1);
    assert_non_null(exact);
    memcpy(exact, text, count);
    const struct bench_look look = {.wants_numbers = true};
    bench_lines_take(&look, &reading->lines, exact, count, NOW_NS, &reading->latency);
    free(exact);
}

/* Sequence numbers 0, 1, ... up to `last`, where `behind` follows each. */
static void expect_in_order(uint64_t first, uint64_t last, const char *behind)
{
    struct reading *reading = reading_new();
    reading->lines.count = first;
    for (uint64_t i = first; i <= last; i++) {
        char line[128];
        int count = snprintf(line, sizeof line, "{\"i\":%" PRIu64 "%s\n", i, behind);
        take(reading, line, (size_t)count);
        assert_false(reading->lines.is_wrong);
    }
    free(reading);
}

static void numbers_of_every_length_are_read_wherever_the_line_ends(void **state)
{
    (void)state;
    const char *const behind[] = {"",  "}",   ",", ",\"a\"", ",\"abc\":", ",\"abcdefgh\":0}",
                                  " ", "\xff"};
    for (size_t k = 0; k < sizeof behind / sizeof behind[0]; k++) {
        expect_in_order(0, 1200, behind[k]);
        for (uint64_t power = 10; power <= UINT64_C(1000000000000000000); power *= 10)
            expect_in_order(power - 3, power + 3, behind[k]);
    }
}

static void a_number_that_is_not_the_next_is_wrong(void **state)
{
    (void)state;
    const char *const lines[] = {"{\"i\":1}\n",  "{\"i\":00000001,\"a\":2}\n",
                                 "{\"i\":}\n",   "{\"i\":x0}\n",
                                 "{\"i\":-0}\n", "{\"i\":10000000000000000}\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct reading *reading = reading_new();
        take(reading, lines[i], strlen(lines[i]));
        assert_int_equal(reading->lines.count, 1);
        assert_true(reading->lines.is_wrong);
        free(reading);
    }
}

static void a_line_is_read_the_same_in_two_pieces(void **state)
{
    (void)state;
    static const char text[] =
        "{\"outputs\":[{\"i\":0,\"t_ns\":17999999999999990000,\"c\":\"x\"}]}\n"
        "{\"outputs\":[{\"i\":1,\"t_ns\":17999999999999990000,\"c\":\"x\"}]}\n";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct reading *reading = reading_new();
        take(reading, text, cut);
        take(reading, text + cut, sizeof text - 1 - cut);
        assert_int_equal(reading->lines.count, 2);
        assert_false(reading->lines.is_wrong);
        assert_int_equal(reading->latency.count, 2);
        uint64_t age_ns = histogram_quantile(&reading->latency, 0.5);
        assert_in_range(age_ns, 9000, 11000);
        free(reading);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_length_are_read_wherever_the_line_ends),
        cmocka_unit_test(a_number_that_is_not_the_next_is_wrong),
        cmocka_unit_test(a_line_is_read_the_same_in_two_pieces),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
