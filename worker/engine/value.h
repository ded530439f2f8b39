/* SPDX-License-Identifier: MIT */
/*
 * value.h - one value being packed as msgpack: a cursor over memory that its owner grows.
 *
 *   begin                    at                  end
 *   | outputs array, values .. | free             |      grow() moves all three when it is full
 *
 * Everything that a worker sends is packed here. The chunk path: each call checks the room, writes,
 * and counts. What an array or a dictionary announced is counted down, so what is written is always
 * one well-formed msgpack object or a failure. The first failure sticks: every later call returns
 * it.
 */
#ifndef WORKER_VALUE_H
#define WORKER_VALUE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/pipeline.h"
#include "worker/engine/buffer.h"
#include "worker/engine/error.h"

/* The longest head of a msgpack object: type byte and eight bytes. */
#define VALUE_HEAD_BYTES_MAX 9u
/* Containers inside one value; the outputs array around it is one of VALUE_DEPTH_MAX. */
#define VALUE_CONTAINER_DEPTH_MAX (VALUE_DEPTH_MAX - 1)

/* An open container. */
struct value_frame {
    uint64_t remaining; /* values of the enclosing container, set aside */
    uint64_t announced; /* items or pairs of this one */
    bool in_dictionary; /* the enclosing container is one */
};

struct mr_value {
    uint8_t *at;
    uint8_t *end;
    uint8_t *begin;
    uint64_t remaining; /* values that the innermost container still wants */
    uint32_t depth;     /* open containers */
    bool is_dictionary; /* the innermost one is */
    int status;         /* 0, or the failure that sticks */
    bool is_later;      /* mr_later() or its like was called; the next three say until when */
    uint64_t due_ns;    /* CLOCK_NEVER: until it is woken */
    int later_fd;       /* -1: none */
    uint32_t later_events;
    struct error *error; /* NULL: what goes wrong is known by the result alone */
    /* Makes room for `bytes` more behind `at`. 0, -E2BIG or -ENOMEM. */
    int (*grow)(struct mr_value *value, size_t bytes);
    void *owner; /* for grow */
    struct value_frame frames[VALUE_CONTAINER_DEPTH_MAX];
};

/* Starts with room for `bytes` bytes at `begin`; grow, owner and failure are set by the caller. */
void value_start(struct mr_value *value, uint8_t *begin, size_t bytes);

/* Starts a value that grows in `buffer` (which is the owner). */
void value_start_in_buffer(struct mr_value *value, struct buffer *buffer, struct error *error);

/* Starts a value in memory that does not grow. */
void value_start_in_memory(struct mr_value *value, uint8_t *memory, size_t bytes);

/* From now on exactly one value is wanted. */
void value_expect(struct mr_value *value);

/* After user code said that it wrote one: 0, or the failure, explained. */
int value_check(struct mr_value *value) MUST_USE;

/* True when nothing was written since value_expect(). */
bool value_is_untouched(const struct mr_value *value);

/* Opens the outputs array; not counted. */
int value_outputs(struct mr_value *value, uint32_t count) MUST_USE;

/* Appends msgpack as it is; not counted. */
int value_raw(struct mr_value *value, const uint8_t *data, size_t bytes) MUST_USE;

/* An error as ERROR and FAILED carry it: type, text, and traceback or nil. MR_ITEM or a failure. */
int value_error(struct mr_value *value, const struct error *error, bool has_traceback);

/* The type of a packed value, by its first byte. */
enum mr_type value_packed_type(uint8_t first);

/* The functions behind the table of pipeline.h. MR_ITEM or a failure. */
int value_none(struct mr_value *value);
int value_exhausted(struct mr_value *value); /* CHUNK_EXHAUSTED, in place of an output */
int value_boolean(struct mr_value *value, bool boolean);
int value_integer(struct mr_value *value, int64_t integer);
int value_natural(struct mr_value *value, uint64_t natural);
int value_fp(struct mr_value *value, double fp);
int value_string(struct mr_value *value, const char *text, size_t bytes);
__attribute__((format(printf, 2, 0))) int value_vstringf(struct mr_value *value, const char *format,
                                                         va_list arguments);
int value_bytes(struct mr_value *value, const void *data, size_t bytes);
int value_file(struct mr_value *value,
               uint32_t number); /* of the run's; out_files_give() does it */
int value_array(struct mr_value *value, size_t count);
int value_dictionary(struct mr_value *value, size_t count);
int value_object(struct mr_value *value, const struct mr_object *object);

#endif
