/* SPDX-License-Identifier: MIT */
/*
 * test_log_filter.c - lines of a log are told apart by their fields, in every format, and by
 * nothing that somebody printed.
 */
#include "dispatcher/cli/operate/log_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/reactor/log_format.h"
#include "millrace/check.h"

#define POINTER "me/words:v1"
#define RUN "run_0123456789abcdef0123456789abcdef"

static bool takes(struct log_filter *filter, const char *line, enum log_line_kind expected)
{
    struct log_line read;
    log_line_read(&read, line, strlen(line));
    assert_int_equal(read.kind, expected);
    return log_filter_take(filter, &read);
}

/* What the server writes of an event, each line of it given to the filter: how many pass. */
static uint32_t count_of(struct log_filter *filter, enum log_format format, bool is_journal,
                         const struct log_field *fields, size_t field_count)
{
    static char bytes[LOG_EVENT_BYTES_MAX];
    struct log_style style = {.format = format, .is_journal = is_journal};
    const struct timespec now = {.tv_sec = 1700000000};
    const struct log_event event = {LEVEL_INFO, "output", fields, field_count};
    size_t count = log_format_event(&style, &now, &event, bytes, sizeof bytes);
    assert_true(count > 0);
    uint32_t passed = 0;
    for (char *at = bytes; at < bytes + count;) {
        char *newline = memchr(at, '\n', (size_t)(bytes + count - at));
        struct log_line line;
        log_line_read(&line, at, (size_t)(newline - at));
        passed += log_filter_take(filter, &line);
        assert_int_equal(line.kind, at == bytes ? LOG_LINE_EVENT : LOG_LINE_BLOCK);
        at = newline + 1;
    }
    return passed;
}

static void an_event_passes_by_its_fields_in_every_format(void **state)
{
    (void)state;
    for (uint32_t format = 0; format < LOG_FORMAT_COUNT; format++) {
        for (int is_journal = 0; is_journal < 2; is_journal++) {
            const struct log_field fields[] = {
                log_field_string("pipeline", LOG_KIND_WORD, POINTER),
                log_field_string("text", LOG_KIND_TEXT, "a \"quoted\\\" one\x1b\n"),
                log_field_string("run", LOG_KIND_NAME, RUN),
            };
            struct log_filter all = log_filter_make(NULL, NULL);
            struct log_filter both = log_filter_make(POINTER, RUN);
            struct log_filter other = log_filter_make("me/words:v2", NULL);
            struct log_filter part = log_filter_make(NULL, "run_0123456789abcdef");
            assert_int_equal(count_of(&all, format, is_journal == 1, fields, 3), 1);
            assert_int_equal(count_of(&both, format, is_journal == 1, fields, 3), 1);
            assert_int_equal(count_of(&other, format, is_journal == 1, fields, 3), 0);
            assert_int_equal(count_of(&part, format, is_journal == 1, fields, 3), 0);
            assert_int_equal(count_of(&both, format, is_journal == 1, fields, 2), 0);
        }
    }
}

static void what_was_printed_is_no_field(void **state)
{
    (void)state;
    static const char *const printed[] = {
        "x pipeline=" POINTER,
        "x\" pipeline=" POINTER " \"",
        "x\\\" pipeline=" POINTER " ",
        "\\\\\" pipeline=" POINTER,
        "\",\"pipeline\":\"" POINTER "\",\"a\":\"",
        "\nx info output pipeline=" POINTER "\n",
        "{\"pipeline\":\"" POINTER "\"}",
        "\n2026-01-31T12:00:00.123Z info output pipeline=" POINTER,
    };
    for (uint32_t format = 0; format < LOG_FORMAT_COUNT; format++) {
        for (size_t i = 0; i < ARRAY_COUNT(printed); i++) {
            const struct log_field fields[] = {
                log_field_string("worker", LOG_KIND_NAME, "0"),
                log_field_string("text", LOG_KIND_TEXT, printed[i]),
                log_field_string("word", LOG_KIND_WORD, printed[i]),
                log_field_string("traceback", LOG_KIND_BLOCK, printed[i]),
            };
            struct log_filter filter = log_filter_make(POINTER, NULL);
            assert_int_equal(count_of(&filter, format, false, fields, 4), 0);
            assert_int_equal(count_of(&filter, format, true, fields, 4), 0);
        }
    }
}

