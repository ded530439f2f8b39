/* SPDX-License-Identifier: MIT */
/* test_device_mapping.c - `devices` as a mapping becomes the text that --devices takes. */
#include "dispatcher/config/device_mapping.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct document *document;
static uint32_t at;
static char reason[CLI_REASON_BYTES];

static int take(const char *yaml, char **out)
{
    struct document_place place;
    char why[DOCUMENT_REASON_BYTES];
    assert_int_equal(document_read(yaml, strlen(yaml), &document, &place, why), 0);
    return device_mapping_text(document, DOCUMENT_ROOT, out, &at, reason);
}

static void a_mapping_becomes_what_could_be_said_in_words(void **state)
{
    static const struct {
        const char *yaml, *text;
    } rows[] = {
        {"{kind: cuda}", "cuda"},
        {"{kind: auto}", "auto"},
        {"{kind: vulkan, count: 4}", "vulkan:x4"},
        {"{count: 4, kind: vulkan}", "vulkan:x4"},
        {"{kind: cpu, per: core}", "cpu:core"},
        {"{kind: cuda, index: 2}", "cuda:2"},
        {"{kind: cuda, index: [0, 2]}", "cuda:0,2"},
        {"{kind: hip, uuid: GPU-a}", "hip:GPU-a"},
        {"{kind: hip, uuid: [GPU-a, 'GPU-b']}", "hip:GPU-a,GPU-b"},
        {"{kind: what ever, count: many}", "what ever:xmany"}, /* which others refuse */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char *text;
        assert_int_equal(take(rows[i].yaml, &text), 0);
        assert_string_equal(text, rows[i].text);
        free(text);
        document_free(document);
    }
}

static void what_is_wrong_is_refused_at_its_place(void **state)
{
    static const struct {
        const char *yaml, *why;
        uint32_t column;
    } rows[] = {
        {"{}", "devices has no kind, like {kind: vulkan, count: 4}", 1},
        {"{count: 4}", "devices has no kind, like {kind: vulkan, count: 4}", 1},
        {"{kind: cuda, indexes: 1}", "devices: unknown key \"indexes\" (nearest: index)", 14},
        {"{kind: cuda, what: 1}", "devices: unknown key \"what\"", 14},
        {"{kind: cuda, index: 1, uuid: GPU-a}",
         "devices: only one of count, per, index and uuid can be there", 1},
        {"{kind: [cuda]}", "devices: kind is one value", 8},
        {"{kind: }", "devices: kind is one value", 8},
        {"{kind: {a: b}}", "devices: kind is one value", 8},
        {"{kind: cuda, count: [1]}", "devices: count is one value", 21},
        {"{kind: cpu, per: ~}", "devices: per is one value", 18},
        {"{kind: cuda, index: []}", "devices: index is one value or a list of values", 21},
        {"{kind: cuda, index: {a: b}}", "devices: index is one value or a list of values", 21},
        {"{kind: cuda, uuid: [[a]]}", "devices: uuid is one value or a list of values", 20},
        {"{kind: cuda, uuid: ~}", "devices: uuid is one value or a list of values", 20},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char *text;
        assert_int_equal(take(rows[i].yaml, &text), -EINVAL);
        assert_null(text);
        assert_string_equal(reason, rows[i].why);
        assert_int_equal(document_place_of(document, at).column, rows[i].column);
        document_free(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapping_becomes_what_could_be_said_in_words),
        cmocka_unit_test(what_is_wrong_is_refused_at_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
