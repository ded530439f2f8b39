/* SPDX-License-Identifier: MIT */
/*
 * value.c - writes msgpack, for all of a worker; by hand, since this is the chunk path.
 */
#include "worker/engine/value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "millrace/protocol.h"

/* First bytes of msgpack objects. */
enum value_code {
    CODE_FIXMAP = 0x80,
    CODE_FIXARRAY = 0x90,
    CODE_FIXSTR = 0xa0,
    CODE_NIL = 0xc0,
    CODE_FALSE = 0xc2,
    CODE_TRUE = 0xc3,
    CODE_BIN8 = 0xc4,
    CODE_BIN16 = 0xc5,
    CODE_BIN32 = 0xc6,
    CODE_FLOAT32 = 0xca,
    CODE_FLOAT64 = 0xcb,
    CODE_UINT8 = 0xcc,
    CODE_UINT16 = 0xcd,
    CODE_UINT32 = 0xce,
    CODE_UINT64 = 0xcf,
    CODE_INT8 = 0xd0,
    CODE_INT16 = 0xd1,
    CODE_INT32 = 0xd2,
    CODE_INT64 = 0xd3,
    CODE_FIXEXT4 = 0xd6, /* and then the type, which is that of files: CHUNK_FILE_HEAD */
    CODE_FILE = 0x01,
    CODE_STR8 = 0xd9,
    CODE_STR16 = 0xda,
    CODE_STR32 = 0xdb,
    CODE_ARRAY16 = 0xdc,
    CODE_ARRAY32 = 0xdd,
    CODE_MAP16 = 0xde,
    CODE_MAP32 = 0xdf,
    CODE_NEGATIVE_FIXINT = 0xe0,
};

/* The codes of one kind of object with a length, by the width of that length. */
struct value_codes {
    uint8_t fix;     /* 0: there is no such form */
    uint8_t fix_max; /* longest length of the fix form */
    uint8_t eight;   /* 0: there is no such form */
    uint8_t sixteen;
    uint8_t thirtytwo;
};

static const struct value_codes string_codes = {CODE_FIXSTR, 31, CODE_STR8, CODE_STR16, CODE_STR32};
static const struct value_codes bytes_codes = {0, 0, CODE_BIN8, CODE_BIN16, CODE_BIN32};
static const struct value_codes array_codes = {CODE_FIXARRAY, 15, 0, CODE_ARRAY16, CODE_ARRAY32};
static const struct value_codes map_codes = {CODE_FIXMAP, 15, 0, CODE_MAP16, CODE_MAP32};

static int value_grow_buffer(struct mr_value *value, size_t bytes);
static int value_grow_nowhere(struct mr_value *value, size_t bytes);

void value_start(struct mr_value *value, uint8_t *begin, size_t bytes)
{
    value->begin = begin;
    value->at = begin;
    value->end = bytes > 0 ? begin + bytes : begin; /* begin may be NULL then */
    value->status = 0;
    value_expect(value);
}

void value_start_in_buffer(struct mr_value *value, struct buffer *buffer, struct error *error)
{
    value->error = error;
    value->grow = value_grow_buffer;
    value->owner = buffer;
    value_start(value, buffer->data, buffer->capacity);
}

void value_start_in_memory(struct mr_value *value, uint8_t *memory, size_t bytes)
{
    value->error = NULL;
    value->grow = value_grow_nowhere;
    value_start(value, memory, bytes);
}

void value_expect(struct mr_value *value)
{
    value->remaining = 1;
    value->depth = 0;
    value->is_dictionary = false;
    value->is_later = false;
}

bool value_is_untouched(const struct mr_value *value)
{
    return value->depth == 0 && value->remaining == 1;
}

