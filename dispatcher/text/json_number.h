/* SPDX-License-Identifier: MIT */
/*
 * json_number.h - numbers as JSON text.
 *
 * Each writes at most JSON_NUMBER_BYTES_MAX bytes at `out`, without a NUL, and returns the position
 * after the last one of the number; what follows there may have been overwritten.
 */
#ifndef DISPATCHER_JSON_NUMBER_H
#define DISPATCHER_JSON_NUMBER_H

#include <stdint.h>

/* "-2.2250738585072014e-308"; integers take 20. */
#define JSON_NUMBER_BYTES_MAX 24u

char *json_number_natural(char *out, uint64_t value);
char *json_number_integer(char *out, int64_t value);

/* The shortest text that reads back as the same double, as Python's repr() writes it: 1.0, 0.1,
 * 1e+16, -0.0. NaN and the infinities, for which JSON has no word, become null. */
char *json_number_fp(char *out, double value);

#endif
