/* SPDX-License-Identifier: MIT */
/*
 * test_json_out.c - chunks become JSON: each type, each escape, each refusal, within the bound.
 *
 * Every payload ends at an edge, and so does the room for the text, which is exactly the bound.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <msgpack.h>
#include <cmocka.h>

#include "dispatcher/text/json_block.h"
#include "dispatcher/text/json_out.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "tests/unit/dispatcher/edge.h"

/* ---- a payload being packed ------------------------------------------------------------------ */

struct payload {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
};

static void payload_init(struct payload *payload)
{
    msgpack_sbuffer_init(&payload->buffer);
    msgpack_packer_init(&payload->packer, &payload->buffer, msgpack_sbuffer_write);
}

static void payload_finish(struct payload *payload)
{
    msgpack_sbuffer_destroy(&payload->buffer);
}

static void pack_text(struct payload *payload, const char *text, size_t count)
{
    msgpack_pack_str(&payload->packer, count);
    msgpack_pack_str_body(&payload->packer, text, count);
}

/* ---- results --------------------------------------------------------------------------------- */

/* The JSON of `count` bytes of msgpack with as many outputs, in memory the caller frees; the result
 * of json_out_outputs() in *result. */
static char *outputs(const void *bytes, size_t count, size_t output_count, int64_t *result)
{
    struct edge in = edge_copy(bytes, count);
    struct edge out = edge_create(json_out_bound(count, output_count));
    *result = json_out_outputs(in.bytes, count, output_count, out.bytes);
    size_t written = *result > 0 ? (size_t)*result : 0;
    assert_true(written <= out.count);
    char *text = malloc(written + 1);
    assert_non_null(text);
    memcpy(text, out.bytes, written);
    text[written] = '\0';
    edge_destroy(&in);
    edge_destroy(&out);
    return text;
}

static void assert_outputs(const struct payload *payload, size_t output_count, const char *expected)
{
    int64_t result;
    char *text = outputs(payload->buffer.data, payload->buffer.size, output_count, &result);
    assert_int_equal(result, strlen(expected));
    assert_string_equal(text, expected);
    free(text);
}

static void assert_result(const void *bytes, size_t count, int64_t expected)
{
    int64_t result;
    free(outputs(bytes, count, 1, &result));
    assert_int_equal(result, expected);
}

/* The string `text` as the one output, without the constant text around it. */
static char *string_output(const char *text, size_t count)
{
    static const char prefix[] = "{\"type\":\"string\",\"value\":\"";
    static const char suffix[] = "\",\"file\":null}";
    struct payload payload;
    int64_t result;
    payload_init(&payload);
    msgpack_pack_array(&payload.packer, 1);
    pack_text(&payload, text, count);
    char *all = outputs(payload.buffer.data, payload.buffer.size, 1, &result);
    payload_finish(&payload);
    size_t around = sizeof(prefix) + sizeof(suffix) - 2;
    assert_true(result >= (int64_t)around);
    assert_memory_equal(all, prefix, sizeof(prefix) - 1);
    size_t value = (size_t)result - around;
    assert_string_equal(all + sizeof(prefix) - 1 + value, suffix);
    memmove(all, all + sizeof(prefix) - 1, value);
    all[value] = '\0';
    return all;
}

static void assert_string(const char *text, size_t count, const char *expected)
{
    char *output = string_output(text, count);
    assert_string_equal(output, expected);
    free(output);
}

/* ---- types ----------------------------------------------------------------------------------- */

