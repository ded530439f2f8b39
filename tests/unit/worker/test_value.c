/* SPDX-License-Identifier: MIT */
/*
 * test_value.c - what value.c packs is what msgpack-c packs, and nothing unfinished passes.
 */
#include "worker/engine/value.h"

#include <errno.h>
#include <math.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct error error;
    struct buffer buffer;
    struct mr_value value;
    msgpack_sbuffer expected;
    msgpack_packer packer;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    error_clear(&f->error);
    value_start_in_buffer(&f->value, &f->buffer, &f->error);
    msgpack_sbuffer_init(&f->expected);
    msgpack_packer_init(&f->packer, &f->expected, msgpack_sbuffer_write);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    buffer_finish(&f->buffer);
    msgpack_sbuffer_destroy(&f->expected);
    free(f);
    return 0;
}

/* What was written since the start is what msgpack-c packed; starts anew. */
static void expect_same(struct fixture *f)
{
    assert_int_equal(value_check(&f->value), 0);
    size_t bytes = (size_t)(f->value.at - f->value.begin);
    assert_int_equal(bytes, f->expected.size);
    assert_memory_equal(f->value.begin, f->expected.data, bytes);
    msgpack_sbuffer_clear(&f->expected);
    value_start_in_buffer(&f->value, &f->buffer, &f->error);
}

static void expect_failure(struct fixture *f, int status, const char *words)
{
    assert_int_equal(value_check(&f->value), status);
    assert_true(f->error.is_set);
    if (!strstr(f->error.text, words))
        fail_msg("expected %s, got %s", words, f->error.text);
    /* The first failure sticks. */
    assert_int_equal(value_none(&f->value), status);
    assert_int_equal(value_string(&f->value, "", 0), status);
    assert_int_equal(value_array(&f->value, 0), status);
    assert_non_null(strstr(f->error.text, words));
}

static void an_error_is_its_type_its_text_and_its_traceback_or_nil(void **state)
{
    struct fixture *f = *state;
    error_set(&f->error, ERROR_INPUT, "wrong");
    error_set_traceback(&f->error, "there", 5);
    for (int has_traceback = 0; has_traceback <= 1; has_traceback++) {
        assert_int_equal(value_error(&f->value, &f->error, has_traceback), MR_ITEM);
        msgpack_pack_array(&f->packer, 3);
        msgpack_pack_int(&f->packer, ERROR_INPUT);
        msgpack_pack_str_with_body(&f->packer, "wrong", 5);
        if (has_traceback)
            msgpack_pack_str_with_body(&f->packer, "there", 5);
        else
            msgpack_pack_nil(&f->packer);
        expect_same(f);
    }
}

static void memory_that_does_not_grow_ends_a_value_and_nothing_is_said(void **state)
{
    (void)state;
    uint8_t memory[2 * VALUE_HEAD_BYTES_MAX];
    struct mr_value value;
    value_start_in_memory(&value, memory, sizeof memory);
    assert_int_equal(value_array(&value, 2), MR_ITEM);
    assert_int_equal(value_string(&value, "12345678", 8), MR_ITEM);
    assert_int_equal(value_check(&value), -EINVAL); /* an item is missing */
    value_start_in_memory(&value, memory, sizeof memory);
    assert_int_equal(value_string(&value, "1234567890", 10), -E2BIG);
    assert_int_equal(value_none(&value), -E2BIG);
    assert_ptr_equal(value.at, memory);
}

static void integers_take_their_shortest_form(void **state)
{
    struct fixture *f = *state;
    for (unsigned bits = 0; bits < 64; bits++) {
        for (int64_t near = -1; near <= 1; near++) {
            uint64_t natural = (UINT64_C(1) << bits) + (uint64_t)near;
            assert_int_equal(value_natural(&f->value, natural), MR_ITEM);
            msgpack_pack_uint64(&f->packer, natural);
            expect_same(f);
            int64_t negative = (int64_t)(0 - natural);
            assert_int_equal(value_integer(&f->value, negative), MR_ITEM);
            msgpack_pack_int64(&f->packer, negative);
            expect_same(f);
        }
    }
}

static void doubles_keep_every_bit(void **state)
{
    struct fixture *f = *state;
    const double doubles[] = {0.0, -0.0, 1.0, 0.1, 1e308, -5e-324, INFINITY, -INFINITY};
    for (size_t i = 0; i < ARRAY_COUNT(doubles); i++) {
        assert_int_equal(value_fp(&f->value, doubles[i]), MR_ITEM);
        msgpack_pack_double(&f->packer, doubles[i]);
        expect_same(f);
    }
}

static const size_t lengths[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};

static void texts_of_every_length_have_the_right_head(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(70001);
    memset(text, 'x', 70000);
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        assert_int_equal(value_string(&f->value, text, lengths[i]), MR_ITEM);
        msgpack_pack_str_with_body(&f->packer, text, lengths[i]);
        expect_same(f);
        assert_int_equal(value_bytes(&f->value, text, lengths[i]), MR_ITEM);
        msgpack_pack_bin_with_body(&f->packer, text, lengths[i]);
        expect_same(f);
    }
    free(text);
}

