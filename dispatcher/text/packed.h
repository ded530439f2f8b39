/* SPDX-License-Identifier: MIT */
/*
 * packed.h - msgpack from untrusted bytes, one item at a time.
 *
 * Nothing is allocated and nothing read past `end`. A container is only its header here: its items
 * follow. Extension types and the unused byte 0xc1 are refused like anything malformed.
 */
#ifndef DISPATCHER_PACKED_H
#define DISPATCHER_PACKED_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum packed_kind {
    PACKED_NIL = 0,
    PACKED_BOOLEAN,
    PACKED_NATURAL,
    PACKED_NEGATIVE,
    PACKED_FP,
    PACKED_STRING,
    PACKED_BINARY,
    PACKED_ARRAY,
    PACKED_MAP,
    PACKED_KIND_COUNT
};

struct packed_item {
    enum packed_kind kind;
    union {
        bool boolean;
        uint64_t natural;
        int64_t negative;
        double fp;
        uint32_t count; /* of an array's items, of a map's pairs; of text's bytes */
    } u;
    const uint8_t *text; /* of a string or binary */
};

/* A big-endian number of `bytes` 1, 2, 4 or 8 at `in`; 0 when it has none. */
static inline uint64_t packed_number(const uint8_t *in, size_t bytes)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (bytes) {
    case 1:
        return in[0];
    case 2:
        memcpy(&two, in, sizeof(two));
        return be16toh(two);
    case 4:
        memcpy(&four, in, sizeof(four));
        return be32toh(four);
    case 8:
        memcpy(&eight, in, sizeof(eight));
        return be64toh(eight);
    default:
        return 0;
    }
}

static inline const uint8_t *packed_text(const uint8_t *in, const uint8_t *end,
                                         enum packed_kind kind, uint32_t count,
                                         struct packed_item *item)
{
    if ((size_t)(end - in) < count)
        return NULL;
    item->kind = kind;
    item->u.count = count;
    item->text = in;
    return in + count;
}

/* Every item is a byte at least, so a count above the bytes that are left is refused here and
 * nobody ever acts on it. */
static inline const uint8_t *packed_container(const uint8_t *in, const uint8_t *end,
                                              enum packed_kind kind, uint32_t count,
                                              struct packed_item *item)
{
    uint64_t items = kind == PACKED_MAP ? 2 * (uint64_t)count : count;
    if ((size_t)(end - in) < items)
        return NULL;
    item->kind = kind;
    item->u.count = count;
    return in;
}

/* The items whose lead byte is 0xc0 to 0xdf. */
const uint8_t *packed_read_long(const uint8_t *in, const uint8_t *end, struct packed_item *item);

/* Reads the item at `in` (a container's header, a text with its bytes) and returns the position
 * after it; NULL when it is malformed or cut short. */
static inline const uint8_t *packed_read(const uint8_t *in, const uint8_t *end,
                                         struct packed_item *item)
{
    if (in == end)
        return NULL;
    uint8_t lead = *in;
    if (lead < 0x80) {
        item->kind = PACKED_NATURAL;
        item->u.natural = lead;
        return in + 1;
    }
    if (lead < 0x90)
        return packed_container(in + 1, end, PACKED_MAP, lead & 0x0f, item);
    if (lead < 0xa0)
        return packed_container(in + 1, end, PACKED_ARRAY, lead & 0x0f, item);
    if (lead < 0xc0)
        return packed_text(in + 1, end, PACKED_STRING, lead & 0x1f, item);
    if (lead >= 0xe0) {
        item->kind = PACKED_NEGATIVE;
        item->u.negative = (int8_t)lead;
        return in + 1;
    }
    return packed_read_long(in, end, item);
}

/* The same for an item of one kind: NULL also when it is of another, or `in` is NULL, so that
 * several can be read in a row and looked at once. */
const uint8_t *packed_read_kind(const uint8_t *in, const uint8_t *end, enum packed_kind kind,
                                struct packed_item *item);

/* The position after the item at `in` and everything in it, however deep; NULL when some of it is
 * malformed or cut short. */
const uint8_t *packed_skip(const uint8_t *in, const uint8_t *end);

/* True when `bytes` are exactly one well-formed item with everything in it, nested at most
 * `depth_max` containers deep: then nothing that is read of it fails. `depth_max` is at most
 * PACKED_DEPTH_MAX. */
#define PACKED_DEPTH_MAX 32u
bool packed_is_sound(const uint8_t *bytes, size_t count, size_t depth_max);

#endif
