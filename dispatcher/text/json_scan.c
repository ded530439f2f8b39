/* SPDX-License-Identifier: MIT */
/*
 * json_scan.c - a strict scan without recursion: one bit for each open container.
 */
#include "dispatcher/text/json_scan.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/json_block.h"
#include "dispatcher/text/utf8.h"
#include "millrace/limits.h"

/* cJSON copies a number into 64 bytes before it reads it. */
#define NUMBER_BYTES_MAX 63

/* After each step: a failure, the end of the text, or another value to come. */
enum step { STEP_END = 0, STEP_VALUE = 1 };

struct scan {
    const uint8_t *start;
    const uint8_t *in;
    const uint8_t *end;
    struct json_tokens *tokens;
    struct json_error *error;
    uint32_t value_count;
    size_t depth;
    uint64_t is_object[JSON_DEPTH_MAX / 64]; /* of each open container, outermost first */
};

_Static_assert(JSON_DEPTH_MAX % 64 == 0, "whole words");

static int scan_value(struct scan *scan);
static int scan_open(struct scan *scan, bool is_object);
static int scan_after(struct scan *scan);
static int scan_key(struct scan *scan);
static int scan_literal(struct scan *scan, const char *word);
static int scan_number(struct scan *scan);
static int scan_integer(struct scan *scan, const uint8_t *start);
static int scan_string_value(struct scan *scan);
static int scan_string(struct scan *scan, size_t *bytes, bool *has_nul);
static int scan_escape(struct scan *scan, size_t *bytes, bool *has_nul);
static int scan_add_token(struct scan *scan, struct json_token token);
static int scan_fail(struct scan *scan, const uint8_t *at, const char *message);

int json_scan(const char *text, size_t bytes, struct json_tokens *tokens, struct json_error *error)
{
    const uint8_t *start = (const uint8_t *)text;
    struct scan scan = {
        .start = start, .in = start, .end = start + bytes, .tokens = tokens, .error = error};
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return scan_fail(&scan, start, "a byte order mark has no place in JSON");
    int rc;
    do {
        rc = scan_value(&scan);
        if (rc == 0)
            rc = scan_after(&scan);
    } while (rc == STEP_VALUE);
    return rc;
}

void json_tokens_finish(struct json_tokens *tokens)
{
    free(tokens->items);
    *tokens = (struct json_tokens){0};
}

/* ---- the grammar --------------------------------------------------------------------------- */

/* The byte at hand after white space; 0 at the end of the text (a NUL is no JSON anywhere). */
static uint8_t scan_peek(struct scan *scan)
{
    while (scan->in < scan->end) {
        uint8_t c = *scan->in;
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return c;
        scan->in++;
    }
    return 0;
}

static bool scan_in_object(const struct scan *scan)
{
    size_t index = scan->depth - 1;
    return (scan->is_object[index / 64] >> index % 64 & 1) != 0;
}

/* One value that is no container or an empty one, with all the brackets that open before it. */
static int scan_value(struct scan *scan)
{
    int rc;
    do {
        uint8_t c = scan_peek(scan);
        if (scan->value_count == JSON_VALUE_COUNT_MAX)
            return scan_fail(scan, scan->in, "there are too many values");
        switch (c) {
        case '{':
        case '[':
            rc = scan_open(scan, c == '{');
            break;
        case '"':
            rc = scan_string_value(scan);
            break;
        case 't':
            rc = scan_literal(scan, "true");
            break;
        case 'f':
            rc = scan_literal(scan, "false");
            break;
        case 'n':
            rc = scan_literal(scan, "null");
            break;
        default:
            rc = scan_number(scan);
            break;
        }
        scan->value_count++;
    } while (rc == STEP_VALUE);
    return rc;
}

/* STEP_VALUE when something is inside, whose key was read; 0 when it is empty and closed again. */
static int scan_open(struct scan *scan, bool is_object)
{
    if (scan->depth == JSON_DEPTH_MAX)
        return scan_fail(scan, scan->in, "it is nested too deeply");
    uint64_t bit = UINT64_C(1) << scan->depth % 64;
    if (is_object)
        scan->is_object[scan->depth / 64] |= bit;
    else
        scan->is_object[scan->depth / 64] &= ~bit;
    scan->depth++;
    scan->in++;
    if (scan_peek(scan) == (is_object ? '}' : ']')) {
        scan->in++;
        scan->depth--;
        return 0;
    }
    if (!is_object)
        return STEP_VALUE;
    int rc = scan_key(scan);
    return rc == 0 ? STEP_VALUE : rc;
}

