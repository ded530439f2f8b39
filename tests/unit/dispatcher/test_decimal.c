/* SPDX-License-Identifier: MIT */
/*
 * test_decimal.c - doubles as shortest decimals: the table of powers, the digits, the layout.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/text/decimal.h"
#include "dispatcher/text/decimal_powers.h"
#include "dispatcher/text/json_number.h"

/* ---- the table, computed anew with long numbers ---------------------------------------------- */

#define LONG_WORDS 40 /* of 32 bits, lowest first: 10^324 and 2^1100 fit */

struct long_number {
    uint32_t words[LONG_WORDS];
};

static void long_multiply(struct long_number *number, uint32_t factor)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < LONG_WORDS; i++) {
        carry += (uint64_t)number->words[i] * factor;
        number->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    assert_int_equal(carry, 0);
}

/* Returns the remainder. */
static uint32_t long_divide(struct long_number *number, uint32_t divisor)
{
    uint64_t rest = 0;
    for (size_t i = LONG_WORDS; i-- > 0;) {
        rest = rest << 32 | number->words[i];
        number->words[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint32_t)rest;
}

static bool long_bit(const struct long_number *number, int bit)
{
    return bit >= 0 && (number->words[bit / 32] >> bit % 32 & 1) != 0;
}

/* The top 128 bits, rounded up when anything lies below them. */
static struct decimal_power long_top(const struct long_number *number, bool has_rest)
{
    int top = 32 * LONG_WORDS - 1;
    while (!long_bit(number, top))
        top--;
    struct decimal_power power = {0, 0};
    for (int bit = top; bit > top - 128; bit--) {
        power.high = power.high << 1 | power.low >> 63;
        power.low = power.low << 1 | long_bit(number, bit);
    }
    for (int bit = top - 128; bit >= 0; bit--)
        has_rest |= long_bit(number, bit);
    if (has_rest && ++power.low == 0)
        power.high++;
    return power;
}

static void assert_power(int exponent, struct decimal_power expected)
{
    struct decimal_power power = decimal_powers[exponent - DECIMAL_POWER_MIN];
    assert_int_equal(power.high, expected.high);
    assert_int_equal(power.low, expected.low);
}

static void the_table_holds_every_power_of_ten_rounded_up(void **state)
{
    (void)state;
    struct long_number number = {{1}};
    for (int exponent = 0; exponent <= DECIMAL_POWER_MAX; exponent++) {
        assert_power(exponent, long_top(&number, false));
        long_multiply(&number, 10);
    }
    /* floor(2^n / 10^e) is divided by ten again and again, which loses nothing of its top. */
    number = (struct long_number){{0}};
    number.words[LONG_WORDS - 1] = 1;
    bool has_rest = false;
    for (int exponent = -1; exponent >= DECIMAL_POWER_MIN; exponent--) {
        has_rest |= long_divide(&number, 10) != 0;
        assert_power(exponent, long_top(&number, has_rest));
    }
}

/* ---- digits, against the C library ----------------------------------------------------------- */

/* How many digits printf needs to write text that reads back as `value`. It takes the closest text
 * of each length, so that just above a gap's end, at a power of two, it can need one more than we
 * do. */
static int digits_needed(double value)
{
    char text[64];
    for (int digits = 1; digits < 17; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value)
            return digits;
    }
    return 17;
}

static void assert_shortest(double value)
{
    struct decimal decimal = decimal_shortest(value);
    char text[64];
    char library[64];
    int digits = snprintf(text, sizeof(text), "%llu", (unsigned long long)decimal.digits);
    snprintf(text + digits, sizeof(text) - (size_t)digits, "e%d", decimal.exponent);
    if (strtod(text, NULL) != value)
        fail_msg("%a became %s, which is another number", value, text);
    if (decimal.digits % 10 == 0)
        fail_msg("%a became %s, which ends in 0", value, text);
    int needed = digits_needed(value);
    if (digits > needed)
        fail_msg("%a became %s, but %d digits are enough", value, text, needed);
    if (digits < needed && value != exp2(round(log2(value))))
        fail_msg("%a became %s, but needs %d digits", value, text, needed);
    /* printf rounds to the closest of that many digits; when it reads back, it must be ours. */
    snprintf(library, sizeof(library), "%.*e", digits - 1, value);
    if (strtod(library, NULL) == value) {
        char ours[64];
        snprintf(ours, sizeof(ours), "%.*e", digits - 1, strtod(text, NULL));
        assert_string_equal(ours, library);
    }
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void every_exponent_gives_the_shortest_digits(void **state)
{
    (void)state;
    static const uint64_t fractions[] = {
        0, 1, 2, 0x8000000000000, 0xffffffffffffe, 0xfffffffffffff};
    for (uint64_t exponent = 0; exponent < 0x7ff; exponent++) {
        for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
            if (exponent > 0 || fractions[i] > 0)
                assert_shortest(double_of(exponent << 52 | fractions[i]));
        }
    }
}