static void every_type_has_its_word(void **state)
{
    (void)state;
    struct payload payload;
    payload_init(&payload);
    msgpack_pack_array(&payload.packer, 10);
    pack_text(&payload, "a", 1);
    msgpack_pack_int(&payload.packer, -5);
    msgpack_pack_uint64(&payload.packer, UINT64_MAX);
    msgpack_pack_true(&payload.packer);
    msgpack_pack_false(&payload.packer);
    msgpack_pack_double(&payload.packer, 1.0);
    msgpack_pack_float(&payload.packer, 0.5f);
    msgpack_pack_nil(&payload.packer);
    msgpack_pack_bin(&payload.packer, 2);
    msgpack_pack_bin_body(&payload.packer, "\xc3\xa9", 2);
    msgpack_pack_array(&payload.packer, 0);
    assert_outputs(&payload, 10,
                   "{\"type\":\"string\",\"value\":\"a\",\"file\":null},"
                   "{\"type\":\"integer\",\"value\":-5,\"file\":null},"
                   "{\"type\":\"integer\",\"value\":18446744073709551615,\"file\":null},"
                   "{\"type\":\"boolean\",\"value\":true,\"file\":null},"
                   "{\"type\":\"boolean\",\"value\":false,\"file\":null},"
                   "{\"type\":\"fp\",\"value\":1.0,\"file\":null},"
                   "{\"type\":\"fp\",\"value\":0.5,\"file\":null},"
                   "{\"type\":\"none\",\"value\":null,\"file\":null},"
                   "{\"type\":\"string\",\"value\":\"\xc3\xa9\",\"file\":null},"
                   "{\"type\":\"array\",\"value\":[],\"file\":null}");
    payload_finish(&payload);
}

static void an_exhausted_stream_is_shown_as_none_and_still_told_apart(void **state)
{
    (void)state;
    struct payload payload;
    payload_init(&payload);
    msgpack_pack_array(&payload.packer, 3);
    msgpack_sbuffer_write(&payload.buffer, CHUNK_EXHAUSTED, CHUNK_EXHAUSTED_BYTES);
    msgpack_pack_int(&payload.packer, 1);
    msgpack_sbuffer_write(&payload.buffer, CHUNK_EXHAUSTED, CHUNK_EXHAUSTED_BYTES);
    assert_outputs(&payload, 3,
                   "{\"type\":\"none\",\"value\":null,\"file\":null},"
                   "{\"type\":\"integer\",\"value\":1,\"file\":null},"
                   "{\"type\":\"none\",\"value\":null,\"file\":null}");
    const uint8_t *first = (const uint8_t *)payload.buffer.data + 1;
    assert_true(json_out_is_exhausted(first, CHUNK_EXHAUSTED_BYTES));
    assert_false(json_out_is_exhausted(first, CHUNK_EXHAUSTED_BYTES - 1));
    assert_false(json_out_is_exhausted((const uint8_t *)"\xc0\xc0\xc0\xc0", 4));
    payload_finish(&payload);
    /* Inside a value it is an extension like any other. */
    uint8_t inside[2 + CHUNK_EXHAUSTED_BYTES] = {0x91, 0x91};
    memcpy(inside + 2, CHUNK_EXHAUSTED, CHUNK_EXHAUSTED_BYTES);
    assert_result(inside, sizeof(inside), -EBADMSG);
}

static void containers_nest_with_their_separators(void **state)
{
    (void)state;
    struct payload payload;
    payload_init(&payload);
    msgpack_pack_array(&payload.packer, 1);
    msgpack_pack_map(&payload.packer, 4);
    pack_text(&payload, "a", 1);
    msgpack_pack_array(&payload.packer, 3);
    msgpack_pack_int(&payload.packer, 1);
    msgpack_pack_array(&payload.packer, 0);
    msgpack_pack_array(&payload.packer, 2);
    msgpack_pack_nil(&payload.packer);
    msgpack_pack_map(&payload.packer, 0);
    pack_text(&payload, "", 0);
    msgpack_pack_map(&payload.packer, 1);
    pack_text(&payload, "b\"", 2);
    msgpack_pack_double(&payload.packer, -0.0);
    pack_text(&payload, "c", 1);
    msgpack_pack_map(&payload.packer, 0);
    pack_text(&payload, "d", 1);
    pack_text(&payload, "", 0);
    assert_outputs(&payload, 1,
                   "{\"type\":\"dictionary\",\"value\":{\"a\":[1,[],[null,{}]],"
                   "\"\":{\"b\\\"\":-0.0},\"c\":{},\"d\":\"\"},\"file\":null}");
    payload_finish(&payload);
}

static void numbers_json_cannot_write_are_null_of_type_fp(void **state)
{
    (void)state;
    const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct payload payload;
        payload_init(&payload);
        msgpack_pack_array(&payload.packer, 1);
        msgpack_pack_double(&payload.packer, values[i]);
        assert_outputs(&payload, 1, "{\"type\":\"fp\",\"value\":null,\"file\":null}");
        payload_finish(&payload);
    }
}