static int value_grow_buffer(struct mr_value *value, size_t bytes)
{
    struct buffer *buffer = value->owner;
    size_t used = (size_t)(value->at - value->begin);
    if (used + bytes > VALUE_BYTES_MAX)
        return -E2BIG;
    int rc = buffer_reserve(buffer, used + bytes);
    if (rc != 0)
        return rc;
    value->begin = buffer->data;
    value->at = buffer->data + used;
    value->end = buffer->data + buffer->capacity;
    return 0;
}

static int value_grow_nowhere(struct mr_value *value, size_t bytes)
{
    (void)value;
    (void)bytes;
    return -E2BIG;
}

/* ---- failures ------------------------------------------------------------------------------ */

__attribute__((format(printf, 4, 5), cold)) static int
value_fail(struct mr_value *value, int status, enum error_type type, const char *format, ...)
{
    if (value->status == 0) {
        va_list arguments;
        va_start(arguments, format);
        if (value->error)
            error_vset(value->error, type, format, arguments);
        va_end(arguments);
        value->status = status;
    }
    return value->status;
}

/* What the innermost container announced, and what came. */
__attribute__((cold)) static int value_fail_short(struct mr_value *value)
{
    uint64_t announced = value->frames[value->depth - 1].announced;
    if (!value->is_dictionary)
        return value_fail(
            value, -EINVAL, ERROR_PIPELINE, "an array announced %llu items and %llu came",
            (unsigned long long)announced, (unsigned long long)(announced - value->remaining));
    uint64_t came = 2 * announced - value->remaining;
    return value_fail(value, -EINVAL, ERROR_PIPELINE,
                      "a dictionary announced %llu pairs and %llu came%s",
                      (unsigned long long)announced, (unsigned long long)(came / 2),
                      came % 2 ? ", then a key without its value" : "");
}

int value_check(struct mr_value *value)
{
    if (value->status != 0)
        return value->status;
    if (value->depth != 0)
        return value_fail_short(value);
    if (value->remaining != 0)
        return value_fail(value, -EINVAL, ERROR_PIPELINE, "no value was written");
    return 0;
}

/* ---- room and counting --------------------------------------------------------------------- */

__attribute__((cold, noinline)) static int value_grow(struct mr_value *value, size_t bytes)
{
    int rc = bytes > VALUE_BYTES_MAX ? -E2BIG : value->grow(value, bytes);
    if (rc == -ENOMEM)
        return value_fail(value, rc, ERROR_OOM, "out of memory for a value of %zu bytes",
                          (size_t)(value->at - value->begin) + bytes);
    if (rc != 0)
        return value_fail(value, rc, ERROR_PIPELINE, "the value is larger than %u bytes",
                          VALUE_BYTES_MAX);
    return 0;
}

static inline int value_room(struct mr_value *value, size_t bytes)
{
    if ((size_t)(value->end - value->at) >= bytes)
        return 0;
    return value_grow(value, bytes);
}

/* May one more value be written here? */
__attribute__((cold, noinline)) static int value_refuse(struct mr_value *value)
{
    if (value->status != 0)
        return value->status;
    if (value->remaining == 0)
        return value_fail(value, -EINVAL, ERROR_PIPELINE,
                          "more values were written than the one that is wanted");
    return value_fail(value, -EINVAL, ERROR_PIPELINE, "a dictionary's key is not a string");
}

static inline int value_begin(struct mr_value *value, bool is_string, size_t bytes)
{
    bool is_key = value->is_dictionary && value->remaining % 2 == 0;
    if (value->status != 0 || value->remaining == 0 || (is_key && !is_string))
        return value_refuse(value);
    return value_room(value, bytes);
}

/* Counts one value, and closes the containers that it completes. */
static inline int value_done(struct mr_value *value)
{
    value->remaining--;
    while (value->remaining == 0 && value->depth > 0) {
        const struct value_frame *frame = &value->frames[--value->depth];
        value->remaining = frame->remaining;
        value->is_dictionary = frame->in_dictionary;
    }
    return MR_ITEM;
}

