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

#include "dispatcher/text/json_number.h"
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

/* In decimal. By way of a place of its own, since what follows the number may be overwritten. */
static inline void put_number(struct put *put, uint64_t number)
{
    char text[JSON_NUMBER_BYTES_MAX];
    put_bytes(put, text, (size_t)(json_number_natural(text, number) - text));
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
