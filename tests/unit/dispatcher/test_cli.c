/* SPDX-License-Identifier: MIT */
/*
 * test_cli.c - option tables are parsed strictly, and what is wrong is said with the nearest name.
 */
#include "dispatcher/config/cli.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct values {
    bool quiet;
    const char *url;
    struct cli_list listen;
    uint32_t workers;
    uint64_t memory;
    uint32_t ring;
    uint32_t timeout_ms;
    uint32_t level;
    struct cli_range places;
};

static const char *const levels[] = {"debug", "info", NULL};

static const struct cli_option options[] = {
    {"quiet", NULL, CLI_FLAG, CLI_MEMBER(struct values, quiet), .help = "say less"},
    {"url", "URL", CLI_TEXT, CLI_MEMBER(struct values, url), .help = "where to"},
    {"listen", "ADDR", CLI_LIST, CLI_MEMBER(struct values, listen), .max = 2, .help = "address"},
    {"workers", NULL, CLI_NUMBER, CLI_MEMBER(struct values, workers), .min = 1, .max = 256,
     .help = "processes"},
    {"memory", NULL, CLI_SIZE, CLI_MEMBER(struct values, memory), .min = 1024, .max = UINT64_MAX,
     .help = "bytes"},
    {"ring", NULL, CLI_SIZE_POWER, CLI_MEMBER(struct values, ring), .min = 4096, .max = 1 << 30,
     .help = "a word and another word and another word and another word and another word"},
    {"timeout", NULL, CLI_DURATION, CLI_MEMBER(struct values, timeout_ms), .min = 0, .max = 3600000,
     .help = "time"},
    {"level", NULL, CLI_CHOICE, CLI_MEMBER(struct values, level), .choices = levels,
     .help = "how much"},
    {"places", NULL, CLI_RANGE, CLI_MEMBER(struct values, places), .min = 0, .max = 9,
     .help = "how many"},
};

static const struct cli_command command = {.name = "test",
                                           .words = "WORD...",
                                           .about = "Tests.",
                                           .options = options,
                                           .option_count = ARRAY_COUNT(options),
                                           .word_count_max = 3};

static struct values values;
static struct cli_words words;
static char reason[CLI_REASON_BYTES];

/* Parses up to six words; NULL ends them. */
static int parse(const char *a, const char *b, const char *c, const char *d, const char *e,
                 const char *f)
{
    static char copies[6][64];
    static char *argv[7];
    const char *given[] = {a, b, c, d, e, f, NULL};
    int argc = 0;
    for (; given[argc]; argc++) {
        snprintf(copies[argc], sizeof(copies[argc]), "%s", given[argc]);
        argv[argc] = copies[argc];
    }
    memset(&values, 0, sizeof(values));
    values.workers = 7;
    values.places = (struct cli_range){2, 2};
    reason[0] = '\0';
    return cli_parse(&command, argc, argv, &values, &words, reason);
}

static void refused(const char *a, const char *b, const char *why)
{
    assert_int_equal(parse(a, b, NULL, NULL, NULL, NULL), -EINVAL);
    assert_string_equal(reason, why);
}

static void words_and_options_come_in_any_order(void **state)
{
    (void)state;
    assert_int_equal(parse("a", "--workers", "3", "b", "--quiet", "c"), 0);
    assert_int_equal(words.count, 3);
    assert_string_equal(words.items[0], "a");
    assert_string_equal(words.items[1], "b");
    assert_string_equal(words.items[2], "c");
    assert_int_equal(values.workers, 3);
    assert_true(values.quiet);
    assert_null(values.url);
}

static void what_is_not_given_keeps_its_default(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.workers, 7);
    assert_int_equal(words.count, 0);
}

