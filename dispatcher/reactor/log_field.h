/* SPDX-License-Identifier: MIT */
/*
 * log_field.h - what a log line says besides its event: keys and values of a few kinds.
 *
 * A field is a small value that borrows its texts: it is made where the event is logged, and over
 * with the call. Keys are constants of lower-case letters and underscores.
 *
 *   LOG_WORD      a name or a number that somebody else gave: quoted when it has to be; NULL: the
 *                 field is left out
 *   LOG_NAME      a word of ours of visible ASCII, without blanks, quotes, = or backslashes:
 *                 it is copied as it is
 *   LOG_TEXT      a sentence, in quotes; NULL: left out
 *   LOG_BYTES     the same, of so many bytes
 *   LOG_BLOCK     a text of several lines, as a traceback is
 *   LOG_NOTHING   no field, where a condition says so
 */
#ifndef DISPATCHER_LOG_FIELD_H
#define DISPATCHER_LOG_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum log_kind {
    LOG_KIND_NOTHING = 0,
    LOG_KIND_NATURAL,
    LOG_KIND_INTEGER,
    LOG_KIND_FP,
    LOG_KIND_BOOLEAN,
    LOG_KIND_HEX,
    LOG_KIND_NAME,
    LOG_KIND_WORD,
    LOG_KIND_TEXT,
    LOG_KIND_BLOCK,
    LOG_KIND_COUNT
};

struct log_field {
    const char *key;
    enum log_kind kind;
    union {
        uint64_t natural;
        int64_t integer;
        double fp;
        bool boolean;
        const char *text;
    } value;
    uint32_t key_bytes;
    uint32_t count; /* bytes of a text */
};

#define LOG_NOTHING ((struct log_field){.kind = LOG_KIND_NOTHING})
#define LOG_NATURAL(name, number)                                                                  \
    ((struct log_field){.key = (name),                                                             \
                        .key_bytes = (uint32_t)strlen(name),                                       \
                        .kind = LOG_KIND_NATURAL,                                                  \
                        .value.natural = (number)})
#define LOG_INTEGER(name, number)                                                                  \
    ((struct log_field){.key = (name),                                                             \
                        .key_bytes = (uint32_t)strlen(name),                                       \
                        .kind = LOG_KIND_INTEGER,                                                  \
                        .value.integer = (number)})
#define LOG_FP(name, number)                                                                       \
    ((struct log_field){.key = (name),                                                             \
                        .key_bytes = (uint32_t)strlen(name),                                       \
                        .kind = LOG_KIND_FP,                                                       \
                        .value.fp = (number)})
#define LOG_BOOLEAN(name, truth)                                                                   \
    ((struct log_field){.key = (name),                                                             \
                        .key_bytes = (uint32_t)strlen(name),                                       \
                        .kind = LOG_KIND_BOOLEAN,                                                  \
                        .value.boolean = (truth)})
/* An address: 0x and hexadecimal digits, a text in JSON. */
#define LOG_HEX(name, number)                                                                      \
    ((struct log_field){.key = (name),                                                             \
                        .key_bytes = (uint32_t)strlen(name),                                       \
                        .kind = LOG_KIND_HEX,                                                      \
                        .value.natural = (number)})
#define LOG_NAME(name, word) log_field_string((name), LOG_KIND_NAME, (word))
#define LOG_WORD(name, word) log_field_string((name), LOG_KIND_WORD, (word))
#define LOG_TEXT(name, text) log_field_string((name), LOG_KIND_TEXT, (text))
#define LOG_BYTES(name, bytes, count) log_field_bytes((name), LOG_KIND_TEXT, (bytes), (count))
#define LOG_BLOCK(name, bytes, count) log_field_bytes((name), LOG_KIND_BLOCK, (bytes), (count))

static inline struct log_field log_field_bytes(const char *key, enum log_kind kind,
                                               const char *bytes, size_t count)
{
    if (!bytes)
        return LOG_NOTHING;
    return (struct log_field){.key = key,
                              .key_bytes = (uint32_t)strlen(key),
                              .kind = kind,
                              .value.text = bytes,
                              .count = (uint32_t)count};
}

static inline struct log_field log_field_string(const char *key, enum log_kind kind,
                                                const char *string)
{
    return log_field_bytes(key, kind, string, string ? strlen(string) : 0);
}

#endif