/* ---- strings --------------------------------------------------------------------------------- */

static void every_ascii_character_is_escaped_or_plain(void **state)
{
    (void)state;
    static const char *const letters[0x80] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n",  ['\f'] = "\\f",
        ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\",
    };
    for (unsigned c = 0; c < 0x80; c++) {
        char text = (char)c;
        char expected[8];
        if (c < 0x20)
            snprintf(expected, sizeof(expected), "\\u%04x", c);
        else
            snprintf(expected, sizeof(expected), "%c", text);
        assert_string(&text, 1, letters[c] != NULL ? letters[c] : expected);
    }
}

static void text_that_is_not_ascii_is_sent_as_it_is(void **state)
{
    (void)state;
    static const char text[] =
        "\x7f \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xe2\x80\xa8\xe2\x80\xa9 \xed\x9f\xbf "
        "\xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf0\x9f\x8e\xb5 "
        "\xf4\x8f\xbf\xbf";
    assert_string(text, sizeof(text) - 1, text);
}

/* The block copy looks at sixteen bytes at once: each special byte at each place of texts of each
 * length around that. */
static void special_bytes_are_found_at_every_offset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *escaped;
    } specials[] = {
        {"\"", "\\\""},      {"\\", "\\\\"},           {"\n", "\\n"},
        {"\x1f", "\\u001f"}, {"\xc3\xa9", "\xc3\xa9"}, {"\xf0\x9f\x8e\xb5", "\xf0\x9f\x8e\xb5"}};
    for (size_t length = 0; length < 52; length++) {
        for (size_t offset = 0; offset <= length; offset++) {
            for (size_t i = 0; i < ARRAY_COUNT(specials); i++) {
                char text[128];
                char expected[128];
                int before = (int)offset;
                int after = (int)(length - offset);
                static const char plain[] = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ";
                int count = snprintf(text, sizeof(text), "%.*s%s%.*s", before, plain,
                                     specials[i].text, after, plain);
                snprintf(expected, sizeof(expected), "%.*s%s%.*s", before, plain,
                         specials[i].escaped, after, plain);
                assert_string(text, (size_t)count, expected);
            }
        }
    }
}

static void both_ways_of_finding_special_bytes_agree(void **state)
{
    (void)state;
    for (unsigned first = 0; first <= JSON_BLOCK_BYTES; first++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t block[JSON_BLOCK_BYTES];
            char copies[2][JSON_BLOCK_BYTES];
            memset(block, 'a', sizeof(block));
            if (first < JSON_BLOCK_BYTES)
                block[first] = (uint8_t)value;
            /* What follows must not matter, even where subtractions borrow. */
            for (unsigned i = first + 1; i < JSON_BLOCK_BYTES; i++)
                block[i] = (uint8_t)(value * i);
            unsigned vector = json_block_copy(block, copies[0]);
            unsigned portable = json_block_copy_portable(block, copies[1]);
            assert_int_equal(vector, portable);
            assert_memory_equal(copies[0], block, sizeof(block));
            assert_memory_equal(copies[1], block, sizeof(block));
            bool is_special = value < 0x20 || value >= 0x80 || value == '"' || value == '\\';
            if (first < JSON_BLOCK_BYTES && is_special)
                assert_int_equal(vector, first);
            else
                assert_true(vector > first || first == JSON_BLOCK_BYTES);
        }
    }
}

static void the_worst_text_fits_the_bound(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 15, 16, 17, 31, 32, 255, 256, 65535, 65536, 100000};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        char *text = malloc(lengths[i]);
        assert_non_null(text);
        memset(text, 1, lengths[i]);
        char *output = string_output(text, lengths[i]);
        assert_int_equal(strlen(output), 6 * lengths[i]);
        free(output);
        free(text);
    }
}