static void a_value_follows_an_equals_sign_or_is_the_next_word(void **state)
{
    (void)state;
    assert_int_equal(parse("--url=--x=y", "--listen", "a", "--listen=b", NULL, NULL), 0);
    assert_string_equal(values.url, "--x=y");
    assert_int_equal(values.listen.count, 2);
    assert_string_equal(values.listen.items[0], "a");
    assert_string_equal(values.listen.items[1], "b");
    assert_int_equal(parse("--url", "-1", NULL, NULL, NULL, NULL), 0);
    assert_string_equal(values.url, "-1");
}

static void two_dashes_end_the_options_and_negative_numbers_are_words(void **state)
{
    (void)state;
    assert_int_equal(parse("-5", "-", "--", NULL, NULL, NULL), 0);
    assert_int_equal(words.count, 2);
    assert_int_equal(parse("-.5", "--", "--quiet", "--", NULL, NULL), 0);
    assert_int_equal(words.count, 3);
    assert_string_equal(words.items[1], "--quiet");
    assert_string_equal(words.items[2], "--");
    assert_false(values.quiet);
}

static void help_wins_over_everything_before_two_dashes(void **state)
{
    (void)state;
    assert_int_equal(parse("--nonsense", "--help", NULL, NULL, NULL, NULL), 1);
    assert_int_equal(parse("-h", NULL, NULL, NULL, NULL, NULL), 1);
    assert_int_equal(parse("--", "--help", NULL, NULL, NULL, NULL), 0);
}

static void an_unknown_option_is_answered_with_the_nearest(void **state)
{
    (void)state;
    refused("--wokrers", "3", "unknown option --wokrers (nearest: --workers)");
    refused("--worker=3", NULL, "unknown option --worker (nearest: --workers)");
    refused("-workers", "3", "unknown option -workers (nearest: --workers)");
    refused("--time", NULL, "unknown option --time (nearest: --timeout)");
    refused("--lstn", NULL, "unknown option --lstn (nearest: --listen)");
    refused("--hepl", NULL, "unknown option --hepl (nearest: --help)");
    refused("-q", NULL, "unknown option -q (nearest: --quiet)");
}

static void a_name_is_not_suggested_that_cannot_have_been_meant(void **state)
{
    (void)state;
    refused("--config", "x", "unknown option --config (millrace test --help has them all)");
    refused("--qqq=--quiet", NULL, "unknown option --qqq (millrace test --help has them all)");
    refused("--=", NULL, "unknown option -- (millrace test --help has them all)");
    const char *const names[] = {"serve", "run", NULL};
    assert_null(cli_nearest("srv", names)); /* two steps of five letters */
    assert_string_equal(cli_nearest("srve", names), "serve");
    assert_null(cli_nearest("foo", names));
    assert_null(cli_nearest("", names));
    assert_string_equal(cli_nearest("rn", names), "run");
    assert_string_equal(cli_nearest("r", names), "run"); /* begins with it */
}

static void a_missing_or_an_unwanted_value_is_said(void **state)
{
    (void)state;
    refused("--workers", NULL, "--workers needs a value (N)");
    refused("--workers", "--quiet", "--workers needs a value (N)");
    refused("--url", NULL, "--url needs a value (URL)");
    refused("--url=", NULL, "--url needs a value that is not empty");
    refused("--quiet=yes", NULL, "--quiet takes no value");
}

