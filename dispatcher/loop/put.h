/* SPDX-License-Identifier: MIT */
/*
 * put.h - text of a known bound into a place of fixed size, without a format to be read.
 *
 * For what is written once for each request; snprintf() took a tenth of the dispatcher's time
 * there.
 */
#ifndef DISPATCHER_PUT_H
#define DISPATCHER_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "millrace/check.h"

struct put {
    char *at;
    const char *end; /* asserted never to be passed */
};

#define PUT_INTO(array) ((struct put){(array), (array) + sizeof(array)})
#define PUT(put, literal) put_bytes((put), "" literal, sizeof(literal) - 1)

static inline void put_bytes(struct put *put, const char *bytes, size_t count)
{
    mr_assert(count <= (size_t)(put->end - put->at));
    memcpy(put->at, bytes, count);
    put->at += count;
}

static inline void put_text(struct put *put, const char *text)
{
    put_bytes(put, text, strlen(text));
}

/* In decimal. */
static inline void put_number(struct put *put, uint64_t number)
{
    char digits[20];
    size_t first = sizeof(digits);
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    put_bytes(put, digits + first, sizeof(digits) - first);
}

/* The last `width` decimal digits, with leading zeros. */
static inline void put_digits(struct put *put, uint64_t number, size_t width)
{
    mr_assert(width <= (size_t)(put->end - put->at));
    for (size_t i = width; i-- > 0; number /= 10)
        put->at[i] = (char)('0' + number % 10);
    put->at += width;
}

#endif