static void random_doubles_give_the_shortest_digits(void **state)
{
    (void)state;
    /* N= for fewer, where each step is slow, or more. */
    const char *wanted = getenv("N");
    long rounds = wanted ? strtol(wanted, NULL, 10) : 100000;
    uint64_t seed = (uint64_t)time(NULL) | 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (long i = 0; i < rounds; i++) {
        uint64_t bits = random_next(&seed) & INT64_MAX;
        if (bits != 0 && bits < UINT64_C(0x7ff) << 52)
            assert_shortest(double_of(bits));
    }
    /* Numbers as people write them, and the doubles beside them. */
    for (long i = 0; i < rounds / 2; i++) {
        double value = (double)(1 + random_next(&seed) % 1000000) / pow(10, (double)(i % 12));
        assert_shortest(value);
        assert_shortest(nextafter(value, 0));
    }
}

/* ---- layout ---------------------------------------------------------------------------------- */

static void assert_fp(double value, const char *expected)
{
    char text[JSON_NUMBER_BYTES_MAX + 1];
    char *end = json_number_fp(text, value);
    assert_true(end - text <= (ptrdiff_t)JSON_NUMBER_BYTES_MAX);
    *end = '\0';
    assert_string_equal(text, expected);
}

static void doubles_are_laid_out_as_python_does(void **state)
{
    (void)state;
    assert_fp(0.0, "0.0");
    assert_fp(-0.0, "-0.0");
    assert_fp(1.0, "1.0");
    assert_fp(-1.5, "-1.5");
    assert_fp(0.1, "0.1");
    assert_fp(0.30000000000000004, "0.30000000000000004");
    assert_fp(100.0, "100.0");
    assert_fp(123456.789, "123456.789");
    assert_fp(0.0001, "0.0001");
    assert_fp(0.00001, "1e-05");
    assert_fp(-0.00012345678901234567, "-0.00012345678901234567");
    assert_fp(1e15, "1000000000000000.0");
    assert_fp(9007199254740992.0, "9007199254740992.0");
    assert_fp(9007199254740994.0, "9007199254740994.0");
    assert_fp(9999999999999998.0, "9999999999999998.0");
    assert_fp(1e16, "1e+16");
    assert_fp(1.5e300, "1.5e+300");
    assert_fp(1e100, "1e+100");
    assert_fp(5e-324, "5e-324");
    assert_fp(DBL_MIN, "2.2250738585072014e-308");
    assert_fp(-DBL_MIN, "-2.2250738585072014e-308");
    assert_fp(DBL_MAX, "1.7976931348623157e+308");
    assert_fp(9e-265, "9e-265");
    assert_fp(1125899906842624.25, "1125899906842624.2"); /* halfway: to the even digit */
    assert_fp(1125899906842624.75, "1125899906842624.8");
    assert_fp((double)0.1f, "0.10000000149011612");
}

static void numbers_json_has_no_word_for_become_null(void **state)
{
    (void)state;
    assert_fp(NAN, "null");
    assert_fp(INFINITY, "null");
    assert_fp(-INFINITY, "null");
}

static void integers_of_every_length_are_written(void **state)
{
    (void)state;
    uint64_t edge = 1;
    char text[JSON_NUMBER_BYTES_MAX + 1];
    char expected[32];
    for (int digits = 1; digits <= 20; digits++, edge *= 10) {
        for (uint64_t value = edge - 1; value != edge + 2; value++) {
            *json_number_natural(text, value) = '\0';
            snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
            assert_string_equal(text, expected);
            *json_number_integer(text, (int64_t)value) = '\0';
            snprintf(expected, sizeof(expected), "%lld", (long long)value);
            assert_string_equal(text, expected);
        }
    }
    *json_number_natural(text, UINT64_MAX) = '\0';
    assert_string_equal(text, "18446744073709551615");
    *json_number_integer(text, INT64_MIN) = '\0';
    assert_string_equal(text, "-9223372036854775808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds_every_power_of_ten_rounded_up),
        cmocka_unit_test(every_exponent_gives_the_shortest_digits),
        cmocka_unit_test(random_doubles_give_the_shortest_digits),
        cmocka_unit_test(doubles_are_laid_out_as_python_does),
        cmocka_unit_test(numbers_json_has_no_word_for_become_null),
        cmocka_unit_test(integers_of_every_length_are_written),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