static void a_block_passes_with_its_event(void **state)
{
    (void)state;
    const struct log_field fields[] = {log_field_string("run", LOG_KIND_NAME, RUN),
                                       log_field_string("traceback", LOG_KIND_BLOCK, "a\nb\n\nc")};
    struct log_filter filter = log_filter_make(NULL, RUN), other = log_filter_make(NULL, "run_1");
    assert_int_equal(count_of(&filter, LOG_FORMAT_TEXT, false, fields, 2), 4);
    assert_int_equal(count_of(&filter, LOG_FORMAT_TEXT, true, fields, 2), 4);
    assert_int_equal(count_of(&other, LOG_FORMAT_TEXT, false, fields, 2), 0);
    /* One whose event is not there is of nobody. */
    struct log_filter fresh = log_filter_make(NULL, RUN), all = log_filter_make(NULL, NULL);
    assert_false(takes(&fresh, "    a block", LOG_LINE_BLOCK));
    assert_true(takes(&all, "    a block", LOG_LINE_BLOCK));
}

static void that_something_was_left_out_always_passes_and_all_else_does_not(void **state)
{
    (void)state;
    struct log_filter filter = log_filter_make(POINTER, NULL), all = log_filter_make(NULL, NULL);
    static const char event[] = "2026-01-31T12:00:00.123Z info worker_ready pipeline=" POINTER;
    static const char *const others[] = {
        "", "<6>", "<6", "libx: pipeline=" POINTER, "{\"a\":", "{", "2026-01-31T12:00:00.123Z"};
    assert_true(takes(&filter, event, LOG_LINE_EVENT));
    assert_true(takes(&filter, "millrace: 4711 bytes of the log were left out", LOG_LINE_OTHER));
    assert_false(takes(&filter, "    a block", LOG_LINE_BLOCK));
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_false(takes(&filter, others[i], LOG_LINE_OTHER));
        assert_true(takes(&all, others[i], LOG_LINE_OTHER));
    }
}

static void a_line_that_is_cut_anywhere_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "<6>info a pipeline=\"" POINTER "\" text=\"a\\\"b\\\\\" run=" RUN,
        "time=2026-01-31T12:00:00.123Z level=info event=a pipeline=" POINTER " text=\"\\u001b\"",
        "{\"time\":\"2026\",\"level\":\"info\",\"event\":\"a\",\"pipeline\":\"" POINTER "\"}",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        for (size_t bytes = 0; bytes <= strlen(lines[i]); bytes++) {
            struct log_filter filter = log_filter_make(POINTER, NULL);
            struct log_line line;
            char *copy = strndup(lines[i], bytes);
            assert_non_null(copy);
            char *exact = realloc(copy, bytes + (bytes == 0)); /* without a NUL behind it */
            /* With its quote, if it has one; of JSON all has to be there. */
            const char *end = strstr(lines[i], POINTER) + strlen(POINTER) + (*lines[i] == '<');
            bool is_there = *lines[i] == '{' ? bytes == strlen(lines[i]) : lines[i] + bytes >= end;
            log_line_read(&line, exact, bytes);
            assert_int_equal(log_filter_take(&filter, &line), is_there);
            free(exact);
        }
    }
}

int main(void)
{
    alarm(20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_passes_by_its_fields_in_every_format),
        cmocka_unit_test(what_was_printed_is_no_field),
        cmocka_unit_test(a_block_passes_with_its_event),
        cmocka_unit_test(that_something_was_left_out_always_passes_and_all_else_does_not),
        cmocka_unit_test(a_line_that_is_cut_anywhere_is_read_to_its_end_and_no_further),
    };
    return cmocka_run_group_tests_name("log_filter", tests, NULL, NULL);
}
