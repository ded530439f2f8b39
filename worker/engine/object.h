/* SPDX-License-Identifier: MIT */
/*
 * object.h - msgpack from the dispatcher becomes the trees that pipelines read.
 */
#ifndef WORKER_OBJECT_H
#define WORKER_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "worker/engine/arena.h"

/* What stands for files in a tree becomes: objects of type MR_FILE. */
struct object_files {
    const struct mr_object *items;
    size_t count;
};

/* Unpacks one msgpack object of exactly `bytes` bytes. Strings stay where they are: each gets its
 * NUL in place of the byte behind it, so `bytes` must be writable, have room for one byte more, and
 * live as long as the tree, which is taken from `arena`. 0, or
 *   -EBADMSG  not one msgpack object, a key that is no string, or an extension that is not
 *             VALUE_FILE with the number of one of the files
 *   -ELOOP    nested deeper than msgpack-c's unpacker goes
 *   -ENOMEM */
int object_unpack(struct arena *arena, uint8_t *data, size_t bytes,
                  const struct object_files *files, const struct mr_object **out) MUST_USE;

/* May `object` be given where the graph declares `type`? Integers do for floats, booleans for
 * integers. */
bool object_fits(const struct mr_object *object, enum mr_type type);

/* "a string", "an integer": for messages. */
const char *object_type_name(enum mr_type type);

/* "string", "integer", ... "stream": the words of the API, and of HELLO. */
const char *object_type_word(enum mr_type type);

#endif
