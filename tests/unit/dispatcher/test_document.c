/* SPDX-License-Identifier: MIT */
/* test_document.c - YAML becomes a tree, and what is none is refused with its place. */
#include "dispatcher/text/document.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct document *document;
static struct document_place place;
static char reason[DOCUMENT_REASON_BYTES];

static int take(const char *text)
{
    return document_read(text, strlen(text), &document, &place, reason);
}

static void refused(const char *text, uint32_t line, uint32_t column, const char *why)
{
    assert_int_equal(take(text), -EINVAL);
    assert_non_null(strstr(reason, why));
    assert_int_equal(place.line, line);
    assert_int_equal(place.column, column);
}

static void a_tree_has_values_lists_and_mappings_with_their_places(void **state)
{
    (void)state;
    assert_int_equal(take("a: 1\nb: [x, 'y']\nc:\n  d: ~\n"), 0);
    assert_int_equal(document_kind_of(document, DOCUMENT_ROOT), DOCUMENT_MAPPING);
    assert_int_equal(document_count(document, DOCUMENT_ROOT), 3);
    uint32_t a = document_member(document, DOCUMENT_ROOT, 0);
    assert_int_equal(document_kind_of(document, a), DOCUMENT_VALUE);
    assert_int_equal(document_count(document, a), 0);
    assert_string_equal(document_text(document, a), "1");
    assert_true(document_is_plain(document, a));
    uint32_t b = document_member(document, DOCUMENT_ROOT, 1);
    assert_int_equal(document_kind_of(document, b), DOCUMENT_LIST);
    assert_int_equal(document_count(document, b), 2);
    assert_string_equal(document_text(document, document_item(document, b, 1)), "y");
    assert_false(document_is_plain(document, document_item(document, b, 1)));
    uint32_t d = document_key(document, document_member(document, DOCUMENT_ROOT, 2), 0);
    assert_string_equal(document_text(document, d), "d");
    assert_int_equal(document_place_of(document, d).line, 4);
    assert_int_equal(document_place_of(document, d).column, 3);
    document_free(document);
}

static void nothing_is_an_empty_mapping(void **state)
{
    (void)state;
    const char *texts[] = {"", "\n", "# a remark\n"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(take(texts[i]), 0);
        assert_int_equal(document_kind_of(document, DOCUMENT_ROOT), DOCUMENT_MAPPING);
        assert_int_equal(document_count(document, DOCUMENT_ROOT), 0);
        document_free(document);
    }
}

static void what_is_no_yaml_is_refused_where_it_is_wrong(void **state)
{
    (void)state;
    refused("a: [1\nb: 2\n", 2, 2, "did not find expected ',' or ']'");
    refused("a: 1\n b: 2\n", 2, 3, "mapping values are not allowed");
    refused("a: 1\n\tb: 2\n", 2, 1, "found a tab character");
    refused("a: *b\n", 1, 4, "undefined alias");
    refused("ok: 1\nb: \xff\n", 2, 4, "UTF-8");
    refused("a: '\n", 2, 1, "unexpected end of stream");
}

static void what_a_configuration_does_not_need_is_refused(void **state)
{
    (void)state;
    refused("a: 1\nb: 2\na: 3\n", 3, 1, "a is there twice: line 1 has it, too");
    refused("a: !!int 3\n", 1, 4, "tags");
    refused("a: !own {}\n", 1, 4, "tags");
    refused("a: 1\n---\nb: 2\n", 3, 1, "a second document");
    refused("[1]: 2\n", 1, 1, "a key is a word");
    refused("a: \"x\\0y\"\n", 1, 4, "NUL");
}

static void size_and_keys_are_bounded(void **state)
{
    (void)state;
    char *text = calloc(1, DOCUMENT_BYTES_MAX + 2);
    memset(text, '#', DOCUMENT_BYTES_MAX + 1);
    assert_int_equal(document_read(text, DOCUMENT_BYTES_MAX + 1, &document, &place, reason),
                     -EINVAL);
    assert_non_null(strstr(reason, "larger than 1048576 bytes"));
    assert_int_equal(document_read(text, DOCUMENT_BYTES_MAX, &document, &place, reason), 0);
    document_free(document);
    size_t bytes = 0;
    for (int i = 0; i < 1025; i++)
        bytes += (size_t)snprintf(text + bytes, 16, "k%d: 1\n", i);
    assert_int_equal(document_read(text, bytes, &document, &place, reason), -EINVAL);
    assert_non_null(strstr(reason, "more than 1024 keys"));
    memset(text, '[', DOCUMENT_BYTES_MAX);
    assert_int_equal(document_read(text, DOCUMENT_BYTES_MAX, &document, &place, reason), -EINVAL);
    assert_string_equal(reason, "lists and mappings are nested more than 32 deep");
    assert_int_equal(place.column, 33);
    memset(text + DOCUMENT_DEPTH_MAX, ']', DOCUMENT_DEPTH_MAX);
    assert_int_equal(document_read(text, 2 * DOCUMENT_DEPTH_MAX, &document, &place, reason), 0);
    document_free(document);
    free(text);
}

/* Aliases are nodes of the same tree: neither a circle nor what doubles ten times is a copy. */
static void an_alias_is_the_node_that_its_anchor_named(void **state)
{
    (void)state;
    assert_int_equal(take("a: &x [1, 2]\nb: *x\n"), 0);
    assert_int_equal(document_member(document, DOCUMENT_ROOT, 0),
                     document_member(document, DOCUMENT_ROOT, 1));
    document_free(document);
    if (take("a: &x [1, *x]\n") == 0)
        document_free(document);
    assert_int_equal(take("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\n"), 0);
    document_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_values_lists_and_mappings_with_their_places),
        cmocka_unit_test(nothing_is_an_empty_mapping),
        cmocka_unit_test(what_is_no_yaml_is_refused_where_it_is_wrong),
        cmocka_unit_test(what_a_configuration_does_not_need_is_refused),
        cmocka_unit_test(size_and_keys_are_bounded),
        cmocka_unit_test(an_alias_is_the_node_that_its_anchor_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