/* ---- writing ------------------------------------------------------------------------------- */

static inline void value_put_8(struct mr_value *value, uint8_t byte)
{
    *value->at++ = byte;
}

static inline void value_put_16(struct mr_value *value, uint8_t code, uint16_t number)
{
    uint16_t big = __builtin_bswap16(number);
    value->at[0] = code;
    memcpy(value->at + 1, &big, sizeof big);
    value->at += 1 + sizeof big;
}

static inline void value_put_32(struct mr_value *value, uint8_t code, uint32_t number)
{
    uint32_t big = __builtin_bswap32(number);
    value->at[0] = code;
    memcpy(value->at + 1, &big, sizeof big);
    value->at += 1 + sizeof big;
}

static inline void value_put_64(struct mr_value *value, uint8_t code, uint64_t number)
{
    uint64_t big = __builtin_bswap64(number);
    value->at[0] = code;
    memcpy(value->at + 1, &big, sizeof big);
    value->at += 1 + sizeof big;
}

static inline void value_put_natural(struct mr_value *value, uint64_t natural)
{
    if (natural < 0x80)
        value_put_8(value, (uint8_t)natural);
    else if (natural <= UINT8_MAX) {
        value_put_8(value, CODE_UINT8);
        value_put_8(value, (uint8_t)natural);
    } else if (natural <= UINT16_MAX)
        value_put_16(value, CODE_UINT16, (uint16_t)natural);
    else if (natural <= UINT32_MAX)
        value_put_32(value, CODE_UINT32, (uint32_t)natural);
    else
        value_put_64(value, CODE_UINT64, natural);
}

static inline void value_put_negative(struct mr_value *value, int64_t integer)
{
    if (integer >= -32)
        value_put_8(value, (uint8_t)integer);
    else if (integer >= INT8_MIN) {
        value_put_8(value, CODE_INT8);
        value_put_8(value, (uint8_t)integer);
    } else if (integer >= INT16_MIN)
        value_put_16(value, CODE_INT16, (uint16_t)integer);
    else if (integer >= INT32_MIN)
        value_put_32(value, CODE_INT32, (uint32_t)integer);
    else
        value_put_64(value, CODE_INT64, (uint64_t)integer);
}

static inline void value_put_length(struct mr_value *value, const struct value_codes *codes,
                                    size_t count)
{
    if (codes->fix && count <= codes->fix_max)
        value_put_8(value, (uint8_t)(codes->fix | count));
    else if (codes->eight && count <= UINT8_MAX) {
        value_put_8(value, codes->eight);
        value_put_8(value, (uint8_t)count);
    } else if (count <= UINT16_MAX)
        value_put_16(value, codes->sixteen, (uint16_t)count);
    else
        value_put_32(value, codes->thirtytwo, (uint32_t)count);
}

int value_outputs(struct mr_value *value, uint32_t count)
{
    int rc = value_room(value, VALUE_HEAD_BYTES_MAX);
    if (rc == 0)
        value_put_length(value, &array_codes, count);
    return rc;
}

int value_raw(struct mr_value *value, const uint8_t *data, size_t bytes)
{
    int rc = value_room(value, bytes);
    if (rc == 0 && bytes > 0) {
        memcpy(value->at, data, bytes);
        value->at += bytes;
    }
    return rc;
}

