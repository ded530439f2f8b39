/* SPDX-License-Identifier: MIT */
/*
 * json_scan.h - is this text JSON (RFC 8259), to the letter? And what a parser to doubles would
 * lose.
 *
 * cJSON builds the trees here, but it accepts more than JSON and keeps less of it (decision 0005).
 * The scan decides what is accepted and where it goes wrong; in the same pass it notes the numbers
 * and the strings with a NUL inside, in document order.
 */
#ifndef DISPATCHER_JSON_SCAN_H
#define DISPATCHER_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define JSON_OFFSET_NONE SIZE_MAX

/* What is wrong with a text: at which byte (JSON_OFFSET_NONE: nowhere in particular), and a short
 * sentence that may quote the text. */
struct json_error {
    size_t offset;
    char message[192];
};

enum json_token_kind {
    JSON_TOKEN_INTEGER = 0, /* fits int64_t */
    JSON_TOKEN_NATURAL,     /* an integer above INT64_MAX that fits uint64_t */
    JSON_TOKEN_FP,          /* a number with a fraction or an exponent */
    JSON_TOKEN_NUL_STRING,  /* a string value that holds U+0000 */
    JSON_TOKEN_KIND_COUNT
};

/* One value that cJSON does not carry whole. */
struct json_token {
    uint32_t value_index; /* of this value among all values of the text, in document order */
    uint32_t kind;
    union {
        int64_t integer;
        uint64_t natural;
        size_t offset; /* of an fp, in the text */
        size_t bytes;  /* of a string, decoded */
    } u;
};

/* Grows as needed; zero is empty. */
struct json_tokens {
    struct json_token *items;
    size_t count;
    size_t room;
};

/* Checks the whole of `text`. 0, or -EINVAL and the first error, or -ENOMEM. With `tokens`, which
 * are filled in, JSON that no tree here can carry is an error too: integers beyond 64 bits, very
 * long numbers, U+0000 in keys. Without (NULL), nothing but the grammar counts. Whatever the
 * result, json_tokens_finish() is called by whoever gave the tokens. */
int json_scan(const char *text, size_t bytes, struct json_tokens *tokens,
              struct json_error *error) MUST_USE;

void json_tokens_finish(struct json_tokens *tokens);

#endif
