/* SPDX-License-Identifier: MIT */
/*
 * test_packed.c - msgpack items as msgpack-c writes them, and everything that is not an item.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <msgpack.h>
#include <cmocka.h>

#include "dispatcher/text/packed.h"
#include "tests/unit/dispatcher/edge.h"

/* Reads one item from bytes that end at an edge; it must take them all. */
static struct packed_item read_whole(const void *bytes, size_t count)
{
    struct edge edge = edge_copy(bytes, count);
    struct packed_item item;
    const uint8_t *end = (const uint8_t *)edge.bytes + count;
    assert_ptr_equal(packed_read(edge.bytes, end, &item), end);
    item.text = NULL; /* it goes with the edge */
    edge_destroy(&edge);
    return item;
}

static void assert_refused(const void *bytes, size_t count)
{
    struct edge edge = edge_copy(bytes, count);
    struct packed_item item;
    assert_null(packed_read(edge.bytes, (const uint8_t *)edge.bytes + count, &item));
    edge_destroy(&edge);
}

static void integers_of_every_width_are_read(void **state)
{
    (void)state;
    for (int bit = 0; bit <= 64; bit++) {
        uint64_t edge = bit == 64 ? 0 : UINT64_C(1) << bit;
        for (uint64_t value = edge - 2; value != edge + 2; value++) {
            msgpack_sbuffer buffer;
            msgpack_packer packer;
            msgpack_sbuffer_init(&buffer);
            msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
            msgpack_pack_uint64(&packer, value);
            struct packed_item item = read_whole(buffer.data, buffer.size);
            assert_int_equal(item.kind, PACKED_NATURAL);
            assert_int_equal(item.u.natural, value);
            msgpack_sbuffer_clear(&buffer);
            msgpack_pack_int64(&packer, (int64_t)value);
            item = read_whole(buffer.data, buffer.size);
            assert_int_equal(item.kind, (int64_t)value < 0 ? PACKED_NEGATIVE : PACKED_NATURAL);
            assert_int_equal(item.u.natural, value);
            msgpack_sbuffer_destroy(&buffer);
        }
    }
}

static void every_lead_byte_is_an_item_or_refused(void **state)
{
    (void)state;
    static const uint8_t refused[] = {0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
    uint8_t bytes[64] = {0};
    for (unsigned lead = 0; lead < 256; lead++) {
        struct packed_item item;
        bytes[0] = (uint8_t)lead;
        bool is_refused = memchr(refused, (int)lead, sizeof(refused)) != NULL;
        const uint8_t *after = packed_read(bytes, bytes + sizeof(bytes), &item);
        assert_int_equal(after == NULL, is_refused);
        for (size_t count = 0; after != NULL && count < (size_t)(after - bytes); count++)
            assert_refused(bytes, count);
    }
}

static void counts_beyond_the_bytes_are_refused_at_once(void **state)
{
    (void)state;
    assert_refused("\xdd\xff\xff\xff\xff\x00", 6);
    assert_refused("\xdf\x80\x00\x00\x00\x00\x00", 7);
    assert_refused("\x92\x00", 2);
    assert_refused("\x81\x00", 2);
    assert_refused("\xdb\xff\xff\xff\xff", 5);
    assert_refused("\xc6\xff\xff\xff\xff\x00", 6);
}

static void floats_of_both_widths_are_read(void **state)
{
    (void)state;
    struct packed_item item = read_whole("\xca\x3f\xc0\x00\x00", 5);
    assert_int_equal(item.kind, PACKED_FP);
    assert_true(item.u.fp == 1.5);
    item = read_whole("\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00", 9);
    assert_int_equal(item.kind, PACKED_FP);
    assert_true(item.u.fp == -1.5);
}

static bool is_sound(const void *bytes, size_t count, size_t depth_max)
{
    struct edge edge = edge_copy(bytes, count);
    bool answer = packed_is_sound(edge.bytes, count, depth_max);
    edge_destroy(&edge);
    return answer;
}

static void whole_objects_are_sound_and_others_are_not(void **state)
{
    (void)state;
    assert_true(is_sound("\xc0", 1, 0));
    assert_true(is_sound("\x90", 1, 1));
    assert_true(is_sound("\x82\xa1\x61\x93\x01\x02\x03\xa1\x62\x80", 10, 2));
    assert_false(is_sound("", 0, 4));
    assert_false(is_sound("\xc0\xc0", 2, 4));
    assert_false(is_sound("\x92\x01", 2, 4));
    assert_false(is_sound("\x92\x01\x91", 3, 4));
    assert_false(is_sound("\x92\x01\xc1", 3, 4));
}

static void depth_is_counted_in_containers(void **state)
{
    (void)state;
    uint8_t nested[PACKED_DEPTH_MAX + 2];
    memset(nested, 0x91, sizeof(nested));
    for (size_t depth = 0; depth <= PACKED_DEPTH_MAX; depth++) {
        nested[depth] = 0xc0;
        assert_true(is_sound(nested, depth + 1, depth));
        assert_true(depth == 0 || !is_sound(nested, depth + 1, depth - 1));
        nested[depth] = 0x91;
    }
}

static void items_of_wanted_kinds_are_read_in_a_row(void **state)
{
    static const uint8_t data[] = "\x92\x07\xa1x";
    const uint8_t *end = data + 4;
    struct packed_item list, number, text;
    (void)state;
    const uint8_t *at = packed_read_kind(data, end, PACKED_ARRAY, &list);
    at = packed_read_kind(at, end, PACKED_NATURAL, &number);
    at = packed_read_kind(at, end, PACKED_STRING, &text);
    assert_ptr_equal(at, end);
    assert_int_equal(number.u.natural, 7);
    assert_null(packed_read_kind(at, end, PACKED_STRING, &text));

    at = packed_read_kind(data, end, PACKED_MAP, &list);
    assert_null(at);
    assert_null(packed_read_kind(at, end, PACKED_NATURAL, &number));
}

static void an_item_is_skipped_with_all_that_is_in_it(void **state)
{
    static const char data[] = "\x82\xa1\x61\x93\x01\x81\x02\x90\x03\xa1\x62\x80\x07";
    const size_t item_bytes = sizeof data - 2; /* of the map; a number follows */
    (void)state;
    for (size_t bytes = 0; bytes < sizeof data; bytes++) {
        struct edge edge = edge_copy(data, bytes);
        const uint8_t *in = edge.bytes;
        const uint8_t *after = packed_skip(in, in + bytes);
        if (bytes < item_bytes)
            assert_null(after);
        else
            assert_ptr_equal(after, in + item_bytes);
        edge_destroy(&edge);
    }
    const uint8_t *malformed = (const uint8_t *)"\x92\x01\xc1";
    assert_null(packed_skip(malformed, malformed + 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_width_are_read),
        cmocka_unit_test(every_lead_byte_is_an_item_or_refused),
        cmocka_unit_test(counts_beyond_the_bytes_are_refused_at_once),
        cmocka_unit_test(floats_of_both_widths_are_read),
        cmocka_unit_test(whole_objects_are_sound_and_others_are_not),
        cmocka_unit_test(depth_is_counted_in_containers),
        cmocka_unit_test(items_of_wanted_kinds_are_read_in_a_row),
        cmocka_unit_test(an_item_is_skipped_with_all_that_is_in_it),
    };
    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