__attribute__((format(printf, 2, 3))) static int stringf(struct mr_value *value, const char *format,
                                                         ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = value_vstringf(value, format, arguments);
    va_end(arguments);
    return rc;
}

static void formatted_texts_grow_what_they_need(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(70001);
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        memset(text, 'y', lengths[i]);
        text[lengths[i]] = '\0';
        buffer_finish(&f->buffer); /* starts from nothing each time */
        value_start_in_buffer(&f->value, &f->buffer, &f->error);
        assert_int_equal(stringf(&f->value, "%s", text), MR_ITEM);
        msgpack_pack_str_with_body(&f->packer, text, lengths[i]);
        expect_same(f);
    }
    free(text);
}

static void containers_of_every_count_have_the_right_head(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        value_array(&f->value, lengths[i]);
        msgpack_pack_array(&f->packer, lengths[i]);
        for (size_t k = 0; k < lengths[i]; k++) {
            value_none(&f->value);
            msgpack_pack_nil(&f->packer);
        }
        expect_same(f);
        value_dictionary(&f->value, lengths[i]);
        msgpack_pack_map(&f->packer, lengths[i]);
        for (size_t k = 0; k < lengths[i]; k++) {
            value_string(&f->value, "k", 1);
            value_boolean(&f->value, k % 2);
            msgpack_pack_str_with_body(&f->packer, "k", 1);
            if (k % 2)
                msgpack_pack_true(&f->packer);
            else
                msgpack_pack_false(&f->packer);
        }
        expect_same(f);
    }
}

static void containers_close_when_their_last_item_is_written(void **state)
{
    struct fixture *f = *state;
    /* {"a": [[], {"b": {}}], "c": 1} */
    value_dictionary(&f->value, 2);
    value_string(&f->value, "a", 1);
    value_array(&f->value, 2);
    value_array(&f->value, 0);
    value_dictionary(&f->value, 1);
    value_string(&f->value, "b", 1);
    assert_int_equal(f->value.depth, 3);
    value_dictionary(&f->value, 0);
    assert_int_equal(f->value.depth, 1);
    value_string(&f->value, "c", 1);
    assert_int_equal(value_integer(&f->value, 1), MR_ITEM);
    assert_int_equal(f->value.depth, 0);
    assert_memory_equal(f->value.begin, "\x82\xa1\x61\x92\x90\x81\xa1\x62\x80\xa1\x63\x01", 12);
    assert_int_equal(value_check(&f->value), 0);
}

static void nesting_stops_at_the_limit(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < VALUE_CONTAINER_DEPTH_MAX; i++)
        assert_int_equal(value_array(&f->value, 1), MR_ITEM);
    assert_int_equal(value_array(&f->value, 1), -ELOOP);
    expect_failure(f, -ELOOP, "nested deeper than 30");
}

static void a_missing_item_is_counted(void **state)
{
    struct fixture *f = *state;
    value_array(&f->value, 3);
    value_none(&f->value);
    expect_failure(f, -EINVAL, "an array announced 3 items and 1 came");
}

static void a_missing_pair_is_counted(void **state)
{
    struct fixture *f = *state;
    value_dictionary(&f->value, 2);
    value_string(&f->value, "k", 1);
    value_none(&f->value);
    expect_failure(f, -EINVAL, "a dictionary announced 2 pairs and 1 came");
    assert_null(strstr(f->error.text, "key"));
}

static void a_key_without_its_value_is_named(void **state)
{
    struct fixture *f = *state;
    value_dictionary(&f->value, 1);
    value_string(&f->value, "k", 1);
    expect_failure(f, -EINVAL, "1 pairs and 0 came, then a key without its value");
}

static void a_key_that_is_no_string_is_refused(void **state)
{
    struct fixture *f = *state;
    value_dictionary(&f->value, 1);
    assert_int_equal(value_bytes(&f->value, "k", 1), -EINVAL);
    expect_failure(f, -EINVAL, "a dictionary's key is not a string");
}

static void a_container_as_a_key_is_refused(void **state)
{
    struct fixture *f = *state;
    value_dictionary(&f->value, 1);
    assert_int_equal(value_array(&f->value, 0), -EINVAL);
    expect_failure(f, -EINVAL, "a dictionary's key is not a string");
}

static void a_second_value_is_refused(void **state)
{
    struct fixture *f = *state;
    value_none(&f->value);
    assert_int_equal(value_none(&f->value), -EINVAL);
    expect_failure(f, -EINVAL, "more values were written than the one that is wanted");
}

static void no_value_at_all_is_noticed(void **state)
{
    struct fixture *f = *state;
    assert_true(value_is_untouched(&f->value));
    expect_failure(f, -EINVAL, "no value was written");
}

static void a_value_above_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(value_string(&f->value, "", VALUE_BYTES_MAX + 1u), -E2BIG);
    expect_failure(f, -E2BIG, "larger than 67108864 bytes");
}

static void a_count_that_cannot_be_completed_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(value_dictionary(&f->value, SIZE_MAX), -E2BIG);
    expect_failure(f, -E2BIG, "larger than 67108864 bytes");
}

