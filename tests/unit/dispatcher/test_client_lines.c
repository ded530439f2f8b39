/* SPDX-License-Identifier: MIT */
/*
 * test_client_lines.c - the lines of an answer are the same however its bytes arrive.
 */
#include "dispatcher/cli/client/client_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char answer[] =
    "{\"state\":\"running\",\"outputs\":[{\"type\":\"string\",\"value\":\"a\\u00e9\\n\"}]}\n"
    "\n"
    "{\"outputs\":[{\"value\":9007199254740993},{\"value\":[1, 2.50]}],\"error\":null}\r\n"
    "{\"outputs\":[]}\n"
    "{\"outputs\":[{\"value\":null}]}";

static const char printed[] = "a\xc3\xa9\n\n9007199254740993\t[1, 2.50]\n\nnull\n";

/* What is printed of the answer when it comes in three pieces, cut at `first` and `second`. */
static char *print(bool is_json, size_t first, size_t second)
{
    char *text;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    struct client_lines lines = {.command = "run", .out = file, .is_json = is_json};
    size_t count = sizeof(answer) - 1;
    assert_true(client_lines_take(&lines, 200, answer, first));
    assert_true(client_lines_take(&lines, 200, answer + first, second - first));
    assert_true(client_lines_take(&lines, 200, answer + second, count - second));
    client_lines_finish(&lines, 200, true);
    assert_int_equal(lines.output_count, 4);
    assert_int_equal(lines.end, LINES_OPEN);
    assert_false(lines.is_failed);
    fclose(file);
    return text;
}

static void values_are_printed_the_same_wherever_the_answer_is_cut(void **state)
{
    (void)state;
    for (size_t first = 0; first < sizeof(answer); first++) {
        for (size_t second = first; second < sizeof(answer); second += 7) {
            char *text = print(false, first, second);
            assert_string_equal(text, printed);
            free(text);
        }
    }
}

static void with_json_lines_are_printed_as_they_came_without_the_blank_ones(void **state)
{
    (void)state;
    char *text = print(true, 10, 100);
    const char *blank = strstr(answer, "\n\n") + 1;
    size_t before = (size_t)(blank - answer);
    assert_memory_equal(text, answer, before);
    assert_memory_equal(text + before, blank + 1, strlen(blank + 1));
    assert_string_equal(text + before + strlen(blank + 1), "\n");
    free(text);
}

static void a_terminal_is_not_shown_what_steers_it_and_everybody_else_gets_all_bytes(void **state)
{
    (void)state;
    static const char line[] =
        "{\"outputs\":[{\"value\":\"\\u001b[2J\\u009b\xe2\x80\xae\xc3\xa9\"}]}\n";
    for (int is_terminal = 0; is_terminal < 2; is_terminal++) {
        char *text;
        size_t bytes;
        FILE *file = open_memstream(&text, &bytes);
        struct client_lines lines = {
            .command = "run", .out = file, .is_terminal = is_terminal == 1};
        assert_true(client_lines_take(&lines, 200, line, sizeof(line) - 1));
        client_lines_finish(&lines, 200, true);
        fclose(file);
        assert_string_equal(text, is_terminal ? "?[2J?????\xc3\xa9\n"
                                              : "\x1b[2J\xc2\x9b\xe2\x80\xae\xc3\xa9\n");
        free(text);
    }
}

static void a_line_that_was_cut_is_not_printed(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    struct client_lines lines = {.out = file};
    assert_true(client_lines_take(&lines, 200, answer, sizeof(answer) - 1));
    client_lines_finish(&lines, 200, false);
    assert_int_equal(lines.output_count, 3);
    assert_null(lines.line.bytes);
    fclose(file);
    assert_int_equal(bytes, strlen(printed) - strlen("null\n"));
    free(text);
}

/* Whether the rest of an answer is still wanted after `line`; what is said goes to stderr. */
static bool goes_on_after(const char *line, struct client_lines *lines)
{
    *lines = (struct client_lines){.out = stdout};
    bool wanted = client_lines_take(lines, 200, line, strlen(line));
    client_lines_finish(lines, 200, false);
    return wanted;
}

static void an_error_is_noted_and_a_line_that_is_no_result_ends_the_answer(void **state)
{
    (void)state;
    struct client_lines lines;
    assert_true(goes_on_after("{\"outputs\":null,\"error\":{\"type\":\"oom\"}}\n", &lines));
    assert_true(lines.is_failed);
    assert_true(goes_on_after("{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"no\"}]}\n", &lines));
    assert_true(lines.is_failed);
    assert_true(goes_on_after("{\"detail\":{\"message\":\"no\"}}\n", &lines));
    assert_true(lines.is_failed);
    assert_true(goes_on_after("{\"state\":\"failed\",\"outputs\":null,\"error\":null}\n", &lines));
    assert_true(lines.is_failed);
    assert_int_equal(lines.output_count, 0);
    assert_true(goes_on_after("{\"state\":\"completed\",\"outputs\":null}\n", &lines));
    assert_false(lines.is_failed);
    static const char *const others[] = {"{\"outputs\":[]}}\n", "[]\n", "7\n", "\"outputs\"\n"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_false(goes_on_after(others[i], &lines));
        assert_int_equal(lines.end, LINES_UNREADABLE);
    }
}

static void an_output_that_takes_no_more_ends_the_answer(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "we");
    assert_non_null(full);
    struct client_lines lines = {.out = full};
    assert_false(client_lines_take(&lines, 200, answer, sizeof(answer) - 1));
    assert_int_equal(lines.end, LINES_NO_OUTPUT);
    assert_int_equal(lines.output_count, 1);
    client_lines_finish(&lines, 200, true);
    assert_int_equal(lines.output_count, 1);
    fclose(full);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_printed_the_same_wherever_the_answer_is_cut),
        cmocka_unit_test(with_json_lines_are_printed_as_they_came_without_the_blank_ones),
        cmocka_unit_test(a_terminal_is_not_shown_what_steers_it_and_everybody_else_gets_all_bytes),
        cmocka_unit_test(a_line_that_was_cut_is_not_printed),
        cmocka_unit_test(an_error_is_noted_and_a_line_that_is_no_result_ends_the_answer),
        cmocka_unit_test(an_output_that_takes_no_more_ends_the_answer),
    };
    return cmocka_run_group_tests_name("client_lines", tests, NULL, NULL);
}