static void numbers_are_decimal_and_in_range(void **state)
{
    (void)state;
    assert_int_equal(parse("--workers", "256", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.workers, 256);
    refused("--workers", "0", "--workers 0 is out of range, 1 to 256");
    refused("--workers", "257", "--workers 257 is out of range, 1 to 256");
    refused("--workers", "18446744073709551617",
            "--workers 18446744073709551617 is out of range, 1 to 256");
    refused("--workers", "-1", "--workers -1 is not a number (1 to 256)");
    refused("--workers", "two", "--workers two is not a number (1 to 256)");
    refused("--workers", "0x10", "--workers 0x10 is not a number (1 to 256)");
    refused("--workers", "1 ", "--workers 1  is not a number (1 to 256)");
    refused("--workers=", NULL, "--workers  is not a number (1 to 256)");
}

static void places_are(const char *text, uint32_t min, uint32_t max)
{
    assert_int_equal(parse("--places", text, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.places.min, min);
    assert_int_equal(values.places.max, max);
}

static void a_range_is_one_number_or_two(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.places.max, 2);
    places_are("9", 9, 9);
    places_are("0-1", 0, 1);
    places_are("3-3", 3, 3);
    refused("--places", "two", "--places two is not a number, or two like 1-8 (0 to 9)");
    refused("--places", "1-", "--places 1- is not a number, or two like 1-8 (0 to 9)");
    refused("--places", "=-1", "--places =-1 is not a number, or two like 1-8 (0 to 9)");
    refused("--places", "1-2-3", "--places 1-2-3 is not a number, or two like 1-8 (0 to 9)");
    refused("--places", "1-10", "--places 1-10 is out of range, 0 to 9");
    refused("--places", "3-2", "--places 3-2: the first is greater than the second");
    refused("--places", "0", "--places 0 is never any; 0-1 is none or one");
}

static void sizes_have_binary_units(void **state)
{
    (void)state;
    assert_int_equal(parse("--memory", "64k", "--ring", "1M", NULL, NULL), 0);
    assert_int_equal(values.memory, 65536);
    assert_int_equal(values.ring, 1 << 20);
    assert_int_equal(parse("--memory", "5000", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.memory, 5000);
    assert_int_equal(parse("--memory=16000000000g", NULL, NULL, NULL, NULL, NULL), 0);
    assert_true(values.memory == UINT64_C(16000000000) << 30);
    assert_int_equal(parse("--memory=18446744073g", NULL, NULL, NULL, NULL, NULL), -EINVAL);
    refused("--ring", "1kb", "--ring 1kb is not a size like 65536, 64k or 1m (4k to 1g)");
    refused("--ring", "2g", "--ring 2g is out of range, 4k to 1g");
    refused("--ring", "100k", "--ring 100k is not a power of two");
}

static void times_need_a_unit(void **state)
{
    (void)state;
    assert_int_equal(parse("--timeout", "500ms", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.timeout_ms, 500);
    assert_int_equal(parse("--timeout", "10s", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.timeout_ms, 10000);
    assert_int_equal(parse("--timeout", "2m", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.timeout_ms, 120000);
    assert_int_equal(parse("--timeout", "1h", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(parse("--timeout", "0", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.timeout_ms, 0);
    refused("--timeout", "10", "--timeout 10 is not a time like 500ms, 10s or 2m (0 to 1h)");
    refused("--timeout", "2h", "--timeout 2h is out of range, 0 to 1h");
}

static void a_choice_is_one_of_its_words(void **state)
{
    (void)state;
    assert_int_equal(parse("--level", "info", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(values.level, 1);
    refused("--level", "inf", "--level inf is none of debug, info");
}

static void a_list_and_the_words_have_a_greatest_length(void **state)
{
    (void)state;
    assert_int_equal(parse("--listen=a", "--listen=b", "--listen=c", NULL, NULL, NULL), -EINVAL);
    assert_string_equal(reason, "--listen can be given 2 times at most");
    assert_int_equal(parse("a", "b", "c", "d", NULL, NULL), -EINVAL);
    assert_string_equal(reason, "too many arguments at 'd', it is: millrace test WORD...");
    struct cli_command needs_one = command;
    needs_one.word_count_min = 1;
    assert_int_equal(cli_parse(&needs_one, 0, NULL, &values, &words, reason), -EINVAL);
    assert_string_equal(reason, "not enough arguments, it is: millrace test WORD...");
}

static void distance_counts_single_steps(void **state)
{
    (void)state;
    assert_int_equal(cli_distance("serve", "serve"), 0);
    assert_int_equal(cli_distance("", "serve"), 5);
    assert_int_equal(cli_distance("serve", ""), 5);
    assert_int_equal(cli_distance("srve", "serve"), 1);
    assert_int_equal(cli_distance("sserve", "serve"), 1);
    assert_int_equal(cli_distance("sarve", "serve"), 1);
    assert_int_equal(cli_distance("esrve", "serve"), 1);
    assert_int_equal(cli_distance("kitten", "sitting"), 3);
    assert_int_equal(cli_distance("ser", "serve"), 1);
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(cli_distance(longest, "serve"), 64);
}

static void numbers_are_printed_as_they_would_be_written(void **state)
{
    (void)state;
    static const struct {
        enum cli_kind kind;
        uint64_t number;
        const char *text;
    } cases[] = {
        {CLI_NUMBER, 0, "0"},           {CLI_NUMBER, 1024, "1024"}, {CLI_SIZE, 1024, "1k"},
        {CLI_SIZE, 1025, "1025"},       {CLI_SIZE, 0, "0"},         {CLI_DURATION, 90000, "90s"},
        {CLI_DURATION, 1500, "1500ms"}, {CLI_DURATION, 0, "0"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[CLI_NUMBER_TEXT_BYTES];
        cli_format(cases[i].kind, cases[i].number, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* ---- options by pipeline ------------------------------------------------------------------- */

static struct {
    const char *name, *text;
} said[4];
static uint32_t said_count;

static int say(void *at, const struct cli_option *option, const char *text,
               char why[CLI_REASON_BYTES])
{
    assert_ptr_equal(at, &values);
    said[said_count].name = option->name;
    said[said_count++].text = text;
    snprintf(why, CLI_REASON_BYTES, "said enough");
    return said_count == ARRAY_COUNT(said) ? -EINVAL : 0;
}

static const struct cli_option options_of_each[] = {
    {"ring", NULL, CLI_SIZE_POWER, CLI_MEMBER(struct cli_list, count), .min = 4096, .max = 1 << 30,
     .help = "bytes", .by_pipeline = true},
    {"loud", NULL, CLI_FLAG, .by_pipeline = true, .help = "say more"},
    {"path", "PATH", CLI_LIST, .by_pipeline = true, .help = "where"},
    {"quiet", NULL, CLI_FLAG, CLI_MEMBER(struct values, quiet), .help = "say less"},
};
static const struct cli_command command_of_each = {.name = "each",
                                                   .words = "",
                                                   .about = "Each.",
                                                   .options = options_of_each,
                                                   .option_count = ARRAY_COUNT(options_of_each),
                                                   .say = say,
                                                   .usual = offsetof(struct values, listen)};

static void options_by_pipeline_go_to_the_command_as_they_are(void **state)
{
    (void)state;
    static char words_of_each[][16] = {"--ring", "a:b=1", "--loud", "--loud=c:d", "--path=x"};
    char *argv[ARRAY_COUNT(words_of_each)];
    for (size_t i = 0; i < ARRAY_COUNT(argv); i++)
        argv[i] = words_of_each[i];
    memset(&values, 0, sizeof(values));
    assert_int_equal(cli_parse(&command_of_each, 4, argv, &values, &words, reason), 0);
    assert_string_equal(said[0].name, "ring");
    assert_string_equal(said[0].text, "a:b=1");
    assert_string_equal(said[1].name, "loud");
    assert_null(said[1].text);
    assert_string_equal(said[2].text, "c:d");
    assert_int_equal(cli_parse(&command_of_each, 1, argv + 4, &values, &words, reason), -EINVAL);
    assert_string_equal(reason, "said enough");
    assert_int_equal(cli_parse(&command_of_each, 1, argv, &values, &words, reason), -EINVAL);
    assert_string_equal(reason, "--ring needs a value (SIZE)");
}

static void help_shows_what_may_be_said_for_one_pipeline(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    struct values defaults = {.listen.count = 8192};
    cli_help(file, &command_of_each, &defaults);
    fclose(file);
    assert_non_null(strstr(text, "\n  --ring [POINTER=]SIZE     bytes (4k to 1g, default 8k)\n"
                                 "  --loud[=POINTER]          say more\n"
                                 "  --path [POINTER=]PATH     where\n"
                                 "  --quiet                   say less\n"));
    free(text);
}

/* ---- help ---------------------------------------------------------------------------------- */

static void help_prints_the_table_with_its_limits_and_defaults(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    struct values defaults = {.workers = 7, .ring = 65536, .level = 1, .places = {2, 2}};
    cli_help(file, &command, &defaults);
    fclose(file);
    assert_string_equal(
        text, "Usage: millrace test WORD... [OPTION]...\n\nTests.\n\nOptions:\n"
              "  --quiet                   say less\n"
              "  --url URL                 where to\n"
              "  --listen ADDR             address\n"
              "  --workers N               processes (1 to 256, default 7)\n"
              "  --memory SIZE             bytes (1k to 18446744073709551615)\n"
              "  --ring SIZE               a word and another word and another word and another\n"
              "                            word and another word (4k to 1g, default 64k)\n"
              "  --timeout TIME            time (0 to 1h)\n"
              "  --level WORD              how much (default info)\n"
              "  --places N[-MAX]          how many (0 to 9, default 2)\n"
              "  --help                    print this and exit\n");
    free(text);
}

static void a_message_is_one_line_whatever_is_in_it(void **state)
{
    (void)state;
    char text[64];
    char longest[4000];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    FILE *file = tmpfile();
    assert_non_null(file);
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    cli_fail("%s", "a\nb\033[31m\177c");
    cli_fail("%s", longest);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_string_equal(text, "millrace: a b?[31m?c\n");
    char line[4000];
    assert_non_null(fgets(line, sizeof(line), file));
    assert_int_equal(strlen(line), 2047);
    assert_string_equal(line + 2043, "...\n");
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
}

static void foreign_text_keeps_to_its_lines(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    cli_print(file, "a\nb\tc\033\xc3\xa9");
    fputc('|', file);
    cli_print_lines(file, "a\nb\rc\n", 6);
    cli_print_lines(file, "d\0e", 3);
    cli_print_lines(file, "", 0);
    cli_print_lines(file, "\x9b;\xc2\x9b;\xe2\x80\xae;\xf0\x9f\x8e\xb5;\xe2\x80", 16);
    cli_print_value(file, "a\n\tb\r\x1b[2J", 9);
    fclose(file);
    assert_string_equal(text, "a b c?\xc3\xa9|a\nb?c\nd?e\n?;??;???;\xf0\x9f\x8e\xb5;??\n"
                              "a\n\tb??[2J");
    free(text);
}

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_options_come_in_any_order),
        cmocka_unit_test(what_is_not_given_keeps_its_default),
        cmocka_unit_test(a_value_follows_an_equals_sign_or_is_the_next_word),
        cmocka_unit_test(two_dashes_end_the_options_and_negative_numbers_are_words),
        cmocka_unit_test(help_wins_over_everything_before_two_dashes),
        cmocka_unit_test(an_unknown_option_is_answered_with_the_nearest),
        cmocka_unit_test(a_name_is_not_suggested_that_cannot_have_been_meant),
        cmocka_unit_test(a_missing_or_an_unwanted_value_is_said),
        cmocka_unit_test(numbers_are_decimal_and_in_range),
        cmocka_unit_test(a_range_is_one_number_or_two),
        cmocka_unit_test(sizes_have_binary_units),
        cmocka_unit_test(times_need_a_unit),
        cmocka_unit_test(a_choice_is_one_of_its_words),
        cmocka_unit_test(a_list_and_the_words_have_a_greatest_length),
        cmocka_unit_test(distance_counts_single_steps),
        cmocka_unit_test(numbers_are_printed_as_they_would_be_written),
        cmocka_unit_test(options_by_pipeline_go_to_the_command_as_they_are),
        cmocka_unit_test(help_shows_what_may_be_said_for_one_pipeline),
        cmocka_unit_test(help_prints_the_table_with_its_limits_and_defaults),
        cmocka_unit_test(a_message_is_one_line_whatever_is_in_it),
        cmocka_unit_test(foreign_text_keeps_to_its_lines),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
