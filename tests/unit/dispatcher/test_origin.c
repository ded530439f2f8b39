/* SPDX-License-Identifier: MIT */
/*
 * test_origin.c - which requests are those of a web page, told by the fields of a browser.
 */
#include "dispatcher/api/origin.h"
#include "dispatcher/config/host_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct config config;

static int config_make(void **state)
{
    (void)state;
    config_init(&config);
    return 0;
}

/* NULL: no such field. */
static const char *refusal(const char *host, const char *site, const char *origin)
{
    static char text[1024];
    static struct http_head head;
    struct http_scan scan = {0};
    const char *reason;
    int count = snprintf(text, sizeof(text), "GET /v4/runs HTTP/1.%d\r\n", host != NULL);
    const char *names[] = {"Host", "Sec-Fetch-Site", "Origin"};
    const char *values[] = {host, site, origin};
    for (int i = 0; i < 3; i++)
        if (values[i])
            count += snprintf(text + count, sizeof(text) - (size_t)count, "%s: %s\r\n", names[i],
                              values[i]);
    count += snprintf(text + count, sizeof(text) - (size_t)count, "\r\n");
    assert_int_equal(http_parse_head(&scan, text, (size_t)count, &head, &reason), count);
    return origin_refusal(&config, &head);
}

static void is_taken(const char *host, const char *site, const char *origin)
{
    const char *why = refusal(host, site, origin);
    if (why)
        fail_msg("%s, %s, %s: %s", host ? host : "-", site ? site : "-", origin ? origin : "-",
                 why);
}

static void is_refused(const char *host, const char *site, const char *origin, const char *option)
{
    const char *why = refusal(host, site, origin);
    if (!why || !strstr(why, option))
        fail_msg("%s, %s, %s: %s", host ? host : "-", site ? site : "-", origin ? origin : "-",
                 why ? why : "taken");
}

static void addresses_and_localhost_are_this_machines_own_names(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "127.0.0.1",   "127.0.0.1:8080", "127.0.0.1:", "localhost:",           "10.0.0.1:1",
        "127.1",       "2130706433",     "0x7f000001", "0177.0.0.1",           "127.0.0.1.",
        "[::1]",       "[::1]:8080",     "[FE80::1]",  "[::ffff:127.0.0.1]:1", "localhost",
        "LOCALHOST:1", "localhost.:80",  "localhost."};
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++)
        is_taken(hosts[i], NULL, NULL);
    is_taken(NULL, NULL, NULL); /* HTTP/1.0 */
}

static void every_other_name_is_one_that_a_page_may_have(void **state)
{
    (void)state;
    static const char *const hosts[] = {"a",
                                        "evil.example",
                                        "evil.example:8080",
                                        "localhost.evil.example",
                                        "localhostx",
                                        "xlocalhost",
                                        "a.localhost",
                                        "127.0.0.1x",
                                        "127.0.0.1.a.b",
                                        "1.2.3.4.5",
                                        "256.0.0.1",
                                        "127.0.0.1-",
                                        "[1.2.3.4]",
                                        "[::1::2]",
                                        "localhost..",
                                        ".localhost",
                                        "localhost.local",
                                        "ip6-localhost",
                                        "0x7f.0.0.0x1g"};
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++)
        is_refused(hosts[i], NULL, NULL, "--allow-host NAME");
}

static void what_the_browser_says_of_the_page_comes_before_what_the_page_is(void **state)
{
    (void)state;
    is_taken("localhost:1", "same-origin", NULL);
    is_taken("localhost:1", "same-origin", "http://proxied.example");
    is_taken("localhost:1", "none", NULL);
    is_taken("localhost:1", "None", NULL);
    is_refused("localhost:1", "same-site", NULL, "--allow-origin ORIGIN");
    is_refused("localhost:1", "same-site", "http://localhost:2", "--allow-origin ORIGIN");
    is_refused("localhost:1", "cross-site", NULL, "--allow-origin ORIGIN");
    is_refused("localhost:1", "cross-site", "http://localhost:1", "--allow-origin ORIGIN");
    is_refused("localhost:1", "", NULL, "--allow-origin ORIGIN");
    is_refused("localhost:1", "of tomorrow", NULL, "--allow-origin ORIGIN");
}

