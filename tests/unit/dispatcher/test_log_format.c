/* SPDX-License-Identifier: MIT */
/*
 * test_log_format.c - whatever a field holds, an event can be read back in each format, and no line
 * of it can be taken for another event.
 */
#include "dispatcher/reactor/log_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "dispatcher/text/utf8.h"
#include "tests/unit/shm/ring_memory.h"

#define TRIAL_COUNT 5000u

static char out_[LOG_EVENT_BYTES_MAX + 1];

/* 2026-01-31T12:00:00.045Z */
static const struct timespec moment = {.tv_sec = 1769860800, .tv_nsec = 45678901};

static size_t format(struct log_style style, const struct log_field *fields, size_t count,
                     size_t room)
{
    const struct log_event event = {LEVEL_WARNING, "it_happened", fields, count};
    size_t bytes = log_format_event(&style, &moment, &event, out_, room);
    assert_in_range(bytes, 0, room);
    out_[bytes] = '\0';
    return bytes;
}

static const char *formatted(struct log_style style, const struct log_field *fields, size_t count)
{
    size_t bytes = format(style, fields, count, sizeof(out_) - 1);
    assert_true(bytes > 0);
    assert_int_equal(out_[bytes - 1], '\n');
    return out_;
}

#define FORMATTED(kind, journal, ...)                                                              \
    formatted((struct log_style){.format = (kind), .is_journal = (journal)},                       \
              (const struct log_field[]){__VA_ARGS__},                                             \
              ARRAY_COUNT(((const struct log_field[]){__VA_ARGS__})))

#define SOME                                                                                       \
    LOG_WORD("run", "run_1"), LOG_NATURAL("lines", 3), LOG_FP("s", 0.5),                           \
        LOG_BOOLEAN("late", true), LOG_HEX("at", 0x1f), LOG_TEXT("reason", "so \"it\" is")
#define TRACE "Traceback:\n  File \"a.py\"\n\nValueError: x\x1b[2J\n2026-01-31 error forged\n"

static void the_formats_are_these(void **state)
{
    (void)state;
    assert_string_equal(FORMATTED(LOG_FORMAT_TEXT, false, SOME),
                        "2026-01-31T12:00:00.045Z warning it_happened run=run_1 lines=3 s=0.5 "
                        "late=true at=0x1f reason=\"so \\\"it\\\" is\"\n");
    assert_string_equal(FORMATTED(LOG_FORMAT_LOGFMT, false, SOME),
                        "time=2026-01-31T12:00:00.045Z level=warning event=it_happened run=run_1 "
                        "lines=3 s=0.5 late=true at=0x1f reason=\"so \\\"it\\\" is\"\n");
    assert_string_equal(FORMATTED(LOG_FORMAT_JSON, false, SOME),
                        "{\"time\":\"2026-01-31T12:00:00.045Z\",\"level\":\"warning\","
                        "\"event\":\"it_happened\",\"run\":\"run_1\",\"lines\":3,\"s\":0.5,"
                        "\"late\":true,\"at\":\"0x1f\",\"reason\":\"so \\\"it\\\" is\"}\n");
}

static void a_name_is_written_like_a_word_that_needs_no_quotes(void **state)
{
    (void)state;
    static const char name[] = "me/words:v1.a-b_c@d";
    char expected[sizeof out_];
    for (enum log_format kind = 0; kind < LOG_FORMAT_COUNT; kind++) {
        snprintf(expected, sizeof expected, "%s", FORMATTED(kind, false, LOG_WORD("a", name)));
        assert_string_equal(FORMATTED(kind, false, LOG_NAME("a", name)), expected);
        assert_null(strstr(FORMATTED(kind, false, LOG_NAME("absent", NULL)), "absent"));
    }
}

/* Words are looked at eight bytes at a time, and short ones one by one. */
static void a_byte_needs_quotes_wherever_in_a_word_it_is(void **state)
{
    (void)state;
    for (unsigned byte = 1; byte < 256; byte++) {
        char alone[] = {(char)byte, '\0'};
        bool is_quoted = strstr(FORMATTED(LOG_FORMAT_LOGFMT, false, LOG_WORD("a", alone)), " a=\"");
        for (size_t at = 0; at < 20; at++) {
            char word[] = "az09-./me_A-Z:-9-az@";
            word[at] = (char)byte;
            const char *line = FORMATTED(LOG_FORMAT_LOGFMT, false, LOG_WORD("a", word));
            assert_int_equal(is_quoted, strstr(line, " a=\"") != NULL);
            assert_true(is_quoted || strstr(line, word));
        }
    }
}

static void the_journal_is_told_the_priority_of_each_line_and_has_a_time_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(
        FORMATTED(LOG_FORMAT_TEXT, true, LOG_WORD("a", "b"), LOG_BLOCK("traceback", "one\ntwo", 7)),
        "<4>warning it_happened a=b\n<4>    one\n<4>    two\n");
    assert_string_equal(FORMATTED(LOG_FORMAT_JSON, true, LOG_WORD("a", "b")),
                        "<4>{\"time\":\"2026-01-31T12:00:00.045Z\",\"level\":\"warning\","
                        "\"event\":\"it_happened\",\"a\":\"b\"}\n");
    assert_string_equal(FORMATTED(LOG_FORMAT_LOGFMT, true, LOG_WORD("a", "b")),
                        "<4>time=2026-01-31T12:00:00.045Z level=warning event=it_happened a=b\n");
}

