/* SPDX-License-Identifier: MIT */
/*
 * json_out.c - one pass from msgpack to JSON text, without allocation, recursion or a second look.
 *
 * Why no write checks its room: every msgpack item of n bytes becomes at most 6n bytes of JSON, its
 * separator and its container's closing bracket included. The worst are false ("false," from one
 * byte) and control characters ("\u0001" from one); a string's header pays for quotes and comma, a
 * container's for both brackets and comma, and numbers stay far below. What is added for each
 * output is constant, and a block copy may write JSON_BLOCK_BYTES past the text. json_out_bound()
 * adds these up; a fuzz target gives exactly that much before a red zone.
 */
#include "dispatcher/text/json_out.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dispatcher/text/json_block.h"
#include "dispatcher/text/json_number.h"
#include "dispatcher/text/packed.h"
#include "dispatcher/text/utf8.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"

#define EXPANSION_MAX 6
#define WRAPPER_BYTES_MAX 48 /* {"type":"dictionary","value":,"file":null}, */
#define OVERSHOOT_BYTES_MAX 32

_Static_assert(OVERSHOOT_BYTES_MAX >= JSON_BLOCK_BYTES, "a block copy writes a whole block");

/* `text` as written by a constant; the terminating NUL is left out. */
#define WRITE_LITERAL(out, text) (memcpy(out, text, sizeof(text) - 1), (out) + sizeof(text) - 1)

/* The word of each kind, and how an output of it begins. */
#define OUTPUT_PREFIX(word) "{\"type\":\"" word "\",\"value\":"
#define OUTPUT_KIND(name)                                                                          \
    {                                                                                              \
        .word = (name), .prefix = OUTPUT_PREFIX(name), .bytes = sizeof(OUTPUT_PREFIX(name)) - 1    \
    }

struct output_kind {
    const char *word;
    char prefix[32];
    size_t bytes;
};

static int json_out_write_value(const uint8_t **in, const uint8_t *end, char **out);
static char *json_out_write_scalar(char *out, const struct packed_item *item, const uint8_t *end);
static inline char *json_out_write_text(char *out, const uint8_t *in, size_t count,
                                        const uint8_t *end);
static char *json_out_write_string(char *out, const uint8_t *in, size_t left, const uint8_t *end);
static size_t json_out_copy_clean(char *out, const uint8_t *in, size_t left, const uint8_t *end);
static size_t json_out_copy_utf8(char *out, const uint8_t *in, size_t left);
static char *json_out_write_escape(char *out, uint8_t byte);
static size_t json_out_write_character(char *out, const uint8_t *in, size_t left, size_t *used);

size_t json_out_bound(size_t bytes, size_t output_count)
{
    return EXPANSION_MAX * bytes + WRAPPER_BYTES_MAX * output_count + OVERSHOOT_BYTES_MAX;
}

static const struct output_kind output_kinds[PACKED_KIND_COUNT] = {
    [PACKED_NIL] = OUTPUT_KIND("none"),        [PACKED_BOOLEAN] = OUTPUT_KIND("boolean"),
    [PACKED_NATURAL] = OUTPUT_KIND("integer"), [PACKED_NEGATIVE] = OUTPUT_KIND("integer"),
    [PACKED_FP] = OUTPUT_KIND("fp"),           [PACKED_STRING] = OUTPUT_KIND("string"),
    [PACKED_BINARY] = OUTPUT_KIND("string"),   [PACKED_ARRAY] = OUTPUT_KIND("array"),
    [PACKED_MAP] = OUTPUT_KIND("dictionary"),
};

/* What the value at `in` is; NULL when that cannot be read. */
static const struct output_kind *json_out_output_kind_of(const uint8_t *in, const uint8_t *end)
{
    struct packed_item item;
    if (packed_read(in, end, &item) == NULL)
        return NULL;
    return &output_kinds[item.kind];
}

bool json_out_is_exhausted(const uint8_t *bytes, size_t count)
{
    return count >= CHUNK_EXHAUSTED_BYTES &&
           memcmp(bytes, CHUNK_EXHAUSTED, CHUNK_EXHAUSTED_BYTES) == 0;
}