/* What follows a value: closing brackets, then a comma, or the end. */
static int scan_after(struct scan *scan)
{
    for (;;) {
        uint8_t c = scan_peek(scan);
        if (scan->depth == 0)
            return scan->in == scan->end
                       ? STEP_END
                       : scan_fail(scan, scan->in, "text follows after the value");
        bool is_object = scan_in_object(scan);
        if (c == ',') {
            scan->in++;
            if (!is_object)
                return STEP_VALUE;
            int rc = scan_key(scan);
            return rc == 0 ? STEP_VALUE : rc;
        }
        if (c != (is_object ? '}' : ']'))
            return scan_fail(scan, scan->in,
                             is_object ? "',' or '}' was expected" : "',' or ']' was expected");
        scan->in++;
        scan->depth--;
    }
}

static int scan_key(struct scan *scan)
{
    size_t bytes;
    bool has_nul = false;
    if (scan_peek(scan) != '"')
        return scan_fail(scan, scan->in, "a key in double quotes was expected");
    const uint8_t *start = scan->in;
    int rc = scan_string(scan, &bytes, &has_nul);
    if (rc < 0)
        return rc;
    if (has_nul && scan->tokens != NULL)
        return scan_fail(scan, start, "a key cannot hold \\u0000");
    if (scan_peek(scan) != ':')
        return scan_fail(scan, scan->in, "':' was expected");
    scan->in++;
    return 0;
}

static int scan_literal(struct scan *scan, const char *word)
{
    size_t bytes = strlen(word);
    if ((size_t)(scan->end - scan->in) < bytes || memcmp(scan->in, word, bytes) != 0)
        return scan_fail(scan, scan->in, "a value was expected");
    scan->in += bytes;
    return 0;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static bool scan_is_digit(const struct scan *scan)
{
    return scan->in < scan->end && *scan->in >= '0' && *scan->in <= '9';
}

/* At least one digit. */
static int scan_digits(struct scan *scan)
{
    if (!scan_is_digit(scan))
        return scan_fail(scan, scan->in, "a digit was expected");
    while (scan_is_digit(scan))
        scan->in++;
    return 0;
}

static bool scan_skip(struct scan *scan, char a, char b)
{
    if (scan->in == scan->end || (*scan->in != (uint8_t)a && *scan->in != (uint8_t)b))
        return false;
    scan->in++;
    return true;
}

static int scan_number(struct scan *scan)
{
    const uint8_t *start = scan->in;
    if (!scan_skip(scan, '-', '-') && !scan_is_digit(scan))
        return scan_fail(scan, start, "a value was expected");
    const uint8_t *digits = scan->in;
    int rc = scan_digits(scan);
    if (rc < 0)
        return rc;
    if (*digits == '0' && scan->in - digits > 1)
        return scan_fail(scan, digits, "a number cannot begin with 0 and go on");
    bool is_integer = true;
    if (scan_skip(scan, '.', '.')) {
        is_integer = false;
        rc = scan_digits(scan);
        if (rc < 0)
            return rc;
    }
    if (scan_skip(scan, 'e', 'E')) {
        is_integer = false;
        scan_skip(scan, '+', '-');
        rc = scan_digits(scan);
        if (rc < 0)
            return rc;
    }
    if (scan->tokens == NULL)
        return 0;
    if (is_integer)
        return scan_integer(scan, start);
    if (scan->in - start > NUMBER_BYTES_MAX)
        return scan_fail(scan, start, "a number is longer than 63 characters");
    return scan_add_token(scan, (struct json_token){.kind = JSON_TOKEN_FP,
                                                    .u.offset = (size_t)(start - scan->start)});
}

/* The integer from `start` up to here, exactly or not at all. */
static int scan_integer(struct scan *scan, const uint8_t *start)
{
    static const char message[] = "an integer is outside -2^63 to 2^64-1";
    bool is_negative = *start == '-';
    uint64_t magnitude = 0;
    for (const uint8_t *in = start + is_negative; in < scan->in; in++) {
        if (__builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(*in - '0'), &magnitude))
            return scan_fail(scan, start, message);
    }
    struct json_token token = {.kind = JSON_TOKEN_INTEGER};
    if (is_negative) {
        if (magnitude > (uint64_t)INT64_MAX + 1)
            return scan_fail(scan, start, message);
        token.u.integer = (int64_t)(0 - magnitude);
    } else if (magnitude > INT64_MAX) {
        token.kind = JSON_TOKEN_NATURAL;
        token.u.natural = magnitude;
    } else {
        token.u.integer = (int64_t)magnitude;
    }
    return scan_add_token(scan, token);
}

