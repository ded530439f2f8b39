/* SPDX-License-Identifier: MIT */
/*
 * decimal.c - doubles to decimals, after R. Giulietti, "The Schubfach way to render doubles"
 * (2020).
 *
 * A double is c * 2^q. All numbers nearer to it than to its neighbours lie in an interval about 2^q
 * wide. With 10^k the largest power of ten not above that width, the interval holds at least one
 * multiple of 10^k and at most one of 10^(k+1); the latter, where there is one, is shorter.
 *
 * So three numbers are compared, all in units of 10^k / 4: the double and the two ends of the
 * interval. They are products with a 128-bit power of ten, rounded to odd: the lowest bit is set
 * when anything below it was lost, so that comparing with multiples of 2 and 4 stays exact.
 */
#include "dispatcher/text/decimal.h"

#include <stdbool.h>
#include <string.h>

#include "dispatcher/text/decimal_powers.h"
#include "millrace/check.h"

#define FRACTION_BITS 52
#define HIDDEN_BIT (UINT64_C(1) << FRACTION_BITS)
#define EXPONENT_BIAS 1075 /* of c * 2^q with an integer c */
#define EXPONENT_SPECIAL 0x7ff

static int decimal_log10_of_power_of_two(int q);
static int decimal_log10_of_three_quarters(int q);
static int decimal_log2_of_power_of_ten(int e);
static uint64_t decimal_scale(struct decimal_power power, uint64_t value);
static struct decimal decimal_choose(uint64_t low, uint64_t middle, uint64_t high, bool is_odd,
                                     int k);

struct decimal decimal_shortest(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint64_t fraction = bits & (HIDDEN_BIT - 1);
    int biased = (int)(bits >> FRACTION_BITS);
    mr_assert(bits != 0);
    mr_assert(biased < EXPONENT_SPECIAL); /* neither negative nor infinite nor NaN */

    bool is_subnormal = biased == 0;
    uint64_t c = is_subnormal ? fraction : fraction | HIDDEN_BIT;
    int q = (is_subnormal ? 1 : biased) - EXPONENT_BIAS;
    /* Below a power of two the doubles are twice as dense, so that half of the interval is
     * halved. */
    bool is_uneven = fraction == 0 && biased > 1;
    int k = is_uneven ? decimal_log10_of_three_quarters(q) : decimal_log10_of_power_of_two(q);

    mr_assert(-k >= DECIMAL_POWER_MIN);
    mr_assert(-k <= DECIMAL_POWER_MAX);
    struct decimal_power power = decimal_powers[-k - DECIMAL_POWER_MIN];
    int shift = q + decimal_log2_of_power_of_ten(-k) + 1;
    uint64_t low = decimal_scale(power, (4 * c - (is_uneven ? 1 : 2)) << shift);
    uint64_t middle = decimal_scale(power, (4 * c) << shift);
    uint64_t high = decimal_scale(power, (4 * c + 2) << shift);
    return decimal_choose(low, middle, high, c % 2 == 1, k);
}

/* floor(log10(2^q)), floor(log10(3/4 * 2^q)) and floor(log2(10^e)), exact for every double. */
static int decimal_log10_of_power_of_two(int q)
{
    return (q * 1262611) >> 22;
}

static int decimal_log10_of_three_quarters(int q)
{
    return (q * 1262611 - 524031) >> 22;
}

static int decimal_log2_of_power_of_ten(int e)
{
    return (e * 1741647) >> 19;
}

/* value * power / 2^128, rounded to odd. The power is less than one unit too large, which can reach
 * only the lowest bit of the middle word: 1 there still means that nothing was lost. */
static uint64_t decimal_scale(struct decimal_power power, uint64_t value)
{
    __extension__ typedef unsigned __int128 wide;
    wide low = (wide)power.low * value;
    wide high = (wide)power.high * value + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* Takes the zeros off the end, at most sixteen. */
static struct decimal decimal_trimmed(uint64_t digits, int exponent)
{
    while (digits % 100000000 == 0) {
        digits /= 100000000;
        exponent += 8;
    }
    if (digits % 10000 == 0) {
        digits /= 10000;
        exponent += 4;
    }
    if (digits % 100 == 0) {
        digits /= 100;
        exponent += 2;
    }
    if (digits % 10 == 0) {
        digits /= 10;
        exponent++;
    }
    return (struct decimal){.digits = digits, .exponent = exponent};
}

/* Chooses between the multiples of 10^k and 10^(k+1) around the middle; all in quarters of 10^k. An
 * end belongs to the interval when c is even, since ties go to even. */
static struct decimal decimal_choose(uint64_t low, uint64_t middle, uint64_t high, bool is_odd,
                                     int k)
{
    uint64_t below = middle / 4;
    uint64_t tens = below / 10;
    bool tens_fit = low + is_odd <= 40 * tens && tens > 0;
    bool next_tens_fit = 40 * (tens + 1) + is_odd <= high;
    if (tens_fit != next_tens_fit)
        return decimal_trimmed(tens_fit ? tens : tens + 1, k + 1);

    bool below_fits = low + is_odd <= 4 * below && below > 0;
    bool above_fits = 4 * (below + 1) + is_odd <= high;
    if (below_fits != above_fits)
        return decimal_trimmed(below_fits ? below : below + 1, k);
    uint64_t half = 4 * below + 2;
    bool is_above = middle > half || (middle == half && below % 2 == 1);
    return decimal_trimmed(is_above ? below + 1 : below, k);
}
