/* SPDX-License-Identifier: MIT */
/*
 * test_log_json.c - an event is the same object of JSON, whatever format the log has.
 */
#include "dispatcher/cli/operate/log_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/check.h"

/* What comes of the lines in `bytes`, as a string that the caller frees. */
static char *objects_of(const char *bytes, size_t count)
{
    struct log_json json = {0};
    struct text out = {0};
    while (count > 0) {
        struct log_line line;
        const char *newline = memchr(bytes, '\n', count);
        size_t line_bytes = newline ? (size_t)(newline - bytes) : count;
        log_line_read(&line, bytes, line_bytes);
        log_json_take(&json, &out, &line);
        line_bytes += newline != NULL;
        bytes += line_bytes;
        count -= line_bytes;
    }
    log_json_release(&json, &out);
    log_json_finish(&json);
    text_add_bytes(&out, "", 1);
    assert_false(out.failed);
    return out.bytes;
}

static void check(const char *lines, const char *expected)
{
    char *objects = objects_of(lines, strlen(lines));
    assert_string_equal(objects, expected);
    text_finish(&(struct text){.bytes = objects});
}

/* In each format, for the journal or not, it is what the format json has. */
static void check_event(const struct log_field *fields, size_t field_count)
{
    static char expected[LOG_EVENT_BYTES_MAX + 1], bytes[LOG_EVENT_BYTES_MAX];
    const struct timespec now = {.tv_sec = 1700000000, .tv_nsec = 123000000};
    const struct log_event event = {LEVEL_INFO, "run_traceback", fields, field_count};
    struct log_style style = {.format = LOG_FORMAT_JSON};
    size_t count = log_format_event(&style, &now, &event, expected, sizeof expected - 1);
    expected[count] = '\0';
    for (uint32_t format = 0; format < LOG_FORMAT_COUNT; format++) {
        for (int is_journal = 0; is_journal < 2; is_journal++) {
            style = (struct log_style){.format = format, .is_journal = is_journal == 1};
            count = log_format_event(&style, &now, &event, bytes, sizeof bytes);
            char *objects = objects_of(bytes, count);
            const char *shown = objects, *whole = expected;
            if (format == LOG_FORMAT_TEXT && is_journal == 1) { /* which has no time */
                shown++;
                whole += strlen("{\"time\":\"2023-11-14T22:13:20.123Z\",");
            }
            assert_string_equal(shown, whole);
            text_finish(&(struct text){.bytes = objects});
        }
    }
}

static void an_event_is_the_same_in_every_format(void **state)
{
    (void)state;
    const struct log_field fields[] = {
        LOG_NAME("run", "run_0123"),
        LOG_NATURAL("pid", 4242),
        LOG_INTEGER("rc", -7),
        LOG_FP("ms", 1.5),
        LOG_BOOLEAN("is_it", true),
        LOG_HEX("address", 0x7f),
        LOG_WORD("token", "a b=\"c\\"),
        LOG_WORD("empty", ""),
        LOG_TEXT("text", "two\nlines\x1b[2J, \"quoted\" \\ pipeline=x \xc3\xa9"),
        LOG_TEXT("looks", "12"),
    };
    check_event(fields, ARRAY_COUNT(fields));
    check_event(fields, 0);
}

static void a_block_is_the_traceback_of_its_event(void **state)
{
    (void)state;
    static const char traceback[] = "Traceback:\n  File \"x.py\", line 1\nOops: \xc3\xa9";
    const struct log_field fields[] = {
        LOG_NAME("run", "run_0123"),
        LOG_BLOCK("traceback", traceback, sizeof traceback - 1),
    };
    check_event(fields, ARRAY_COUNT(fields));
}

static void what_is_no_event_is_a_text(void **state)
{
    (void)state;
    check("    a block of nobody's\n"
          "millrace: 4711 bytes of the log were left out\n"
          "{\"a\":\n"
          "<6>info draining\n"
          "    its block\n"
          "\n",
          "{\"text\":\"a block of nobody's\"}\n"
          "{\"text\":\"millrace: 4711 bytes of the log were left out\"}\n"
          "{\"text\":\"{\\\"a\\\":\"}\n"
          "{\"level\":\"info\",\"event\":\"draining\",\"traceback\":\"its block\"}\n"
          "{\"text\":\"\"}\n");
}

static void whatever_a_line_is_it_becomes_an_object_or_waits(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "2026-01-31T12:00:00.123Z info a k=\"\\x4\" b=\"\\xzz\\\" c=1e5 d=nul e=[ f=null g=true",
        "time=2026-01-31T12:00:00.123Z level=info event=a k=\"\\u00\" b=\"\\q\" c= d",
        "<6>error x =\"\" =\"a\" \"=\"",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        for (size_t bytes = 0; bytes <= strlen(lines[i]); bytes++) {
            struct json_view root;
            struct json_error error;
            char *objects = objects_of(lines[i], bytes);
            if (bytes > 0) {
                assert_int_equal(json_view_parse(&root, objects, strlen(objects), &error), 0);
                assert_int_equal(root.text[0], '{');
            }
            text_finish(&(struct text){.bytes = objects});
        }
    }
}

int main(void)
{
    alarm(20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_the_same_in_every_format),
        cmocka_unit_test(a_block_is_the_traceback_of_its_event),
        cmocka_unit_test(what_is_no_event_is_a_text),
        cmocka_unit_test(whatever_a_line_is_it_becomes_an_object_or_waits),
    };
    return cmocka_run_group_tests_name("log_json", tests, NULL, NULL);
}
