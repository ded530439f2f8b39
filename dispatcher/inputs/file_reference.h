/* SPDX-License-Identifier: MIT */
/*
 * file_reference.h - files that a request's inputs name, as they are packed: each by the id that an
 * upload gave it, or by a URL.
 *
 *     msgpack [input, is_url, where, name], one behind the other
 *
 * In the inputs themselves the n-th of them, counted from 0, stands as an extension of type
 * VALUE_FILE (protocol.h).
 */
#ifndef DISPATCHER_FILE_REFERENCE_H
#define DISPATCHER_FILE_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/inputs/input.h"
#include "millrace/check.h"

/* Texts are UTF-8 without NULs, and not terminated. */
struct file_reference {
    uint32_t input; /* in which it stands, from 1, as people count */
    bool is_url;
    const char *where; /* the id, or the URL; never empty */
    uint32_t where_bytes;
    const char *name; /* as its client calls it; "": it did not say */
    uint32_t name_bytes;
};

/* Appends one. Results of input_pack(). */
int file_reference_pack(struct input_packing *packing,
                        const struct file_reference *reference) MUST_USE;

/* Reads the one at `*at`, which moves behind it. 1; 0: there is none; -EBADMSG: the bytes are
 * something else. */
int file_reference_next(const uint8_t **at, const uint8_t *end,
                        struct file_reference *out) MUST_USE;

#endif
