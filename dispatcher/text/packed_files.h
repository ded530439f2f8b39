/* SPDX-License-Identifier: MIT */
/*
 * packed_files.h - files among the values of a worker (protocol.h), written out: each becomes the
 * dictionary that clients see in its place. The few values that have some are looked at twice, so
 * that all others are not looked at for them.
 */
#ifndef DISPATCHER_PACKED_FILES_H
#define DISPATCHER_PACKED_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/text/text.h"
#include "millrace/check.h"

/* What is known of a file; texts are borrowed. */
struct packed_file {
    const char *name, *path, *url; /* of less than 64 KiB each */
    uint64_t bytes;
};

/* Files that a value may name: false, there is none of this number. */
struct packed_files {
    void *owner;
    bool (*find)(void *owner, uint32_t number, struct packed_file *out);
};

/* Whether these bytes begin with a file. */
bool packed_is_file(const uint8_t *bytes, size_t count);

/* How often files are named in a CHUNK payload; 0 also of one that cannot be read. */
size_t packed_file_count(const uint8_t *payload, size_t bytes);

/* Adds the value at `bytes` to `out`, with {"type":"file","value":null,"file":{"name","path",
 * "size","url"}} in place of each of its files; `*consumed` is how much it took. 0; -EBADMSG: it
 * cannot be read, or names a file that is not there; -ENOMEM. */
int packed_files_expand(const uint8_t *bytes, size_t count, const struct packed_files *files,
                        size_t *consumed, struct text *out) MUST_USE;

#endif
