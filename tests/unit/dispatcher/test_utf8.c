/* SPDX-License-Identifier: MIT */
/*
 * test_utf8.c - every code point is accepted, and everything else is refused where it goes wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/text/utf8.h"
#include "millrace/check.h"
#include "tests/unit/dispatcher/edge.h"

/* Written from the definition, not from the code: the bits of `point`, by length. */
static size_t encode(uint8_t *out, uint32_t point, size_t bytes)
{
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = bytes; i-- > 1;) {
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (uint8_t)(leads[bytes] | point);
    return bytes;
}

static size_t shortest(uint32_t point)
{
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

static bool is_surrogate(uint32_t point)
{
    return point >= 0xd800 && point <= 0xdfff;
}

static void every_code_point_is_accepted_in_its_shortest_form_only(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x200000; point++) {
        for (size_t bytes = shortest(point); bytes <= 4; bytes++) {
            uint8_t text[4];
            bool is_good = bytes == shortest(point) && point <= 0x10ffff && !is_surrogate(point);
            encode(text, point, bytes);
            if (utf8_sequence(text, bytes) != (is_good ? bytes : 0))
                fail_msg("U+%X in %zu bytes", point, bytes);
        }
    }
}

static void every_pair_of_bytes_is_judged_without_looking_further(void **state)
{
    (void)state;
    struct edge edge = edge_create(2);
    uint8_t *text = edge.bytes;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        text[0] = (uint8_t)(pair >> 8);
        text[1] = (uint8_t)pair;
        bool is_two = text[0] >= 0xc2 && text[0] <= 0xdf && text[1] >= 0x80 && text[1] <= 0xbf;
        assert_int_equal(utf8_sequence(text, 2), text[0] < 0x80 ? 1 : is_two ? 2 : 0);
    }
    edge_destroy(&edge);
}

static void the_word_and_the_bytes_are_judged_alike(void **state)
{
    (void)state;
    static const uint8_t others[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                     0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xff};
    const size_t count = sizeof(others);
    for (unsigned pair = 0x8000; pair < 0x10000; pair++) {
        for (size_t i = 0; i < count * count; i++) {
            uint8_t text[4] = {(uint8_t)(pair >> 8), (uint8_t)pair, others[i / count],
                               others[i % count]};
            uint32_t word = (uint32_t)text[0] | (uint32_t)text[1] << 8 | (uint32_t)text[2] << 16 |
                            (uint32_t)text[3] << 24;
            assert_int_equal(utf8_word_sequence(word), utf8_sequence(text, 4));
        }
    }
}

static void sequences_that_are_cut_short_are_refused(void **state)
{
    (void)state;
    static const char text[] = "\xf0\x9f\x8e\xb5";
    for (size_t count = 1; count < 4; count++) {
        struct edge edge = edge_copy(text, count);
        assert_int_equal(utf8_sequence(edge.bytes, count), 0);
        edge_destroy(&edge);
    }
    assert_int_equal(utf8_sequence((const uint8_t *)text, 4), 4);
}

static void an_ill_formed_byte_is_found_at_every_offset(void **state)
{
    (void)state;
    for (size_t count = 1; count < 40; count++) {
        for (size_t bad = 0; bad < count; bad++) {
            struct edge edge = edge_create(count);
            memset(edge.bytes, 'a', count);
            ((char *)edge.bytes)[bad] = (char)0xff;
            assert_false(utf8_is_valid(edge.bytes, count));
            edge_destroy(&edge);
        }
    }
}

static void mixed_text_is_accepted_whole(void **state)
{
    (void)state;
    static const char text[] = "plain ascii, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x8e\xb5, and more";
    struct edge edge = edge_copy(text, sizeof(text));
    assert_true(utf8_is_valid(edge.bytes, sizeof(text)));
    assert_true(utf8_is_valid(NULL, 0));
    edge_destroy(&edge);
}

static bool is_hidden(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},
                  {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
    for (size_t i = 0; i < ARRAY_COUNT(hidden); i++)
        if (point >= hidden[i].first && point <= hidden[i].last)
            return true;
    return false;
}

static void every_code_point_is_shown_but_controls_and_marks_of_direction_and_line(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        uint8_t text[4];
        size_t bytes = encode(text, point, shortest(point));
        size_t expected = is_surrogate(point) || is_hidden(point) ? 0 : bytes;
        if (utf8_shown_bytes((char *)text, bytes) != expected)
            fail_msg("U+%X", point);
        /* What is left of a character when its first byte is gone is nothing that is shown. */
        for (size_t i = 1; i < bytes; i++)
            assert_int_equal(utf8_shown_bytes((char *)text + i, bytes - i), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_accepted_in_its_shortest_form_only),
        cmocka_unit_test(every_pair_of_bytes_is_judged_without_looking_further),
        cmocka_unit_test(the_word_and_the_bytes_are_judged_alike),
        cmocka_unit_test(sequences_that_are_cut_short_are_refused),
        cmocka_unit_test(an_ill_formed_byte_is_found_at_every_offset),
        cmocka_unit_test(mixed_text_is_accepted_whole),
        cmocka_unit_test(every_code_point_is_shown_but_controls_and_marks_of_direction_and_line),
    };
    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