static void ten_megabytes_arrive_whole(void **state)
{
    (void)state;
    const size_t count = 10 * 1024 * 1024;
    char *text = malloc(count + 1);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        text[i] = (char)('a' + i % 26);
    text[count] = '\0';
    assert_string(text, count, text);
    free(text);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void text_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x80",         "\xff",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc3",         "\xe2\x82",     "\xf0\x9f\x8e",     "\xc3\xa9\xc3",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        for (size_t before = 0; before < 20; before++) {
            uint8_t bytes[64] = {0x91, 0xd9};
            size_t count = before + strlen(texts[i]);
            memset(bytes + 3, 'x', before);
            memcpy(bytes + 3 + before, texts[i], strlen(texts[i]));
            bytes[2] = (uint8_t)count;
            assert_result(bytes, 3 + count, -EILSEQ);
            bytes[1] = 0xc4; /* binary */
            assert_result(bytes, 3 + count, -EILSEQ);
        }
    }
    /* A sequence may not go on in what follows the string. */
    assert_result("\x91\x92\xa1\xc3\xa1\xa9", 6, -EILSEQ);
    assert_result("\x91\x81\xa1\xff\xc0", 5, -EILSEQ);
}

static void nesting_is_refused_beyond_the_limit(void **state)
{
    (void)state;
    uint8_t bytes[102];
    for (size_t depth = 0; depth <= 100; depth++) {
        bytes[0] = 0x91;
        memset(bytes + 1, 0x91, depth);
        bytes[1 + depth] = 0xc0;
        int64_t result;
        free(outputs(bytes, depth + 2, 1, &result));
        if (depth <= VALUE_DEPTH_MAX)
            assert_true(result > 0);
        else
            assert_int_equal(result, -ELOOP);
    }
    memset(bytes, 0x91, VALUE_DEPTH_MAX + 1);
    bytes[VALUE_DEPTH_MAX + 1] = 0x90; /* empty, but one container too many */
    assert_result(bytes, VALUE_DEPTH_MAX + 2, -ELOOP);
}

static void what_is_not_the_expected_msgpack_is_refused(void **state)
{
    (void)state;
    assert_result("", 0, -EBADMSG);
    assert_result("\xc0", 1, -EBADMSG);
    assert_result("\x90", 1, -EBADMSG);
    assert_result("\x91", 1, -EBADMSG);
    assert_result("\x92\xc0\xc0", 3, -EBADMSG);
    assert_result("\x91\xc0\xc0", 3, -EBADMSG);
    assert_result("\x81\xa1\x61\xc0", 4, -EBADMSG);
    assert_result("\x91\xc1", 2, -EBADMSG);
    assert_result("\x91\xd4\x01\x00", 4, -EBADMSG);
    assert_result("\x91\xc7\x00\x01", 4, -EBADMSG);
    assert_result("\x91\xa2\x61", 3, -EBADMSG);
    assert_result("\x91\xdd\xff\xff\xff\xff", 6, -EBADMSG);
    assert_result("\x91\x92\xc0", 3, -EBADMSG);
    assert_result("\x91\x82\xa1\x61\xc0", 5, -EBADMSG);
}

static void keys_that_are_no_strings_are_refused(void **state)
{
    (void)state;
    assert_result("\x91\x81\x01\xc0", 4, -EBADMSG);
    assert_result("\x91\x81\xc4\x01\x61\xc0", 6, -EBADMSG);
    assert_result("\x91\x81\x90\xc0", 4, -EBADMSG);
    assert_result("\x91\x82\xa1\x61\xc0\xc0\xc0", 7, -EBADMSG);
}

static void every_truncation_is_refused_within_its_bytes(void **state)
{
    (void)state;
    struct payload payload;
    payload_init(&payload);
    msgpack_pack_array(&payload.packer, 1);
    msgpack_pack_map(&payload.packer, 3);
    pack_text(&payload, "integer", 7);
    msgpack_pack_int64(&payload.packer, INT64_MIN);
    pack_text(&payload, "text of more than thirty-two bytes", 34);
    msgpack_pack_array(&payload.packer, 2);
    msgpack_pack_double(&payload.packer, 0.1);
    msgpack_pack_float(&payload.packer, 0.1f);
    pack_text(&payload, "c", 1);
    pack_text(&payload, "\xe2\x82\xac", 3);
    int64_t result;
    for (size_t count = 0; count < payload.buffer.size; count++)
        assert_result(payload.buffer.data, count, -EBADMSG);
    free(outputs(payload.buffer.data, payload.buffer.size, 1, &result));
    assert_true(result > 0);
    payload_finish(&payload);
}