static void without_that_a_pages_origin_is_the_host_it_asks(void **state)
{
    (void)state;
    is_taken("localhost:1", NULL, "http://localhost:1");
    is_taken("localhost:1", NULL, "https://LOCALHOST:1");
    is_taken("[::1]:1", NULL, "http://[::1]:1");
    static const char *const others[] = {"http://localhost",
                                         "http://localhost:2",
                                         "http://evil.example",
                                         "null",
                                         "",
                                         "localhost:1",
                                         "://localhost:1x",
                                         "http://localhost:1 http://b",
                                         "http://127.0.0.1:1",
                                         "file://"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        is_refused("localhost:1", NULL, others[i], "--allow-origin ORIGIN");
    /* A name that a page has made to lead here, and asks as its own. */
    is_refused("evil.example", NULL, "http://evil.example", "--allow-host NAME");
    is_refused("evil.example", "same-origin", NULL, "--allow-host NAME");
}

static void what_is_allowed_is_taken_and_nothing_like_it(void **state)
{
    (void)state;
    config.allow_hosts = (struct cli_list){.items = {"box.example", "b"}, .count = 2};
    config.allow_origins = (struct cli_list){.items = {"https://app.example", "null"}, .count = 2};
    is_taken("BOX.example.:8080", NULL, NULL);
    is_taken("b", NULL, NULL);
    is_taken("b", "cross-site", "https://APP.example");
    is_taken("b", "cross-site", "null");
    is_refused("a.b", NULL, NULL, "--allow-host");
    is_refused("box.example.a", NULL, NULL, "--allow-host");
    is_refused("b", "cross-site", "https://app.example:1", "--allow-origin");
    is_refused("b", NULL, "http://app.example", "--allow-origin");
    is_refused("a", "cross-site", "null", "--allow-host");
}

static void with_tokens_or_no_auth_nobody_is_asked_from_where_he_comes(void **state)
{
    (void)state;
    config.no_auth = true;
    is_taken("evil.example", "cross-site", "http://evil.example");
    config.allow_origins = (struct cli_list){.items = {"null"}, .count = 1};
    is_refused("evil.example", "cross-site", "null", "--allow-host");
    is_taken("localhost", "cross-site", "null");
    config_init(&config);
    config.tokens.count = 1;
    is_taken("evil.example", "cross-site", "http://evil.example");
    config.tokens.count = 0;
}

static void options_are_names_and_origins_in_full(void **state)
{
    (void)state;
    static const char *const hosts[] = {"a", "box.example", "my_box-1", "10.1.2.3"};
    static const char *const no_hosts[] = {"", "a:1", "a.", "a b", "http://a", "*", "[::1]", "a/b"};
    static const char *const origins[] = {"null", "http://a", "https://a.b:8443", "http://[::1]:1",
                                          "app+x://a"};
    static const char *const no_origins[] = {"",          "a",          "a:1",        "http://",
                                             "http://a/", "http://a b", "http://u@a", "*",
                                             "://a",      "http://*",   "NULL"};
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++)
        assert_true(host_name_is_valid(hosts[i]));
    for (size_t i = 0; i < ARRAY_COUNT(no_hosts); i++)
        assert_false(host_name_is_valid(no_hosts[i]));
    for (size_t i = 0; i < ARRAY_COUNT(origins); i++)
        assert_true(host_origin_is_valid(origins[i]));
    for (size_t i = 0; i < ARRAY_COUNT(no_origins); i++)
        assert_false(host_origin_is_valid(no_origins[i]));
}

#define ORIGIN_TEST(name) cmocka_unit_test_setup(name, config_make)

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        ORIGIN_TEST(addresses_and_localhost_are_this_machines_own_names),
        ORIGIN_TEST(every_other_name_is_one_that_a_page_may_have),
        ORIGIN_TEST(what_the_browser_says_of_the_page_comes_before_what_the_page_is),
        ORIGIN_TEST(without_that_a_pages_origin_is_the_host_it_asks),
        ORIGIN_TEST(what_is_allowed_is_taken_and_nothing_like_it),
        ORIGIN_TEST(with_tokens_or_no_auth_nobody_is_asked_from_where_he_comes),
        ORIGIN_TEST(options_are_names_and_origins_in_full),
    };
    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
