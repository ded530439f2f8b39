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

/* A number below a million as six decimal digits, two at a time: 103 / 1024 is a tenth of all that
 * are below 100. */
static inline void put_six_digits(char *at, uint32_t number)
{
    const uint32_t pairs[] = {number / 10000, number / 100 % 100, number % 100};
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t tens = pairs[i] * 103 >> 10;
        at[2 * i] = (char)('0' + tens);
        at[2 * i + 1] = (char)('0' + pairs[i] - 10 * tens);
    }
}

#endif