/* ---- one value, and messages ----------------------------------------------------------------- */

static void one_value_says_how_far_it_went_and_what_it_is(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x92, 0x01, 0xc3, 0xa1, 'x', 0xc1};
    char out[256];
    size_t consumed = 99;
    const char *type = NULL;
    assert_int_equal(json_out_value(bytes, sizeof(bytes), &consumed, &type, out), 8);
    assert_memory_equal(out, "[1,true]", 8);
    assert_int_equal(consumed, 3);
    assert_string_equal(type, "array");
    assert_int_equal(json_out_value(bytes + 3, 3, &consumed, &type, out), 3);
    assert_memory_equal(out, "\"x\"", 3);
    assert_string_equal(type, "string");
    assert_int_equal(json_out_value(bytes + 5, 1, &consumed, &type, out), -EBADMSG);
    assert_string_equal(type, "string"); /* untouched */
    assert_int_equal(json_out_value(bytes, 0, &consumed, &type, out), -EBADMSG);
}

static void assert_message(const char *text, size_t count, size_t room, const char *expected)
{
    struct edge in = edge_copy(text, count);
    struct edge out = edge_create(room);
    size_t written = json_out_text(in.bytes, count, out.bytes, room);
    assert_int_equal(written, strlen(expected));
    assert_memory_equal(out.bytes, expected, written);
    edge_destroy(&in);
    edge_destroy(&out);
}

static void messages_are_escaped_and_repaired(void **state)
{
    (void)state;
    assert_message("", 0, 8, "\"\"");
    assert_message("a\"b\\\n\x01", 6, 100, "\"a\\\"b\\\\\\n\\u0001\"");
    assert_message("nul\0inside", 10, 100, "\"nul\\u0000inside\"");
    assert_message("bad\xff\xc3", 5, 100, "\"bad\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_message("\xf0\x9f\x8e\xb5", 4, 100, "\"\xf0\x9f\x8e\xb5\"");
}

static void messages_that_do_not_fit_end_in_an_ellipsis(void **state)
{
    (void)state;
    assert_message("123456", 6, 8, "\"123456\"");
    assert_message("1234567", 7, 8, "\"123\xe2\x80\xa6\"");
    assert_message("\x01\x01", 2, 8, "\"\xe2\x80\xa6\"");
    assert_message("12\xe2\x82\xac\xe2\x82\xac", 8, 9, "\"12\xe2\x80\xa6\"");
    assert_message("anything", 8, 7, "");
    char text[300];
    char out[400];
    memset(text, 'x', sizeof(text));
    for (size_t room = 8; room < 300; room++) {
        size_t written = json_out_text(text, sizeof(text), out, room);
        assert_int_equal(written, room);
        assert_memory_equal(out + written - 4, "\xe2\x80\xa6\"", 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_word),
        cmocka_unit_test(an_exhausted_stream_is_shown_as_none_and_still_told_apart),
        cmocka_unit_test(containers_nest_with_their_separators),
        cmocka_unit_test(numbers_json_cannot_write_are_null_of_type_fp),
        cmocka_unit_test(every_ascii_character_is_escaped_or_plain),
        cmocka_unit_test(text_that_is_not_ascii_is_sent_as_it_is),
        cmocka_unit_test(special_bytes_are_found_at_every_offset),
        cmocka_unit_test(both_ways_of_finding_special_bytes_agree),
        cmocka_unit_test(the_worst_text_fits_the_bound),
        cmocka_unit_test(ten_megabytes_arrive_whole),
        cmocka_unit_test(text_that_is_not_utf8_is_refused),
        cmocka_unit_test(nesting_is_refused_beyond_the_limit),
        cmocka_unit_test(what_is_not_the_expected_msgpack_is_refused),
        cmocka_unit_test(keys_that_are_no_strings_are_refused),
        cmocka_unit_test(every_truncation_is_refused_within_its_bytes),
        cmocka_unit_test(one_value_says_how_far_it_went_and_what_it_is),
        cmocka_unit_test(messages_are_escaped_and_repaired),
        cmocka_unit_test(messages_that_do_not_fit_end_in_an_ellipsis),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
