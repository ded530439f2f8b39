/* SPDX-License-Identifier: MIT */
/*
 * test_object.c - msgpack becomes trees: strings end in NUL where they lie, odd input is refused.
 */
#include "worker/engine/object.h"

#include <errno.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const struct mr_object photos[] = {
    {.type = MR_FILE, .u.file = {.path = "/a/0/cat.jpg", .name = "cat.jpg"}},
    {.type = MR_FILE, .u.file = {.path = "/a/1/dog.jpg", .name = "dog.jpg"}},
};
static const struct object_files files = {photos, 2};

/* Unpacks a copy with exactly one byte behind it, so that a sanitizer sees a second. */
static int unpack(struct arena *arena, const void *bytes, size_t count,
                  const struct mr_object **out)
{
    uint8_t *copy = arena_take(arena, count + 1);
    memcpy(copy, bytes, count);
    return object_unpack(arena, copy, count, &files, out);
}

static void every_string_ends_in_a_nul(void **state)
{
    (void)state;
    struct arena arena = {.blocks = NULL};
    const struct mr_object *object;
    /* ["ab", "", "c\0d", {"k": "v"}, b"raw"] */
    const char packed[] = "\x95\xa2"
                          "ab\xa0\xa3"
                          "c\0d\x81\xa1k\xa1v\xc4\x03raw";
    assert_int_equal(unpack(&arena, packed, sizeof packed - 1, &object), 0);
    assert_int_equal(object->type, MR_ARRAY);
    assert_int_equal(object->u.array.count, 5);
    const struct mr_object *items = object->u.array.items;
    assert_string_equal(items[0].u.string.bytes, "ab");
    assert_string_equal(items[1].u.string.bytes, "");
    assert_int_equal(items[1].u.string.count, 0);
    assert_int_equal(items[2].u.string.count, 3);
    assert_memory_equal(items[2].u.string.bytes, "c\0d", 4);
    assert_int_equal(items[3].type, MR_DICTIONARY);
    const struct mr_pair *pair = &items[3].u.dictionary.pairs[0];
    assert_string_equal(pair->key.u.string.bytes, "k");
    assert_string_equal(pair->value.u.string.bytes, "v");
    assert_int_equal(items[4].type, MR_STRING);
    assert_string_equal(items[4].u.string.bytes, "raw");
    arena_finish(&arena);
}

static void a_file_is_known_by_its_number(void **state)
{
    (void)state;
    struct arena arena = {.blocks = NULL};
    const struct mr_object *object;
    /* [{"k": the file 1}, the file 0] */
    const char packed[] = "\x92\x81\xa1k\xd6\x01\0\0\0\x01\xd6\x01\0\0\0\0";
    assert_int_equal(unpack(&arena, packed, sizeof packed - 1, &object), 0);
    const struct mr_object *items = object->u.array.items;
    assert_int_equal(items[0].u.dictionary.pairs[0].value.type, MR_FILE);
    assert_string_equal(items[0].u.dictionary.pairs[0].value.u.file.path, "/a/1/dog.jpg");
    assert_string_equal(items[1].u.file.name, "cat.jpg");
    assert_int_equal(unpack(&arena, "\xd6\x01\0\0\0\x02", 6, &object), -EBADMSG);
    assert_int_equal(unpack(&arena, "\xd6\x02\0\0\0\0", 6, &object), -EBADMSG);
    assert_int_equal(unpack(&arena, "\xd5\x01\0\0", 4, &object), -EBADMSG);
    arena_finish(&arena);
}

static void numbers_keep_their_sign_and_size(void **state)
{
    (void)state;
    struct arena arena = {.blocks = NULL};
    const struct mr_object *object;
    assert_int_equal(unpack(&arena, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, &object), 0);
    assert_true(object->is_unsigned);
    assert_true(object->u.natural == UINT64_MAX);
    assert_int_equal(unpack(&arena, "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, &object), 0);
    assert_false(object->is_unsigned);
    assert_true(object->u.integer == INT64_MAX);
    assert_int_equal(unpack(&arena, "\xff", 1, &object), 0);
    assert_int_equal(object->u.integer, -1);
    assert_int_equal(unpack(&arena, "\xca\x3f\x00\x00\x00", 5, &object), 0);
    assert_int_equal(object->type, MR_FP);
    assert_true(object->u.fp == 0.5);
    arena_finish(&arena);
}

static void what_is_not_one_object_is_refused(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t count;
    } bad[] = {
        {"", 0},                 /* nothing */
        {"\x92\x01", 2},         /* too short */
        {"\x01\x02", 2},         /* two */
        {"\xc1", 1},             /* never used */
        {"\xd4\x01\x02", 3},     /* an extension */
        {"\x81\x01\x02", 3},     /* a key that is an integer */
        {"\x91\x81\xc0\x02", 4}, /* likewise, inside */
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct arena arena = {.blocks = NULL};
        const struct mr_object *object;
        assert_int_equal(unpack(&arena, bad[i].bytes, bad[i].count, &object), -EBADMSG);
        arena_finish(&arena);
    }
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    uint8_t packed[64];
    for (size_t depth = 30; depth < 40; depth++) {
        struct arena arena = {.blocks = NULL};
        const struct mr_object *object;
        memset(packed, 0x91, depth);
        packed[depth] = 0xc0;
        assert_int_equal(unpack(&arena, packed, depth + 1, &object), depth <= 32 ? 0 : -ELOOP);
        arena_finish(&arena);
    }
}

static void what_fits_where(void **state)
{
    (void)state;
    const bool fits[5][5] = {
        /* declared: string, integer, fp, boolean, none */
        [MR_STRING] = {true, false, false, false, false},
        [MR_INTEGER] = {false, true, true, false, false},
        [MR_FP] = {false, false, true, false, false},
        [MR_BOOLEAN] = {false, true, true, true, false},
        [MR_NONE] = {false, false, false, false, true},
    };
    for (int came = 0; came < 5; came++) {
        for (int declared = 0; declared < 5; declared++) {
            const struct mr_object object = {.type = (enum mr_type)came};
            assert_int_equal(object_fits(&object, (enum mr_type)declared), fits[came][declared]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_string_ends_in_a_nul),
        cmocka_unit_test(a_file_is_known_by_its_number),
        cmocka_unit_test(numbers_keep_their_sign_and_size),
        cmocka_unit_test(what_is_not_one_object_is_refused),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(what_fits_where),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
