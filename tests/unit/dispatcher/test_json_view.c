/* SPDX-License-Identifier: MIT */
/*
 * test_json_view.c - parts of a JSON text are found as they stand in it.
 */
#include "dispatcher/text/json_view.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/edge.h"

static struct json_view parse(const char *text)
{
    struct json_view view;
    struct json_error error;
    assert_int_equal(json_view_parse(&view, text, strlen(text), &error), 0);
    return view;
}

static void is(const struct json_view *view, const char *text)
{
    assert_int_equal(view->bytes, strlen(text));
    assert_memory_equal(view->text, text, view->bytes);
}

static void a_value_is_what_is_between_the_blanks_around_it(void **state)
{
    (void)state;
    static const char *const values[] = {"1",     "-1.5e+3", "true", "null",     "\"\"",
                                         "\"]\"", "[]",      "{}",   "[ 1 , 2 ]"};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        char text[64];
        struct json_view view = parse(values[i]);
        is(&view, values[i]);
        snprintf(text, sizeof(text), " \t\r\n%s \n", values[i]);
        view = parse(text);
        is(&view, values[i]);
    }
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "[1,]", "01", "nul", "\"a", "1 2", "{\"a\" 1}"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct json_view view = {NULL, 77};
        struct json_error error;
        assert_int_equal(json_view_parse(&view, texts[i], strlen(texts[i]), &error), -EINVAL);
        assert_int_equal(view.bytes, 77);
    }
}

static void a_member_is_found_by_its_key_at_its_own_level(void **state)
{
    (void)state;
    struct json_view view = parse("{ \"a\" : {\"b\":1,\"x\":[\"}\",{\"b\":3}]} "
                                  ",\"ab\":\"b\\\"\\\\\",\"b\": 9007199254740993 }");
    struct json_view found;
    assert_true(json_view_member(&view, "b", &found));
    is(&found, "9007199254740993");
    assert_true(json_view_member(&view, "ab", &found));
    is(&found, "\"b\\\"\\\\\"");
    assert_true(json_view_member(&view, "a", &found));
    is(&found, "{\"b\":1,\"x\":[\"}\",{\"b\":3}]}");
    assert_false(json_view_member(&view, "x", &found));
    assert_false(json_view_member(&view, "", &found));
}

static void a_member_that_is_not_there_is_null(void **state)
{
    (void)state;
    struct json_view view = parse("{\"a\":1,\"b\":[2]}"), list = parse("[3]");
    struct json_view found = json_view_get(&view, "b");
    is(&found, "[2]");
    found = json_view_get(&view, "c");
    is(&found, "null");
    found = json_view_get(&list, "b");
    is(&found, "null");
}

static void only_objects_have_members_and_only_arrays_have_items(void **state)
{
    (void)state;
    static const char *const others[] = {"1", "null", "\"{\"", "[\"a\"]", "{}", "{ }"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        struct json_view view = parse(others[i]);
        struct json_view found;
        assert_false(json_view_member(&view, "a", &found));
    }
    static const char *const none[] = {"1", "{\"a\":1}", "[]", "[ ]"};
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        struct json_view view = parse(none[i]);
        struct json_view item = {0};
        assert_false(json_view_next(&view, &item));
    }
}

static void items_come_one_after_the_other(void **state)
{
    (void)state;
    struct json_view view = parse("[ 1,[2,[3]] , \"a,b\",{\"c\":[4]},null ]");
    static const char *const items[] = {"1", "[2,[3]]", "\"a,b\"", "{\"c\":[4]}", "null"};
    struct json_view item = {0};
    for (size_t i = 0; i < ARRAY_COUNT(items); i++) {
        assert_true(json_view_next(&view, &item));
        is(&item, items[i]);
    }
    assert_false(json_view_next(&view, &item));
}

static void members_come_one_after_the_other(void **state)
{
    (void)state;
    struct json_view view = parse("{ \"a\" : 1,\"b\":{\"a\":[\"}\"]} , \"\\\"\":null }");
    static const char *const members[][2] = {
        {"\"a\"", "1"}, {"\"b\"", "{\"a\":[\"}\"]}"}, {"\"\\\"\"", "null"}};
    struct json_view key = {0}, value;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        assert_true(json_view_next_member(&view, &key, &value));
        is(&key, members[i][0]);
        is(&value, members[i][1]);
    }
    assert_false(json_view_next_member(&view, &key, &value));
    static const char *const none[] = {"1", "[1]", "{}", "{ }"};
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        view = parse(none[i]);
        key = (struct json_view){0};
        assert_false(json_view_next_member(&view, &key, &value));
    }
}

static void string_is(const char *text, const char *characters, size_t bytes)
{
    struct json_view view = parse(text);
    assert_true(json_view_is_string(&view));
    struct text out = {0};
    json_view_string(&view, &out);
    assert_int_equal(out.count, bytes);
    if (bytes > 0)
        assert_memory_equal(out.bytes, characters, bytes);
    text_finish(&out);
}

static void escapes_of_a_string_are_resolved(void **state)
{
    (void)state;
    string_is("\"\"", "", 0);
    string_is("\"plain\"", "plain", 5);
    string_is("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    string_is("\"a\\u0000b\"", "a\0b", 3);
    string_is("\"\\u007F\\u0080\\u07fF\\u0800\\uffff\"",
              "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11);
    string_is("\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!", 5);
    string_is("\"\\uDBFF\\uDFFF\"", "\xf4\x8f\xbf\xbf", 4);
    string_is("\"\xc3\xa9\"", "\xc3\xa9", 2);
}

static void nothing_is_read_past_the_end(void **state)
{
    (void)state;
    static const char *const texts[] = {"12",     "true", "{\"a\":1}", "[1,2]",
                                        "\"ab\"", "[1 ]", "{} "};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct edge edge = edge_copy(texts[i], strlen(texts[i]));
        struct json_view view, found, item = {0};
        struct json_error error;
        assert_int_equal(json_view_parse(&view, edge.bytes, edge.count, &error), 0);
        double number;
        json_view_member(&view, "b", &found);
        assert_int_equal(json_view_number(&view, &number), i == 0);
        assert_true(i > 0 || number == 12);
        while (json_view_next(&view, &item))
            assert_true(item.bytes > 0);
        edge_destroy(&edge);
    }
}

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_what_is_between_the_blanks_around_it),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(a_member_is_found_by_its_key_at_its_own_level),
        cmocka_unit_test(a_member_that_is_not_there_is_null),
        cmocka_unit_test(only_objects_have_members_and_only_arrays_have_items),
        cmocka_unit_test(items_come_one_after_the_other),
        cmocka_unit_test(members_come_one_after_the_other),
        cmocka_unit_test(escapes_of_a_string_are_resolved),
        cmocka_unit_test(nothing_is_read_past_the_end),
    };
    return cmocka_run_group_tests_name("json_view", tests, NULL, NULL);
}