static void a_block_is_indented_behind_the_line_or_one_value(void **state)
{
    (void)state;
    const struct log_field block = LOG_BLOCK("traceback", TRACE, strlen(TRACE));
    assert_string_equal(FORMATTED(LOG_FORMAT_TEXT, false, block, LOG_NATURAL("n", 1)),
                        "2026-01-31T12:00:00.045Z warning it_happened n=1\n"
                        "    Traceback:\n"
                        "      File \"a.py\"\n"
                        "    ValueError: x\\x1b[2J\n"
                        "    2026-01-31 error forged\n");
    assert_string_equal(FORMATTED(LOG_FORMAT_LOGFMT, false, block, LOG_NATURAL("n", 1)),
                        "time=2026-01-31T12:00:00.045Z level=warning event=it_happened n=1 "
                        "traceback=\"Traceback:\\n  File \\\"a.py\\\"\\n\\nValueError: x\\u001b[2J"
                        "\\n2026-01-31 error forged\"\n");
    assert_non_null(strstr(FORMATTED(LOG_FORMAT_JSON, false, block, LOG_NATURAL("n", 1)),
                           ",\"n\":1,\"traceback\":\"Traceback:\\n  File \\\"a.py\\\""));
}

static void of_a_block_that_is_too_long_the_end_is_kept_and_the_rest_counted(void **state)
{
    (void)state;
    static char text[LOG_BLOCK_BYTES_MAX * 2];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 100 == 99 ? '\n' : "\xe4\xbd\xa0"[i % 3];
    memcpy(text + sizeof(text) - 5, "\nend\n", 5);
    const struct log_field block = LOG_BLOCK("traceback", text, sizeof(text));
    /* A line begins with each hundred; the next one after the bound, without the last newline. */
    const char *line = strchr(FORMATTED(LOG_FORMAT_TEXT, false, block), '\n') + 1;
    assert_true(strncmp(line, "    [8200 bytes are left out]\n    ", 34) == 0);
    assert_string_equal(line + strlen(line) - 9, "\n    end\n");
    const char *json = FORMATTED(LOG_FORMAT_JSON, false, block);
    assert_non_null(strstr(json, "\"traceback\":\"[8200 bytes are left out]\\n"));
    assert_non_null(strstr(json, "\\nend\"}\n"));
    /* Where the line does not end soon, it is cut at a character. */
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "\xe4\xbd\xa0"[i % 3];
    line = strchr(FORMATTED(LOG_FORMAT_TEXT, false, LOG_BLOCK("traceback", text, 3 * 4000)), '\n');
    assert_true(strncmp(line, "\n    [3810 bytes are left out]\n    \xe4\xbd\xa0", 38) == 0);
}

/* The largest that there can be, in each format: a byte that becomes six, line ends. */
static void any_event_fits_into_its_bound(void **state)
{
    (void)state;
    static char text[LOG_BLOCK_BYTES_MAX * 2];
    static const char *const worst[] = {"\x01", "\n", "a\n", "\xff", "\xc2\x9b", "\"", "\xff\n"};
    for (size_t w = 0; w < ARRAY_COUNT(worst); w++) {
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = worst[w][i % strlen(worst[w])];
        for (uint32_t kind = 0; kind < LOG_FORMAT_COUNT; kind++)
            for (int journal = 0; journal < 2; journal++)
                FORMATTED((enum log_format)kind, journal, LOG_BYTES("a", text, sizeof(text)),
                          LOG_BYTES("b", text, sizeof(text)), LOG_BYTES("c", text, sizeof(text)),
                          LOG_BYTES("d", text, sizeof(text)), LOG_BYTES("e", text, sizeof(text)),
                          LOG_NATURAL("n", 7), LOG_BLOCK("block", text, sizeof(text)));
    }
}

static void an_event_without_room_is_left_out_whole(void **state)
{
    (void)state;
    const struct log_field fields[] = {SOME, LOG_BLOCK("traceback", TRACE, strlen(TRACE))};
    for (uint32_t kind = 0; kind < LOG_FORMAT_COUNT; kind++) {
        struct log_style style = {.format = (enum log_format)kind};
        size_t bytes = format(style, fields, ARRAY_COUNT(fields), sizeof(out_) - 1);
        for (size_t room = 0; room < bytes; room++)
            assert_int_equal(format(style, fields, ARRAY_COUNT(fields), room), 0);
        /* Up to seven bytes are asked for that an escape would have taken. */
        assert_int_equal(format(style, fields, ARRAY_COUNT(fields), bytes + 8), bytes);
    }
}

