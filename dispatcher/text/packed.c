/* SPDX-License-Identifier: MIT */
/*
 * packed.c - the longer msgpack items, and the check of a whole object.
 */
#include "dispatcher/text/packed.h"

#include "millrace/check.h"

static inline const uint8_t *packed_take_natural(const uint8_t *in, const uint8_t *end,
                                                 size_t bytes, struct packed_item *item);
static inline const uint8_t *packed_take_signed(const uint8_t *in, const uint8_t *end, size_t bytes,
                                                struct packed_item *item);
static inline const uint8_t *packed_take_fp(const uint8_t *in, const uint8_t *end, size_t bytes,
                                            struct packed_item *item);
static inline const uint8_t *packed_take_text(const uint8_t *in, const uint8_t *end, size_t bytes,
                                              enum packed_kind kind, struct packed_item *item);
static inline const uint8_t *packed_take_container(const uint8_t *in, const uint8_t *end,
                                                   size_t bytes, enum packed_kind kind,
                                                   struct packed_item *item);

const uint8_t *packed_read_long(const uint8_t *in, const uint8_t *end, struct packed_item *item)
{
    uint8_t lead = *in++;
    mr_assert(lead >= 0xc0 && lead <= 0xdf);
    switch (lead) {
    case 0xc0:
        item->kind = PACKED_NIL;
        return in;
    case 0xc2:
    case 0xc3:
        item->kind = PACKED_BOOLEAN;
        item->u.boolean = lead == 0xc3;
        return in;
    case 0xc4:
        return packed_take_text(in, end, 1, PACKED_BINARY, item);
    case 0xc5:
        return packed_take_text(in, end, 2, PACKED_BINARY, item);
    case 0xc6:
        return packed_take_text(in, end, 4, PACKED_BINARY, item);
    case 0xca:
        return packed_take_fp(in, end, 4, item);
    case 0xcb:
        return packed_take_fp(in, end, 8, item);
    case 0xcc:
        return packed_take_natural(in, end, 1, item);
    case 0xcd:
        return packed_take_natural(in, end, 2, item);
    case 0xce:
        return packed_take_natural(in, end, 4, item);
    case 0xcf:
        return packed_take_natural(in, end, 8, item);
    case 0xd0:
        return packed_take_signed(in, end, 1, item);
    case 0xd1:
        return packed_take_signed(in, end, 2, item);
    case 0xd2:
        return packed_take_signed(in, end, 4, item);
    case 0xd3:
        return packed_take_signed(in, end, 8, item);
    case 0xd9:
        return packed_take_text(in, end, 1, PACKED_STRING, item);
    case 0xda:
        return packed_take_text(in, end, 2, PACKED_STRING, item);
    case 0xdb:
        return packed_take_text(in, end, 4, PACKED_STRING, item);
    case 0xdc:
        return packed_take_container(in, end, 2, PACKED_ARRAY, item);
    case 0xdd:
        return packed_take_container(in, end, 4, PACKED_ARRAY, item);
    case 0xde:
        return packed_take_container(in, end, 2, PACKED_MAP, item);
    case 0xdf:
        return packed_take_container(in, end, 4, PACKED_MAP, item);
    default: /* the byte that is never used, and extension types */
        return NULL;
    }
}

const uint8_t *packed_read_kind(const uint8_t *in, const uint8_t *end, enum packed_kind kind,
                                struct packed_item *item)
{
    if (in)
        in = packed_read(in, end, item);
    return in && item->kind == kind ? in : NULL;
}

const uint8_t *packed_skip(const uint8_t *in, const uint8_t *end)
{
    for (uint64_t left = 1; in && left > 0; left--) {
        struct packed_item item;
        in = packed_read(in, end, &item);
        if (in && item.kind == PACKED_ARRAY)
            left += item.u.count;
        else if (in && item.kind == PACKED_MAP)
            left += 2 * (uint64_t)item.u.count;
    }
    return in;
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

/* The number behind a lead byte: its value, or a count. `bytes` is a constant where this is
 * inlined. NULL when it is cut short. */
static inline const uint8_t *packed_take(const uint8_t *in, const uint8_t *end, size_t bytes,
                                         uint64_t *bits)
{
    if ((size_t)(end - in) < bytes)
        return NULL;
    *bits = packed_number(in, bytes);
    return in + bytes;
}

static inline const uint8_t *packed_take_natural(const uint8_t *in, const uint8_t *end,
                                                 size_t bytes, struct packed_item *item)
{
    item->kind = PACKED_NATURAL;
    return packed_take(in, end, bytes, &item->u.natural);
}

static inline const uint8_t *packed_take_signed(const uint8_t *in, const uint8_t *end, size_t bytes,
                                                struct packed_item *item)
{
    uint64_t bits;
    in = packed_take(in, end, bytes, &bits);
    if (in)
        packed_signed(bits, bytes, item);
    return in;
}

static inline const uint8_t *packed_take_fp(const uint8_t *in, const uint8_t *end, size_t bytes,
                                            struct packed_item *item)
{
    uint64_t bits;
    in = packed_take(in, end, bytes, &bits);
    if (in) {
        item->kind = PACKED_FP;
        item->u.fp = packed_fp(bits, bytes);
    }
    return in;
}

static inline const uint8_t *packed_take_text(const uint8_t *in, const uint8_t *end, size_t bytes,
                                              enum packed_kind kind, struct packed_item *item)
{
    uint64_t count;
    in = packed_take(in, end, bytes, &count);
    return in ? packed_text(in, end, kind, (uint32_t)count, item) : NULL;
}

static inline const uint8_t *packed_take_container(const uint8_t *in, const uint8_t *end,
                                                   size_t bytes, enum packed_kind kind,
                                                   struct packed_item *item)
{
    uint64_t count;
    in = packed_take(in, end, bytes, &count);
    return in ? packed_container(in, end, kind, (uint32_t)count, item) : NULL;
}
