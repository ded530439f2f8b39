/* SPDX-License-Identifier: MIT */
/* test_device_template.c - fields in the values of variables. */
#include "dispatcher/config/device_template.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const values[DEVICE_FIELD_COUNT] = {
    [DEVICE_FIELD_KIND] = "cuda",      [DEVICE_FIELD_INDEX] = "3",
    [DEVICE_FIELD_UUID] = "GPU-a",     [DEVICE_FIELD_PCI] = "0000:65:00.0",
    [DEVICE_FIELD_CORES] = "0-3,8-11", [DEVICE_FIELD_NUMA] = "",
};

static char reason[CLI_REASON_BYTES];

static void each_field_becomes_what_is_known_of_the_device(void **state)
{
    static const struct {
        const char *text, *filled;
    } rows[] = {
        {"", ""},
        {"plain = text", "plain = text"},
        {"{kind}", "cuda"},
        {"{index}{index}", "33"},
        {"at {pci}, {cores}", "at 0000:65:00.0, 0-3,8-11"},
        {"{uuid}/{kind}:{index}", "GPU-a/cuda:3"},
        {"[{numa}]", "[]"},
        {"{{}}", "{}"},
        {"{{index}}", "{index}"},
        {"{{{index}}}", "{3}"},
        {"}}{{", "}{"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct text text = {0};
        assert_int_equal(device_template_check(rows[i].text, reason), 0);
        device_template_add(&text, rows[i].text, values);
        text_add_bytes(&text, "", 1);
        assert_false(text.failed);
        assert_string_equal(text.bytes, rows[i].filled);
        text_finish(&text);
    }
}

static void what_is_no_field_is_refused_without_a_word_of_the_value(void **state)
{
    static const char *const texts[] = {
        "{",        "}",        "secret{",   "{}",          "{Index}", "{index", "index}",
        "{ index}", "{index }", "{indexes}", "{in{index}}", "{{{",     "}}}",    "{index}}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_int_equal(device_template_check(texts[i], reason), -EINVAL);
        assert_string_equal(reason, "in braces it has something else than {kind}, {index}, {uuid}, "
                                    "{pci}, {cores} or {numa}; {{ and }} stand for braces");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_becomes_what_is_known_of_the_device),
        cmocka_unit_test(what_is_no_field_is_refused_without_a_word_of_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