static void an_object_tree_is_written_as_it_is(void **state)
{
    struct fixture *f = *state;
    const struct mr_object items[] = {
        {.type = MR_INTEGER, .u.integer = -7},
        {.type = MR_INTEGER, .is_unsigned = true, .u.natural = UINT64_MAX},
        {.type = MR_FP, .u.fp = 0.5},
        {.type = MR_BOOLEAN, .u.boolean = true},
        {.type = MR_NONE},
    };
    const struct mr_pair pair = {
        .key = {.type = MR_STRING, .u.string = {"k", 1}},
        .value = {.type = MR_ARRAY, .u.array = {items, ARRAY_COUNT(items)}},
    };
    const struct mr_object object = {.type = MR_DICTIONARY, .u.dictionary = {&pair, 1}};
    assert_int_equal(value_object(&f->value, &object), MR_ITEM);
    msgpack_pack_map(&f->packer, 1);
    msgpack_pack_str_with_body(&f->packer, "k", 1);
    msgpack_pack_array(&f->packer, 5);
    msgpack_pack_int(&f->packer, -7);
    msgpack_pack_uint64(&f->packer, UINT64_MAX);
    msgpack_pack_double(&f->packer, 0.5);
    msgpack_pack_true(&f->packer);
    msgpack_pack_nil(&f->packer);
    expect_same(f);
}

static void an_object_without_a_type_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct mr_object object = {.type = MR_STREAM};
    assert_int_equal(value_object(&f->value, &object), -EINVAL);
    expect_failure(f, -EINVAL, "no valid type");
}

static void the_type_of_a_packed_value_is_in_its_first_byte(void **state)
{
    struct fixture *f = *state;
    for (int64_t i = -40000; i < 70000; i += 17) {
        value_integer(&f->value, i);
        assert_int_equal(value_packed_type(*f->value.begin), MR_INTEGER);
        value_start_in_buffer(&f->value, &f->buffer, &f->error);
    }
    const uint8_t firsts[] = {0xc0, 0xc2, 0xc3, 0xca, 0xcb, 0xa0, 0xbf, 0xd9, 0xdb, 0xc4,
                              0xc6, 0x90, 0x9f, 0xdc, 0xdd, 0x80, 0x8f, 0xde, 0xdf};
    const enum mr_type types[] = {
        MR_NONE,   MR_BOOLEAN,    MR_BOOLEAN,    MR_FP,         MR_FP,        MR_STRING, MR_STRING,
        MR_STRING, MR_STRING,     MR_STRING,     MR_STRING,     MR_ARRAY,     MR_ARRAY,  MR_ARRAY,
        MR_ARRAY,  MR_DICTIONARY, MR_DICTIONARY, MR_DICTIONARY, MR_DICTIONARY};
    for (size_t i = 0; i < ARRAY_COUNT(firsts); i++)
        assert_int_equal(value_packed_type(firsts[i]), types[i]);
}

static void a_failure_that_is_too_long_says_that_it_is_cut(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(3 * 3000 + 1);
    for (int i = 0; i < 3000; i++)
        memcpy(text + 3 * i, "\xe2\x82\xac", 3);
    text[9000] = '\0';
    error_set(&f->error, ERROR_INPUT, "%s", text);
    free(text);
    assert_true(f->error.bytes < ERROR_MESSAGE_BYTES_MAX);
    assert_int_equal(strlen(f->error.text), f->error.bytes);
    const char *mark = strstr(f->error.text, " ... (cut)");
    assert_non_null(mark);
    assert_int_equal((mark - f->error.text) % 3, 0); /* between characters */
    error_explain(&f->error, "pipe", "p", -1);
    assert_memory_equal(f->error.text, "pipe p: \xe2\x82\xac", 11);
    assert_true(f->error.bytes < ERROR_MESSAGE_BYTES_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_error_is_its_type_its_text_and_its_traceback_or_nil),
        TEST(memory_that_does_not_grow_ends_a_value_and_nothing_is_said),
        TEST(integers_take_their_shortest_form),
        TEST(doubles_keep_every_bit),
        TEST(texts_of_every_length_have_the_right_head),
        TEST(formatted_texts_grow_what_they_need),
        TEST(containers_of_every_count_have_the_right_head),
        TEST(containers_close_when_their_last_item_is_written),
        TEST(nesting_stops_at_the_limit),
        TEST(a_missing_item_is_counted),
        TEST(a_missing_pair_is_counted),
        TEST(a_key_without_its_value_is_named),
        TEST(a_key_that_is_no_string_is_refused),
        TEST(a_container_as_a_key_is_refused),
        TEST(a_second_value_is_refused),
        TEST(no_value_at_all_is_noticed),
        TEST(a_value_above_the_limit_is_refused),
        TEST(a_count_that_cannot_be_completed_is_refused),
        TEST(an_object_tree_is_written_as_it_is),
        TEST(an_object_without_a_type_is_refused),
        TEST(the_type_of_a_packed_value_is_in_its_first_byte),
        TEST(a_failure_that_is_too_long_says_that_it_is_cut),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