static void the_lines_of_a_block_are_not_counted(void **state)
{
    (void)state;
    for (int journal = 0; journal < 2; journal++) {
        char two[512];
        size_t bytes = 0;
        for (int i = 0; i < 2; i++) {
            const char *event = FORMATTED(LOG_FORMAT_TEXT, journal, LOG_WORD("a", "b"),
                                          LOG_BLOCK("traceback", TRACE, strlen(TRACE)));
            memcpy(two + bytes, event, strlen(event));
            bytes += strlen(event);
        }
        assert_int_equal(log_format_count(two, bytes), 2);
        assert_int_equal(log_format_count(two + 10, bytes - 10), 2);
        assert_int_equal(log_format_count(two, bytes - 10), 1);
        assert_int_equal(log_format_count(two, 0), 0);
    }
}

/* What JSON makes of bytes: those that are no UTF-8 are lost, and nothing else is. */
static void expect_text(const char *shown, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t sequence = utf8_sequence((const uint8_t *)bytes + i, count - i);
        if (sequence == 0) {
            assert_memory_equal(shown, "\xef\xbf\xbd", 3);
            shown += 3;
            i++;
            continue;
        }
        assert_memory_equal(shown, bytes + i, sequence);
        shown += sequence;
        i += sequence;
    }
    assert_string_equal(shown, "");
}

/* Bytes that are often what matters: quotes, escapes, line ends, beginnings of characters. */
static size_t garbage(uint64_t *chance, char *bytes, size_t room)
{
    static const char often[] = "\"\\\n\r\t =<{}x\x1b\xc2\xe2\x80\xa8\xf0\xff\x7f";
    size_t count = random_below(chance, (uint32_t)room);
    for (size_t i = 0; i < count; i++) {
        do
            bytes[i] = random_below(chance, 2) == 0 ? often[random_below(chance, sizeof(often) - 1)]
                                                    : (char)random_below(chance, 256);
        while (bytes[i] == '\0'); /* cJSON's texts end with one */
    }
    return count;
}

static void json_is_valid_and_complete_whatever_a_text_holds(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < TRIAL_COUNT; i++) {
        char bytes[300];
        size_t count = garbage(&chance, bytes, sizeof(bytes));
        while (count > 0 && bytes[count - 1] == '\n')
            count--; /* the last line's end is left out of a block */
        const char *line = FORMATTED(LOG_FORMAT_JSON, false, LOG_BYTES("a", bytes, count),
                                     LOG_BLOCK("b", bytes, count));
        size_t line_bytes = strlen(line) - 1;
        assert_true(utf8_is_valid(line, line_bytes));
        for (size_t k = 0; k < line_bytes; k += utf8_shown_bytes(line + k, line_bytes - k))
            assert_true(utf8_shown_bytes(line + k, line_bytes - k) > 0);
        cJSON *root = cJSON_Parse(line);
        assert_non_null(root);
        assert_int_equal(cJSON_GetArraySize(root), 5);
        expect_text(cJSON_GetObjectItem(root, "a")->valuestring, bytes, count);
        expect_text(cJSON_GetObjectItem(root, "b")->valuestring, bytes, count);
        cJSON_Delete(root);
    }
}

/* Of all lines but the first one: they begin with four blanks. */
static void text_is_one_event_whatever_a_text_holds(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    for (uint32_t i = 0; i < TRIAL_COUNT; i++) {
        char bytes[300];
        size_t count = garbage(&chance, bytes, sizeof(bytes));
        const char *line = FORMATTED(LOG_FORMAT_TEXT, false, LOG_BYTES("a", bytes, count),
                                     LOG_BLOCK("b", bytes, count));
        assert_int_equal(log_format_count(line, strlen(line)), 1);
        for (const char *at = line; (at = strchr(at, '\n')) != NULL && at[1] != '\0';)
            assert_true(strncmp(++at, "    ", 4) == 0);
        for (const char *at = line; *at != '\0';) {
            size_t shown = utf8_shown_bytes(at, strlen(at));
            assert_true(shown > 0 || *at == '\n');
            at += shown > 0 ? shown : 1;
        }
    }
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_formats_are_these),
        cmocka_unit_test(a_name_is_written_like_a_word_that_needs_no_quotes),
        cmocka_unit_test(a_byte_needs_quotes_wherever_in_a_word_it_is),
        cmocka_unit_test(the_journal_is_told_the_priority_of_each_line_and_has_a_time_of_its_own),
        cmocka_unit_test(a_block_is_indented_behind_the_line_or_one_value),
        cmocka_unit_test(of_a_block_that_is_too_long_the_end_is_kept_and_the_rest_counted),
        cmocka_unit_test(any_event_fits_into_its_bound),
        cmocka_unit_test(an_event_without_room_is_left_out_whole),
        cmocka_unit_test(the_lines_of_a_block_are_not_counted),
        cmocka_unit_test(json_is_valid_and_complete_whatever_a_text_holds),
        cmocka_unit_test(text_is_one_event_whatever_a_text_holds),
    };
    return cmocka_run_group_tests_name("log_format", tests, descriptors_note, descriptors_compare);
}