/* ---- strings ------------------------------------------------------------------------------- */

static int scan_string_value(struct scan *scan)
{
    size_t bytes;
    bool has_nul = false;
    int rc = scan_string(scan, &bytes, &has_nul);
    if (rc < 0 || !has_nul || scan->tokens == NULL)
        return rc;
    return scan_add_token(scan,
                          (struct json_token){.kind = JSON_TOKEN_NUL_STRING, .u.bytes = bytes});
}

/* Passes over printable ASCII but quotes and backslashes, a word at a time. */
static size_t scan_skip_plain(struct scan *scan)
{
    const uint8_t *start = scan->in;
    while (scan->end - scan->in >= (ptrdiff_t)sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, scan->in, sizeof(word));
        unsigned plain = json_word_special(le64toh(word));
        scan->in += plain;
        if (plain < sizeof(word))
            break;
    }
    return (size_t)(scan->in - start);
}

/* The string whose opening quote is at hand, and how many bytes it is when decoded. */
static int scan_string(struct scan *scan, size_t *bytes, bool *has_nul)
{
    size_t decoded = 0;
    const uint8_t *open = scan->in++;
    for (;;) {
        decoded += scan_skip_plain(scan);
        if (scan->in == scan->end)
            return scan_fail(scan, open, "a string is not closed");
        uint8_t c = *scan->in;
        if (c == '"') {
            scan->in++;
            *bytes = decoded;
            return 0;
        }
        if (c == '\\') {
            int rc = scan_escape(scan, &decoded, has_nul);
            if (rc < 0)
                return rc;
            continue;
        }
        if (c < 0x20)
            return scan_fail(scan, scan->in, "a control character in a string must be escaped");
        size_t sequence = utf8_sequence(scan->in, (size_t)(scan->end - scan->in));
        if (sequence == 0)
            return scan_fail(scan, scan->in, "the text is not UTF-8");
        scan->in += sequence;
        decoded += sequence;
    }
}

static int scan_hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The UTF-16 unit of the \uXXXX at `in`; -1 when it is none. */
static int32_t scan_unit_at(const struct scan *scan, const uint8_t *in)
{
    if (scan->end - in < 6 || in[0] != '\\' || in[1] != 'u')
        return -1;
    int32_t unit = 0;
    for (size_t i = 2; i < 6; i++) {
        int digit = scan_hex_value(in[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* The escape whose backslash is at hand. */
static int scan_escape(struct scan *scan, size_t *bytes, bool *has_nul)
{
    const uint8_t *start = scan->in;
    if (scan->end - start >= 2 && start[1] != 'u') {
        if (start[1] == 0 || strchr("\"\\/bfnrt", start[1]) == NULL)
            return scan_fail(scan, start, "an escape is not one of JSON's");
        scan->in += 2;
        *bytes += 1;
        return 0;
    }
    int32_t unit = scan_unit_at(scan, start);
    if (unit < 0)
        return scan_fail(scan, start, "an escape is not one of JSON's");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return scan_fail(scan, start, "half of a surrogate pair stands alone");
    scan->in += 6;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        int32_t second = scan_unit_at(scan, scan->in);
        if (second < 0xdc00 || second > 0xdfff)
            return scan_fail(scan, start, "half of a surrogate pair stands alone");
        scan->in += 6;
        *bytes += 4;
        return 0;
    }
    if (unit == 0)
        *has_nul = true;
    *bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
    return 0;
}

/* ---- what is found ------------------------------------------------------------------------- */

static int scan_add_token(struct scan *scan, struct json_token token)
{
    struct json_tokens *tokens = scan->tokens;
    if (tokens->count == tokens->room) {
        size_t room = tokens->room == 0 ? 16 : 2 * tokens->room;
        struct json_token *items = reallocarray(tokens->items, room, sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        tokens->items = items;
        tokens->room = room;
    }
    token.value_index = scan->value_count;
    tokens->items[tokens->count++] = token;
    return 0;
}

static int scan_fail(struct scan *scan, const uint8_t *at, const char *message)
{
    scan->error->offset = (size_t)(at - scan->start);
    snprintf(scan->error->message, sizeof(scan->error->message), "%s", message);
    return -EINVAL;
}
