/* SPDX-License-Identifier: MIT */
/*
 * decimal.h - the shortest decimal number that reads back as the same double.
 */
#ifndef DISPATCHER_DECIMAL_H
#define DISPATCHER_DECIMAL_H

#include <stdint.h>

/* digits * 10^exponent; at most 17 digits, the last one not 0. */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* The decimal with the fewest digits that rounds to `value`, and of those the one closest to it.
 * `value` is finite and above 0. */
struct decimal decimal_shortest(double value);

#endif
