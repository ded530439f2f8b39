/* SPDX-License-Identifier: MIT */
/*
 * http_parameter.h - fields that are a word and parameters: Content-Type, Content-Disposition.
 *
 *     form-data; name="pfile"; filename="a \"b\".txt"; filename*=UTF-8''na%C3%AFve.txt
 */
#ifndef DISPATCHER_HTTP_PARAMETER_H
#define DISPATCHER_HTTP_PARAMETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_syntax.h"
#include "millrace/check.h"

/* Is the word before the parameters this one, in any case? */
bool http_parameter_type_is(struct http_text field, const char *lower_case_word);

/* Writes the value of the first parameter of this name to `out`, quotes and backslashes resolved,
 * and cut at `room` bytes. Returns its bytes there, -ENOENT: there is none; -EINVAL: the field is
 * malformed before it. */
int64_t http_parameter_find(struct http_text field, const char *lower_case_name, char *out,
                            size_t room) MUST_USE;

/* The name of a file as Content-Disposition has it (RFC 6266): filename* in UTF-8, else filename.
 * Results as above. */
int64_t http_parameter_filename(struct http_text field, char *out, size_t room) MUST_USE;

#endif
