/* SPDX-License-Identifier: MIT */
/*
 * json_view.h - the parts of a JSON text as they stand in it, nothing converted.
 *
 * For `millrace run`: what a server sends is printed with every digit it has. The text is checked
 * once, in json_view_parse(); the other functions trust it.
 */
#ifndef DISPATCHER_JSON_VIEW_H
#define DISPATCHER_JSON_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "dispatcher/text/json_scan.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

/* One value, without blanks around it; memory of the text. Its first byte tells its kind: { [ " t f
 * n, else a number. */
struct json_view {
    const char *text;
    size_t bytes;
};

/* The whole text as one value: 0, -EINVAL with `error`, -ENOMEM. */
int json_view_parse(struct json_view *out, const char *text, size_t bytes,
                    struct json_error *error) MUST_USE;

/* The value of an object's key, which is plain ASCII. False: it has none, or is no object, and *out
 * is of no use. */
bool json_view_member(const struct json_view *object, const char *key, struct json_view *out);

/* Likewise; null where it has none. */
struct json_view json_view_get(const struct json_view *object, const char *key);

/* The next item of an array: begin with `item` zero. False: there are no more, or it is no
 * array. */
bool json_view_next(const struct json_view *array, struct json_view *item);

/* The next member of an object, its key as a string: begin with `key` zero. False: likewise. */
bool json_view_next_member(const struct json_view *object, struct json_view *key,
                           struct json_view *value);

bool json_view_is_string(const struct json_view *view);
bool json_view_is_null(const struct json_view *view);

/* The number, as far as a double has it. False: it is none, or one of more than 63 digits. */
bool json_view_number(const struct json_view *view, double *out);

/* Adds the characters of a string value, escapes resolved. Half a surrogate pair becomes U+FFFD. */
void json_view_string(const struct json_view *string, struct text *out);

#endif
