/* SPDX-License-Identifier: MIT */
/*
 * hello.h - the body of a HELLO for tests, field by field.
 */
#ifndef TESTS_DISPATCHER_HELLO_H
#define TESTS_DISPATCHER_HELLO_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <msgpack.h>

struct hello {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
};

static inline void hello_init(struct hello *hello)
{
    msgpack_sbuffer_init(&hello->buffer);
    msgpack_packer_init(&hello->packer, &hello->buffer, msgpack_sbuffer_write);
}

static inline void hello_finish(struct hello *hello)
{
    msgpack_sbuffer_destroy(&hello->buffer);
}

static inline void hello_text(struct hello *hello, const char *text)
{
    size_t bytes = strlen(text);
    msgpack_pack_str(&hello->packer, bytes);
    msgpack_pack_str_body(&hello->packer, text, bytes);
}

/* A key and its value. */
static inline void hello_word(struct hello *hello, const char *key, const char *value)
{
    hello_text(hello, key);
    hello_text(hello, value);
}

static inline void hello_count(struct hello *hello, const char *key, uint64_t value)
{
    hello_text(hello, key);
    msgpack_pack_uint64(&hello->packer, value);
}

static inline void hello_flag(struct hello *hello, const char *key, bool value)
{
    hello_text(hello, key);
    if (value)
        msgpack_pack_true(&hello->packer);
    else
        msgpack_pack_false(&hello->packer);
}

static inline void hello_list(struct hello *hello, const char *key, size_t count)
{
    hello_text(hello, key);
    msgpack_pack_array(&hello->packer, count);
}

/* The map, and the four fields that come before inputs and outputs. */
static inline void hello_begin(struct hello *hello, const char *name)
{
    msgpack_pack_map(&hello->packer, 6);
    hello_count(hello, "protocol", 1);
    hello_count(hello, "pid", 1234);
    hello_word(hello, "name", name);
    hello_count(hello, "concurrency", 1);
}

#endif