int64_t json_out_outputs(const uint8_t *payload, size_t bytes, size_t output_count, char *out)
{
    const uint8_t *in = payload;
    const uint8_t *end = payload + bytes;
    char *text = out;
    struct packed_item list;
    mr_assert(output_count > 0);
    in = packed_read(in, end, &list);
    if (in == NULL || list.kind != PACKED_ARRAY || list.u.count != output_count)
        return -EBADMSG;
    for (size_t i = 0; i < output_count; i++) {
        if (i > 0)
            *text++ = ',';
        if (json_out_is_exhausted(in, (size_t)(end - in))) {
            in += CHUNK_EXHAUSTED_BYTES;
            text = WRITE_LITERAL(text, "{\"type\":\"none\",\"value\":null,\"file\":null}");
            continue;
        }
        const struct output_kind *kind = json_out_output_kind_of(in, end);
        if (kind == NULL)
            return -EBADMSG;
        memcpy(text, kind->prefix, sizeof(kind->prefix));
        text += kind->bytes;
        int rc = json_out_write_value(&in, end, &text);
        if (rc < 0)
            return rc;
        text = WRITE_LITERAL(text, ",\"file\":null}");
    }
    return in == end ? text - out : -EBADMSG;
}

int64_t json_out_value(const uint8_t *bytes, size_t count, size_t *consumed, const char **type,
                       char *out)
{
    const uint8_t *in = bytes;
    const uint8_t *end = bytes + count;
    char *text = out;
    const struct output_kind *kind = json_out_output_kind_of(in, end);
    if (kind == NULL)
        return -EBADMSG;
    int rc = json_out_write_value(&in, end, &text);
    if (rc < 0)
        return rc;
    *consumed = (size_t)(in - bytes);
    *type = kind->word;
    return text - out;
}

size_t json_out_text(const char *text, size_t count, char *out, size_t room)
{
    static const char ellipsis[] = "\xe2\x80\xa6\"";
    const size_t ellipsis_bytes = sizeof(ellipsis) - 1;
    const uint8_t *in = (const uint8_t *)text;
    size_t written = 1;
    size_t cut = 1; /* the last place where the ellipsis and the quote still fit */
    if (room < 8)
        return 0;
    out[0] = '"';
    while (count > 0) {
        char character[8];
        size_t used;
        size_t bytes = json_out_write_character(character, in, count, &used);
        if (written + bytes + 1 > room) {
            memcpy(out + cut, ellipsis, ellipsis_bytes);
            return cut + ellipsis_bytes;
        }
        memcpy(out + written, character, bytes);
        written += bytes;
        if (written + ellipsis_bytes <= room)
            cut = written;
        in += used;
        count -= used;
    }
    out[written++] = '"';
    return written;
}

/* A container being written: items still to come, keys counted like values, and what follows the
 * next one of them. In a map that is a colon and a comma in turn, and the colon follows the
 * keys. */
struct level {
    uint64_t left;
    char separator;
    char alternation; /* what turns one separator into the other */
};

static inline struct level json_out_level_of(const struct packed_item *container)
{
    if (container->kind == PACKED_MAP)
        return (struct level){2 * (uint64_t)container->u.count, ':', ':' ^ ','};
    return (struct level){container->u.count, ',', 0};
}

static inline bool json_out_level_wants_key(struct level level)
{
    return level.separator == ':';
}

/* One value, however nested. Returns 0, *in and *out moved past it, or what json_out_value()
 * does. */
static int json_out_write_value(const uint8_t **in, const uint8_t *end, char **out)
{
    struct level parents[VALUE_DEPTH_MAX];
    struct level here = {.left = 1, .separator = ','};
    unsigned depth = 0;
    const uint8_t *next = *in;
    char *text = *out;
    for (;;) {
        struct packed_item item;
        next = packed_read(next, end, &item);
        if (next == NULL || (json_out_level_wants_key(here) && item.kind != PACKED_STRING))
            return -EBADMSG;
        if (item.kind < PACKED_ARRAY) {
            text = json_out_write_scalar(text, &item, end);
            if (text == NULL)
                return -EILSEQ;
        } else {
            if (depth == VALUE_DEPTH_MAX)
                return -ELOOP;
            parents[depth++] = here;
            here = json_out_level_of(&item);
            *text++ = here.alternation ? '{' : '[';
            if (here.left > 0)
                continue;  /* its first item follows without a separator */
            here.left = 1; /* as if there had been one, and it was just written */
        }
        while (--here.left == 0) {
            if (depth == 0) {
                *in = next;
                *out = text;
                return 0;
            }
            *text++ = here.alternation ? '}' : ']';
            here = parents[--depth];
        }
        *text++ = here.separator;
        here.separator ^= here.alternation;
    }
}

/* Everything that is no container; NULL when it is text that is not UTF-8. */
static char *json_out_write_scalar(char *out, const struct packed_item *item, const uint8_t *end)
{
    mr_assert(item->kind < PACKED_ARRAY);
    switch (item->kind) {
    case PACKED_NIL:
        return WRITE_LITERAL(out, "null");
    case PACKED_BOOLEAN:
        return item->u.boolean ? WRITE_LITERAL(out, "true") : WRITE_LITERAL(out, "false");
    case PACKED_NATURAL:
        return json_number_natural(out, item->u.natural);
    case PACKED_NEGATIVE:
        return json_number_integer(out, item->u.negative);
    case PACKED_FP:
        return json_number_fp(out, item->u.fp);
    case PACKED_STRING:
    case PACKED_BINARY:
        return json_out_write_text(out, item->text, item->u.count, end);
    case PACKED_ARRAY:
    case PACKED_MAP:
    case PACKED_KIND_COUNT:
        break;
    }
    return NULL;
}

