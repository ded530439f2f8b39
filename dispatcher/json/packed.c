/* SPDX-License-Identifier: MIT */
/*
 * packed.c - the longer msgpack items, and the check of a whole object.
 */
#include "dispatcher/json/packed.h"

#include "millrace/check.h"

/* The payload of a lead byte from 0xc0 to 0xdf: what it is, and the bytes of its number (a value,
 * or a count). PACKED_KIND_COUNT marks what is refused: the unused byte and the extension types. */
struct packed_format {
    uint8_t kind;
    uint8_t bytes;
};

static const struct packed_format formats[32] = {
    [0x00] = {PACKED_NIL, 0},        [0x01] = {PACKED_KIND_COUNT, 0}, /* never used */
    [0x02] = {PACKED_BOOLEAN, 0},    [0x03] = {PACKED_BOOLEAN, 0},
    [0x04] = {PACKED_BINARY, 1},     [0x05] = {PACKED_BINARY, 2},
    [0x06] = {PACKED_BINARY, 4},     [0x07] = {PACKED_KIND_COUNT, 0}, /* extensions */
    [0x08] = {PACKED_KIND_COUNT, 0}, [0x09] = {PACKED_KIND_COUNT, 0},
    [0x0a] = {PACKED_FP, 4},         [0x0b] = {PACKED_FP, 8},
    [0x0c] = {PACKED_NATURAL, 1},    [0x0d] = {PACKED_NATURAL, 2},
    [0x0e] = {PACKED_NATURAL, 4},    [0x0f] = {PACKED_NATURAL, 8},
    [0x10] = {PACKED_NEGATIVE, 1},   [0x11] = {PACKED_NEGATIVE, 2},
    [0x12] = {PACKED_NEGATIVE, 4},   [0x13] = {PACKED_NEGATIVE, 8},
    [0x14] = {PACKED_KIND_COUNT, 0}, [0x15] = {PACKED_KIND_COUNT, 0}, /* extensions */
    [0x16] = {PACKED_KIND_COUNT, 0}, [0x17] = {PACKED_KIND_COUNT, 0},
    [0x18] = {PACKED_KIND_COUNT, 0}, [0x19] = {PACKED_STRING, 1},
    [0x1a] = {PACKED_STRING, 2},     [0x1b] = {PACKED_STRING, 4},
    [0x1c] = {PACKED_ARRAY, 2},      [0x1d] = {PACKED_ARRAY, 4},
    [0x1e] = {PACKED_MAP, 2},        [0x1f] = {PACKED_MAP, 4},
};

static double packed_fp(uint64_t bits, size_t bytes)
{
    if (bytes == sizeof(double)) {
        double wide;
        memcpy(&wide, &bits, sizeof(wide));
        return wide;
    }
    uint32_t half = (uint32_t)bits;
    float narrow;
    memcpy(&narrow, &half, sizeof(narrow));
    return (double)narrow;
}

/* A signed number may well be positive: encoders are free to choose. */
static void packed_signed(uint64_t bits, size_t bytes, struct packed_item *item)
{
    unsigned shift = 64 - 8 * (unsigned)bytes;
    int64_t value = (int64_t)(bits << shift) >> shift;
    if (value < 0) {
        item->kind = PACKED_NEGATIVE;
        item->u.negative = value;
    } else {
        item->kind = PACKED_NATURAL;
        item->u.natural = (uint64_t)value;
    }
}

const uint8_t *packed_read_long(const uint8_t *in, const uint8_t *end, struct packed_item *item)
{
    uint8_t lead = *in++;
    mr_assert(lead >= 0xc0 && lead <= 0xdf);
    struct packed_format format = formats[lead - 0xc0];
    if ((size_t)(end - in) < format.bytes)
        return NULL;
    uint64_t bits = packed_number(in, format.bytes);
    in += format.bytes;
    enum packed_kind kind = (enum packed_kind)format.kind;
    item->kind = kind;
    switch (kind) {
    case PACKED_NIL:
        return in;
    case PACKED_BOOLEAN:
        item->u.boolean = lead == 0xc3;
        return in;
    case PACKED_NATURAL:
        item->u.natural = bits;
        return in;
    case PACKED_NEGATIVE:
        packed_signed(bits, format.bytes, item);
        return in;
    case PACKED_FP:
        item->u.fp = packed_fp(bits, format.bytes);
        return in;
    case PACKED_STRING:
    case PACKED_BINARY:
        return packed_text(in, end, kind, (uint32_t)bits, item);
    case PACKED_ARRAY:
    case PACKED_MAP:
        return packed_container(in, end, kind, (uint32_t)bits, item);
    case PACKED_KIND_COUNT:
        return NULL;
    }
    return NULL;
}

bool packed_is_sound(const uint8_t *bytes, size_t count, size_t depth_max)
{
    uint64_t left[PACKED_DEPTH_MAX + 1]; /* items still to come in each open container */
    mr_assert(depth_max <= PACKED_DEPTH_MAX);
    const uint8_t *in = bytes;
    const uint8_t *end = bytes + count;
    size_t depth = 0;
    left[0] = 1;
    do {
        struct packed_item item;
        in = packed_read(in, end, &item);
        if (in == NULL)
            return false;
        left[depth]--;
        if (item.kind == PACKED_ARRAY || item.kind == PACKED_MAP) {
            if (depth == depth_max)
                return false;
            left[++depth] = item.kind == PACKED_MAP ? 2 * (uint64_t)item.u.count : item.u.count;
        }
        while (depth > 0 && left[depth] == 0)
            depth--;
    } while (left[depth] > 0);
    return in == end;
}
