/* SPDX-License-Identifier: MIT */
/*
 * json_number.c - integers eight digits at a time, doubles as their shortest text.
 */
#include "dispatcher/text/json_number.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/decimal.h"

static const char digit_pairs[] = "00010203040506070809"
                                  "10111213141516171819"
                                  "20212223242526272829"
                                  "30313233343536373839"
                                  "40414243444546474849"
                                  "50515253545556575859"
                                  "60616263646566676869"
                                  "70717273747576777879"
                                  "80818283848586878889"
                                  "90919293949596979899";

static const uint64_t powers_of_ten[] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

/* Decimal digits of `value`; 1 for 0. log10(2) is close to 1233/4096, one too few at most. */
static unsigned number_digit_count(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = bits * 1233 >> 12;
    return guess + (value >= powers_of_ten[guess] || guess == 0);
}

/* Writes exactly `count` digits, with leading zeros. */
static void number_write_digits(char *out, uint64_t value, unsigned count)
{
    while (count >= 2) {
        count -= 2;
        memcpy(out + count, &digit_pairs[2 * (value % 100)], 2);
        value /= 100;
    }
    if (count == 1)
        out[0] = (char)('0' + value % 10);
}

/* The eight decimal digits of `value`, below 10^8, one a byte, the first lowest: halved three
 * times, all parts of a word at once. The factors are 2^20/100 and 2^10/10, rounded up, and exact
 * for dividends of four and two digits. */
static uint64_t number_eight_digits(uint32_t value)
{
    uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = (twos * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (twos - tens * 10) << 8;
}

#define ASCII_ZEROS UINT64_C(0x3030303030303030)
#define EIGHT_DIGITS UINT64_C(100000000)

/* Below 10^8, without leading zeros. */
static char *number_write_first(char *out, uint32_t value)
{
    uint64_t digits = number_eight_digits(value);
    /* The last digit counts, also when it is 0. */
    unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;
    uint64_t text = htole64((digits | ASCII_ZEROS) >> (8 * zeros));
    memcpy(out, &text, sizeof(text));
    return out + 8 - zeros;
}

/* Below 10^8, all eight of them. */
static char *number_write_next(char *out, uint32_t value)
{
    uint64_t text = htole64(number_eight_digits(value) | ASCII_ZEROS);
    memcpy(out, &text, sizeof(text));
    return out + 8;
}

char *json_number_natural(char *out, uint64_t value)
{
    if (value < EIGHT_DIGITS)
        return number_write_first(out, (uint32_t)value);
    uint64_t high = value / EIGHT_DIGITS;
    uint32_t low = (uint32_t)(value % EIGHT_DIGITS);
    if (high < EIGHT_DIGITS)
        return number_write_next(number_write_first(out, (uint32_t)high), low);
    out = number_write_first(out, (uint32_t)(high / EIGHT_DIGITS));
    return number_write_next(number_write_next(out, (uint32_t)(high % EIGHT_DIGITS)), low);
}

char *json_number_integer(char *out, int64_t value)
{
    if (value >= 0)
        return json_number_natural(out, (uint64_t)value);
    *out++ = '-';
    return json_number_natural(out, 0 - (uint64_t)value);
}

/* Text of digits * 10^exponent, where `count` digits are given, as Python's repr() lays it out. */
static char *number_write_decimal(char *out, uint64_t digits, unsigned count, int exponent)
{
    int point = (int)count + exponent; /* where the point stands, counted from the first digit */
    if (point > 16 || point <= -4) {
        number_write_digits(out + 1, digits, count);
        out[0] = out[1];
        out[1] = '.';
        out += count == 1 ? 1 : count + 1;
        *out++ = 'e';
        *out++ = point > 0 ? '+' : '-';
        unsigned power = (unsigned)abs(point - 1);
        unsigned power_digits = power < 100 ? 2 : 3;
        number_write_digits(out, power, power_digits);
        return out + power_digits;
    }
    if (point <= 0) {
        memcpy(out, "0.000", 5);
        out += 2 - point;
        number_write_digits(out, digits, count);
        return out + count;
    }
    unsigned whole = (unsigned)point;
    if (whole < count) {
        number_write_digits(out + 1, digits, count);
        memmove(out, out + 1, whole);
        out[whole] = '.';
        return out + count + 1;
    }
    number_write_digits(out, digits, count);
    memset(out + count, '0', whole - count);
    memcpy(out + whole, ".0", 2);
    return out + whole + 2;
}

char *json_number_fp(char *out, double value)
{
    if (!isfinite(value)) {
        memcpy(out, "null", 4);
        return out + 4;
    }
    if (signbit(value)) {
        *out++ = '-';
        value = -value;
    }
    /* Whole numbers up to 2^53 are their own shortest digits. */
    if (value < 9007199254740992.0 && value == (double)(uint64_t)value) {
        out = json_number_natural(out, (uint64_t)value);
        memcpy(out, ".0", 2);
        return out + 2;
    }
    struct decimal decimal = decimal_shortest(value);
    return number_write_decimal(out, decimal.digits, number_digit_count(decimal.digits),
                                decimal.exponent);
}
