/* SPDX-License-Identifier: MIT */
/* test_cors.c - which pages may read answers, and what their heads say of it. */
#include "dispatcher/config/cors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define EXPOSE                                                                                     \
    "Access-Control-Expose-Headers: X-Request-Id, X-Correlation-Id, Retry-After, "                 \
    "X-Millrace-Pipeline, *\r\n"

static struct cors cors;
static char reason[CLI_REASON_BYTES];

static int make(const char *first, const char *second)
{
    struct cli_list list = {.items = {first, second}, .count = second ? 2 : 1};
    cors_finish(&cors);
    return cors_init(&cors, &list, reason);
}

static int cors_drop(void **state)
{
    (void)state;
    cors_finish(&cors);
    return 0;
}

static uint32_t find(const char *origin)
{
    return cors_find(&cors, origin, strlen(origin));
}

static void without_origins_nothing_is_said(void **state)
{
    (void)state;
    const struct cli_list none = {0};
    assert_int_equal(cors_init(&cors, &none, reason), 0);
    assert_int_equal(find("https://a"), 0);
    assert_int_equal(find("*"), 0);
    assert_string_equal(cors_lines(&cors, 0), "");
    assert_string_equal(cors_lines(&cors, 1), "");
    assert_false(cors_is_open(&cors));
}

static void an_origin_reads_its_own_name_and_others_only_that_it_matters(void **state)
{
    (void)state;
    assert_int_equal(make("https://App.Example:8443", "http://[::1]:3000"), 0);
    assert_int_equal(find("https://app.example:8443"), 1);
    assert_int_equal(find("http://[::1]:3000"), 2);
    assert_string_equal(cors_lines(&cors, 1),
                        "Access-Control-Allow-Origin: https://app.example:8443\r\n"
                        "Vary: Origin\r\n" EXPOSE);
    assert_string_equal(cors_lines(&cors, 2), "Access-Control-Allow-Origin: http://[::1]:3000\r\n"
                                              "Vary: Origin\r\n" EXPOSE);
    assert_string_equal(cors_lines(&cors, 0), "Vary: Origin\r\n");
    assert_string_equal(cors_lines(&cors, 3), "Vary: Origin\r\n");
    assert_false(cors_is_open(&cors));
    static const char *const others[] = {"",
                                         "null",
                                         "*",
                                         "https://app.example",
                                         "https://app.example:844",
                                         "https://app.example:84430",
                                         "http://app.example:8443",
                                         "https://App.Example:8443",
                                         "https://app.example:8443 https://b"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        assert_int_equal(find(others[i]), 0);
}

static void all_of_them_is_one_line_for_everybody(void **state)
{
    (void)state;
    assert_int_equal(make("*", NULL), 0);
    assert_int_equal(find("https://a"), 1);
    assert_int_equal(find("null"), 1);
    assert_string_equal(cors_lines(&cors, 0), "Access-Control-Allow-Origin: *\r\n" EXPOSE);
    assert_string_equal(cors_lines(&cors, 1), cors_lines(&cors, 0));
    assert_true(cors_is_open(&cors));
}

static void every_page_can_have_no_origin(void **state)
{
    (void)state;
    assert_int_equal(make("https://a", "null"), 0);
    assert_int_equal(find("null"), 2);
    assert_true(cors_is_open(&cors));
}

static void what_no_browser_sends_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *why;
    } cases[] = {
        {"", "not an origin"},
        {"app.example", "not an origin"},
        {"https://app.example/", "not an origin"},
        {"https://app.example/page", "not an origin"},
        {"https://*.app.example", "not an origin"},
        {"https://a\r\nX: y", "not an origin"},
        {"https://m\xc3\xbchle.example", "not an origin"},
        {"https://app.example:443", "the usual port"},
        {"HTTP://app.example:80", "the usual port"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(make(cases[i].origin, NULL), -EINVAL);
        assert_non_null(strstr(reason, cases[i].why));
    }
    assert_int_equal(make("https://app.example:80", "http://app.example:443"), 0);
    assert_int_equal(make("https://a", "*"), -EINVAL);
    assert_non_null(strstr(reason, "every origin"));
}

static void there_is_a_largest_count(void **state)
{
    (void)state;
    static char origins[CORS_ORIGIN_COUNT_MAX + 1][16];
    struct cli_list list = {.count = CORS_ORIGIN_COUNT_MAX};
    for (uint32_t i = 0; i <= CORS_ORIGIN_COUNT_MAX; i++) {
        snprintf(origins[i], sizeof(origins[i]), "http://a:%u", i + 1);
        list.items[i] = origins[i];
    }
    assert_int_equal(cors_init(&cors, &list, reason), 0);
    assert_int_equal(find("http://a:64"), CORS_ORIGIN_COUNT_MAX);
    cors_finish(&cors);
    list.count++;
    assert_int_equal(cors_init(&cors, &list, reason), -EINVAL);
}

#define CORS_TEST(name) cmocka_unit_test_teardown(name, cors_drop)

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        CORS_TEST(without_origins_nothing_is_said),
        CORS_TEST(an_origin_reads_its_own_name_and_others_only_that_it_matters),
        CORS_TEST(all_of_them_is_one_line_for_everybody),
        CORS_TEST(every_page_can_have_no_origin),
        CORS_TEST(what_no_browser_sends_is_refused),
        CORS_TEST(there_is_a_largest_count),
    };
    return cmocka_run_group_tests_name("cors", tests, NULL, NULL);
}
