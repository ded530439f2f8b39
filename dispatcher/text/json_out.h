/* SPDX-License-Identifier: MIT */
/*
 * json_out.h - msgpack from workers becomes JSON text for clients, in one pass.
 *
 * The input is a private copy of bytes an untrusted worker wrote. Nothing is allocated; the caller
 * gives room for json_out_bound() bytes, so no write needs a check of its own. Bytes of that room
 * beyond the text returned may have been touched. NaN and infinities become null (type fp); invalid
 * UTF-8, keys that are no strings and msgpack extensions are refused.
 */
#ifndef DISPATCHER_JSON_OUT_H
#define DISPATCHER_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

/* Room that `bytes` of msgpack with `output_count` outputs can need as JSON. */
size_t json_out_bound(size_t bytes, size_t output_count);

/* A CHUNK payload, msgpack [output, ...] of exactly `output_count` elements, becomes the elements
 * of "outputs": {"type":"string","value":"a","file":null},{...}. Returns the bytes written, or
 *   -EILSEQ   text that is not UTF-8: the value cannot be sent
 *   -ELOOP    nested deeper than VALUE_DEPTH_MAX: likewise
 *   -EBADMSG  not the msgpack it should be: the worker's runtime is broken */
int64_t json_out_outputs(const uint8_t *payload, size_t bytes, size_t output_count,
                         char *out) MUST_USE;

/* Is this, in the place of an output, the mark of a stream that has no more items (protocol.h)?
 * Lines show it as none. */
bool json_out_is_exhausted(const uint8_t *bytes, size_t count);

/* One value without its wrapper; *consumed is how much msgpack it took, *type its word ("string",
 * "integer", "fp", "boolean", "none", "array", "dictionary"). Results as above. */
int64_t json_out_value(const uint8_t *bytes, size_t count, size_t *consumed, const char **type,
                       char *out) MUST_USE;

/* Text as a JSON string with its quotes, into at most `room` bytes. Invalid UTF-8 becomes U+FFFD;
 * text that does not fit is cut at a character and ends in "…". Returns the bytes written, 0 when
 * room < 8. Not NUL-terminated. For messages, never for values. */
size_t json_out_text(const char *text, size_t count, char *out, size_t room);

#endif
