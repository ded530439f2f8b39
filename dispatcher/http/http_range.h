/* SPDX-License-Identifier: MIT */
/*
 * http_range.h - which part of a representation is asked for, and whether the client has it already
 * (RFC 9110, 13 and 14).
 */
#ifndef DISPATCHER_HTTP_RANGE_H
#define DISPATCHER_HTTP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/http/http_parse.h"
#include "millrace/check.h"

enum http_range_result {
    HTTP_RANGE_ALL = 0, /* none is asked for, or more than one, or what cannot be understood */
    HTTP_RANGE_PART,
    HTTP_RANGE_NONE, /* what is asked for does not exist */
    HTTP_RANGE_RESULT_COUNT
};

struct http_range {
    uint64_t first, bytes;
};

/* Reads the value of a Range field for something of `size` bytes. */
enum http_range_result http_range_read(struct http_text value, uint64_t size,
                                       struct http_range *out);

/* Likewise the fields of a head, for something whose entity tag is `tag`, quotes included: an
 * If-Range of another one asks for all. */
enum http_range_result http_range_of(const struct http_head *head, const char *tag, uint64_t size,
                                     struct http_range *out);

/* Does If-None-Match say that the client has it? */
bool http_range_is_had(const struct http_head *head, const char *tag);

#endif