int value_none(struct mr_value *value)
{
    int rc = value_begin(value, false, VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    value_put_8(value, CODE_NIL);
    return value_done(value);
}

int value_exhausted(struct mr_value *value)
{
    return value_raw(value, (const uint8_t *)CHUNK_EXHAUSTED, CHUNK_EXHAUSTED_BYTES);
}

int value_boolean(struct mr_value *value, bool boolean)
{
    int rc = value_begin(value, false, VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    value_put_8(value, boolean ? CODE_TRUE : CODE_FALSE);
    return value_done(value);
}

int value_integer(struct mr_value *value, int64_t integer)
{
    int rc = value_begin(value, false, VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    if (integer >= 0)
        value_put_natural(value, (uint64_t)integer);
    else
        value_put_negative(value, integer);
    return value_done(value);
}

int value_natural(struct mr_value *value, uint64_t natural)
{
    int rc = value_begin(value, false, VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    value_put_natural(value, natural);
    return value_done(value);
}

int value_fp(struct mr_value *value, double fp)
{
    int rc = value_begin(value, false, VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    uint64_t bits;
    memcpy(&bits, &fp, sizeof bits);
    value_put_64(value, CODE_FLOAT64, bits);
    return value_done(value);
}

static inline int value_text(struct mr_value *value, const struct value_codes *codes,
                             bool is_string, const void *data, size_t bytes)
{
    /* A length that no room can hold is refused before it is added to. */
    size_t wanted = bytes > VALUE_BYTES_MAX ? SIZE_MAX : bytes + VALUE_HEAD_BYTES_MAX;
    int rc = value_begin(value, is_string, wanted);
    if (rc != 0)
        return rc;
    value_put_length(value, codes, bytes);
    if (bytes > 0)
        memcpy(value->at, data, bytes);
    value->at += bytes;
    return value_done(value);
}

int value_string(struct mr_value *value, const char *text, size_t bytes)
{
    return value_text(value, &string_codes, true, text, bytes);
}

int value_bytes(struct mr_value *value, const void *data, size_t bytes)
{
    return value_text(value, &bytes_codes, false, data, bytes);
}

int value_vstringf(struct mr_value *value, const char *format, va_list arguments)
{
    int rc = value_begin(value, true, 2 * VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    va_list again;
    va_copy(again, arguments);
    /* Behind the longest head; moved down once the length is known. */
    size_t room = (size_t)(value->end - value->at) - VALUE_HEAD_BYTES_MAX;
    int wanted = vsnprintf((char *)value->at + VALUE_HEAD_BYTES_MAX, room, format, arguments);
    if (wanted >= 0 && (size_t)wanted >= room) {
        rc = value_room(value, VALUE_HEAD_BYTES_MAX + (size_t)wanted + 1);
        if (rc == 0)
            wanted = vsnprintf((char *)value->at + VALUE_HEAD_BYTES_MAX, (size_t)wanted + 1, format,
                               again);
    }
    va_end(again);
    if (rc != 0)
        return rc;
    if (wanted < 0)
        return value_fail(value, -EINVAL, ERROR_PIPELINE, "a format of a string value is invalid");
    const uint8_t *text = value->at + VALUE_HEAD_BYTES_MAX;
    value_put_length(value, &string_codes, (size_t)wanted);
    memmove(value->at, text, (size_t)wanted);
    value->at += wanted;
    return value_done(value);
}

int value_file(struct mr_value *value, uint32_t number)
{
    int rc = value_begin(value, false, CHUNK_FILE_BYTES);
    if (rc != 0)
        return rc;
    value_put_8(value, CODE_FIXEXT4);
    value_put_32(value, CODE_FILE, number);
    return value_done(value);
}

static int value_open(struct mr_value *value, const struct value_codes *codes, size_t count,
                      bool is_dictionary)
{
    int rc = value_begin(value, false, VALUE_HEAD_BYTES_MAX);
    if (rc != 0)
        return rc;
    /* Each item takes a byte at least, so this refuses early what could never be completed. */
    if (count > VALUE_BYTES_MAX)
        return value_fail(value, -E2BIG, ERROR_PIPELINE, "the value is larger than %u bytes",
                          VALUE_BYTES_MAX);
    if (value->depth == VALUE_CONTAINER_DEPTH_MAX)
        return value_fail(value, -ELOOP, ERROR_PIPELINE,
                          "the value is nested deeper than %u arrays and dictionaries",
                          VALUE_CONTAINER_DEPTH_MAX);
    value_put_length(value, codes, count);
    if (count == 0)
        return value_done(value);
    value->frames[value->depth++] = (struct value_frame){
        .remaining = value->remaining - 1,
        .announced = count,
        .in_dictionary = value->is_dictionary,
    };
    value->remaining = is_dictionary ? 2 * (uint64_t)count : count;
    value->is_dictionary = is_dictionary;
    return MR_ITEM;
}

int value_array(struct mr_value *value, size_t count)
{
    return value_open(value, &array_codes, count, false);
}

int value_dictionary(struct mr_value *value, size_t count)
{
    return value_open(value, &map_codes, count, true);
}

/* Recursion ends at VALUE_CONTAINER_DEPTH_MAX, since value_open refuses to go deeper. */
int value_object(struct mr_value *value, const struct mr_object *object)
{
    int rc;
    switch (object->type) {
    case MR_STRING:
        return value_string(value, object->u.string.bytes, object->u.string.count);
    case MR_INTEGER:
        return object->is_unsigned ? value_natural(value, object->u.natural)
                                   : value_integer(value, object->u.integer);
    case MR_FP:
        return value_fp(value, object->u.fp);
    case MR_BOOLEAN:
        return value_boolean(value, object->u.boolean);
    case MR_NONE:
        return value_none(value);
    case MR_ARRAY:
        rc = value_array(value, object->u.array.count);
        for (size_t i = 0; rc > 0 && i < object->u.array.count; i++)
            rc = value_object(value, &object->u.array.items[i]);
        return rc;
    case MR_DICTIONARY:
        rc = value_dictionary(value, object->u.dictionary.count);
        for (size_t i = 0; rc > 0 && i < object->u.dictionary.count; i++) {
            rc = value_object(value, &object->u.dictionary.pairs[i].key);
            if (rc > 0)
                rc = value_object(value, &object->u.dictionary.pairs[i].value);
        }
        return rc;
    case MR_FILE:
        return value_fail(value, -EINVAL, ERROR_PIPELINE,
                          "a file of the inputs is given out by its path, with mr_value_file()");
    case MR_STREAM:
    case MR_TYPE_COUNT:
        break;
    }
    return value_fail(value, -EINVAL, ERROR_PIPELINE, "an object has no valid type (%d)",
                      (int)object->type);
}

int value_error(struct mr_value *value, const struct error *error, bool has_traceback)
{
    value_array(value, 3);
    value_natural(value, error->type);
    value_string(value, error->text, error->bytes);
    if (has_traceback)
        return value_string(value, error->traceback, error->traceback_bytes);
    return value_none(value);
}

enum mr_type value_packed_type(uint8_t first)
{
    if (first < CODE_FIXMAP || first >= CODE_NEGATIVE_FIXINT)
        return MR_INTEGER;
    if (first < CODE_FIXARRAY)
        return MR_DICTIONARY;
    if (first < CODE_FIXSTR)
        return MR_ARRAY;
    if (first < CODE_NIL)
        return MR_STRING;
    switch (first) {
    case CODE_NIL:
        return MR_NONE;
    case CODE_FALSE:
    case CODE_TRUE:
        return MR_BOOLEAN;
    case CODE_FLOAT32:
    case CODE_FLOAT64:
        return MR_FP;
    case CODE_UINT8:
    case CODE_UINT16:
    case CODE_UINT32:
    case CODE_UINT64:
    case CODE_INT8:
    case CODE_INT16:
    case CODE_INT32:
    case CODE_INT64:
        return MR_INTEGER;
    case CODE_FIXEXT4:
        return MR_FILE;
    case CODE_ARRAY16:
    case CODE_ARRAY32:
        return MR_ARRAY;
    case CODE_MAP16:
    case CODE_MAP32:
        return MR_DICTIONARY;
    default: /* the string and byte string codes */
        return MR_STRING;
    }
}