/* The text as a JSON string; NULL when it is not UTF-8. Most are keys and words, which one block
 * holds. */
static inline char *json_out_write_text(char *out, const uint8_t *in, size_t count,
                                        const uint8_t *end)
{
    if (count <= JSON_BLOCK_BYTES && end - in >= (ptrdiff_t)JSON_BLOCK_BYTES &&
        json_block_copy(in, out + 1) >= count) {
        out[0] = '"';
        out[count + 1] = '"';
        return out + count + 2;
    }
    return json_out_write_string(out, in, count, end);
}

/* The same for any text. */
static char *json_out_write_string(char *out, const uint8_t *in, size_t left, const uint8_t *end)
{
    *out++ = '"';
    for (;;) {
        size_t clean = json_out_copy_clean(out, in, left, end);
        in += clean;
        out += clean;
        left -= clean;
        if (left == 0)
            break;
        if (*in < 0x80) {
            out = json_out_write_escape(out, *in);
            in++;
            left--;
            continue;
        }
        size_t done = json_out_copy_utf8(out, in, left);
        if (done == 0)
            return NULL;
        in += done;
        out += done;
        left -= done;
    }
    *out++ = '"';
    return out;
}

/* Copies text that is not ASCII, which mostly goes on so: up to the next ASCII byte. Returns how
 * much it was, 0 when it is not UTF-8. */
static size_t json_out_copy_utf8(char *out, const uint8_t *in, size_t left)
{
    size_t done = 0;
    while (left - done >= sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, in + done, sizeof(word));
        memcpy(out + done, &word, sizeof(word));
        if (in[done] < 0x80)
            return done;
        size_t sequence = utf8_word_sequence(le32toh(word));
        if (sequence == 0)
            return 0;
        done += sequence;
    }
    while (done < left && in[done] >= 0x80) {
        size_t sequence = utf8_sequence(in + done, left - done);
        if (sequence == 0)
            return 0;
        for (size_t end = done + sequence; done < end; done++)
            out[done] = (char)in[done];
    }
    return done;
}

/* Copies text up to the first byte that needs more than that, and returns how much it was. `end` is
 * where reading must stop. What is beyond, up to a block, may have been written too. */
static size_t json_out_copy_clean(char *out, const uint8_t *in, size_t left, const uint8_t *end)
{
    size_t done = 0;
    /* The step is a constant, so that the next load need not wait for this block's answer. */
    while (left - done >= JSON_BLOCK_BYTES) {
        size_t clean = json_block_copy(in + done, out + done);
        if (clean < JSON_BLOCK_BYTES)
            return done + clean;
        done += JSON_BLOCK_BYTES;
    }
    if (done == left)
        return done;
    size_t clean;
    if (end - (in + done) >= (ptrdiff_t)JSON_BLOCK_BYTES) {
        clean = json_block_copy(in + done, out + done);
    } else {
        uint8_t block[JSON_BLOCK_BYTES] = {0};
        memcpy(block, in + done, left - done);
        clean = json_block_copy(block, out + done);
    }
    return clean < left - done ? done + clean : left;
}

/* The letter after the backslash; 0 where \u00XX is needed. */
static const char escape_letters[256] = {
    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',  ['\f'] = 'f',
    ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\',
};

static char *json_out_write_escape(char *out, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    char letter = escape_letters[byte];
    *out++ = '\\';
    if (letter != 0) {
        *out++ = letter;
        return out;
    }
    out = WRITE_LITERAL(out, "u00");
    *out++ = hex[byte >> 4];
    *out++ = hex[byte & 15];
    return out;
}

/* One character of a message as JSON, at most UTF8_SEQUENCE_BYTES_MAX + 2 bytes; *used is what it
 * took of the text. */
static size_t json_out_write_character(char *out, const uint8_t *in, size_t left, size_t *used)
{
    size_t sequence = utf8_sequence(in, left);
    *used = sequence == 0 ? 1 : sequence;
    if (sequence == 0)
        return (size_t)(WRITE_LITERAL(out, "\xef\xbf\xbd") - out);
    if (*in < 0x20 || *in == '"' || *in == '\\')
        return (size_t)(json_out_write_escape(out, *in) - out);
    memcpy(out, in, sequence);
    return sequence;
}
