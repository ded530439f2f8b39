/* SPDX-License-Identifier: MIT */
/* test_fetch_address.c - which addresses are public, what rules allow, which URLs are fetched. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "dispatcher/fetcher/fetch_address.h"
#include "dispatcher/fetcher/fetch_url.h"

/* Of IPv4 or IPv6. */
static void address_of(const char *text, struct fetch_address *out)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&storage, &in, sizeof(in));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&storage, &in6, sizeof(in6));
    }
    assert_true(fetch_address_take(out, (const struct sockaddr *)&storage));
    assert_int_equal(out->port, 443);
}

static const char *class_of(const char *text)
{
    struct fetch_address address;
    address_of(text, &address);
    return fetch_address_class(address.bytes);
}

/* ---- addresses ---- */

static void
the_first_and_last_address_of_each_range_of_ipv4_is_refused_and_their_neighbours_are_not(
    void **state)
{
    (void)state;
    static const struct {
        const char *before, *first, *last, *after, *word;
    } ranges[] = {
        {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0", "unspecified"},
        {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "private"},
        {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", "provider"},
        {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", "loopback"},
        {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0", "link-local"},
        {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", "private"},
        {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", "protocol"},
        {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0", "documentation"},
        {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0", "relay"},
        {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", "private"},
        {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0", "benchmarks"},
        {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0", "documentation"},
        {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0", "documentation"},
        {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL, "multicast"},
        {NULL, "240.0.0.0", "255.255.255.255", NULL, "reserved"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        assert_non_null(strstr(class_of(ranges[i].first), ranges[i].word));
        assert_non_null(strstr(class_of(ranges[i].last), ranges[i].word));
        if (ranges[i].before)
            assert_null(class_of(ranges[i].before));
        if (ranges[i].after)
            assert_null(class_of(ranges[i].after));
    }
}

static void so_are_those_of_ipv6_and_all_that_nobody_was_given(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "::",
        "::1",
        "::2",
        "::7f00:1",
        "100::",
        "fc00::",
        "fdff:ffff::1",
        "fe80::1",
        "febf:ffff::",
        "fec0::1",
        "feff::",
        "ff00::",
        "ff02::1",
        "ffff::",
        "2001::",
        "2001:0:7f00:1::",
        "2001:1ff:ffff::",
        "2001:db8::",
        "2001:db8:ffff::1",
        "3fff::",
        "3fff:fff:ffff::",
        "4000::",
        "1fff:ffff::",
        "5f00::1",
        "64:ff9b:1::1",
        "64:ff9b:0:1::8.8.8.8",
        "0:0:0:0:fffe::8.8.8.8",
    };
    static const char *const open[] = {
        "2000::",          "2001:200::",  "2001:db7:ffff::", "2001:db9::",
        "2606:4700::1111", "3ffe:ffff::", "3fff:1000::",     "2a00:1450:4001::1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
        if (!class_of(refused[i]))
            fail_msg("%s is taken for public", refused[i]);
    for (size_t i = 0; i < ARRAY_COUNT(open); i++)
        if (class_of(open[i]))
            fail_msg("%s is taken for %s", open[i], class_of(open[i]));
}

static void one_of_ipv6_that_carries_one_of_ipv4_is_what_that_is(void **state)
{
    (void)state;
    static const char *const inner[] = {"127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0",
                                        "192.168.0.1"};
    char text[64];
    for (size_t i = 0; i < ARRAY_COUNT(inner); i++) {
        snprintf(text, sizeof(text), "::ffff:%s", inner[i]);
        assert_string_equal(class_of(text), class_of(inner[i]));
        snprintf(text, sizeof(text), "64:ff9b::%s", inner[i]);
        assert_string_equal(class_of(text), class_of(inner[i]));
    }
    assert_null(class_of("::ffff:8.8.8.8"));
    assert_null(class_of("64:ff9b::8.8.8.8"));
    assert_string_equal(class_of("2002:7f00:1::1"), class_of("127.0.0.1"));
    assert_string_equal(class_of("2002:c0a8:1::"), class_of("192.168.0.1"));
    assert_null(class_of("2002:808:808::1"));
}

static void what_is_neither_ipv4_nor_ipv6_is_no_address(void **state)
{
    (void)state;
    struct fetch_address address;
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(fetch_address_take(&address, &local));
}

/* ---- rules ---- */

static bool rules_let(const char *rule, const char *host, const char *address_text, uint16_t port)
{
    char reason[CLI_REASON_BYTES];
    static struct fetch_rules rules;
    struct fetch_address address;
    address_of(address_text, &address);
    address.port = port;
    rules.count = rule ? 1 : 0;
    if (rule)
        assert_int_equal(fetch_rule_parse(&rules.items[0], rule, reason), 0);
    return fetch_address_refuse(&rules, host, &address) == NULL;
}

static void a_rule_allows_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_false(rules_let(NULL, "", "10.1.2.3", 80));
    assert_true(rules_let("10.0.0.0/8", "", "10.255.0.1", 80));
    assert_true(rules_let("10.0.0.0/8", "", "::ffff:10.255.0.1", 25)); /* the same address */
    assert_false(rules_let("10.0.0.0/8", "", "11.0.0.1", 25));
    assert_false(rules_let("10.0.0.0/8", "", "127.0.0.1", 80));
    assert_false(rules_let("10.0.0.0/8", "", "64:ff9b::10.0.0.1", 80));
    assert_true(rules_let("172.16.0.0/12", "", "172.31.255.255", 80));
    assert_false(rules_let("172.16.0.0/13", "", "172.31.255.255", 80));
    assert_true(rules_let("127.0.0.1", "", "127.0.0.1", 80));
    assert_false(rules_let("127.0.0.1", "", "127.0.0.2", 80));
    assert_true(rules_let("::1", "", "::1", 80));
    assert_true(rules_let("[::1]:9000", "", "::1", 9000));
    assert_false(rules_let("[::1]:9000", "", "::1", 80));
    assert_true(rules_let("fd00::/8", "", "fdff::1", 80));
    assert_false(rules_let("fd00::/8", "", "fc00::1", 80));
    assert_true(rules_let("0.0.0.0/0", "", "127.0.0.1", 80));
    assert_false(rules_let("0.0.0.0/0", "", "::1", 80));
    assert_true(rules_let("::/0", "", "127.0.0.1", 80));
}

static void a_rule_of_a_name_allows_whatever_address_that_has(void **state)
{
    (void)state;
    assert_true(rules_let("Files.Internal", "files.internal", "10.1.2.3", 80));
    assert_true(rules_let("files.internal:81", "files.internal", "10.1.2.3", 81));
    assert_false(rules_let("files.internal:81", "files.internal", "10.1.2.3", 80));
    assert_false(rules_let("files.internal", "other.files.internal", "10.1.2.3", 80));
    assert_false(rules_let("files.internal", "", "10.1.2.3", 80));
}

static void of_public_addresses_ports_of_other_services_are_refused(void **state)
{
    (void)state;
    assert_true(rules_let(NULL, "", "8.8.8.8", 80));
    assert_true(rules_let(NULL, "", "8.8.8.8", 443));
    assert_true(rules_let(NULL, "", "8.8.8.8", 1024));
    assert_true(rules_let(NULL, "", "8.8.8.8", 65535));
    assert_false(rules_let(NULL, "", "8.8.8.8", 25));
    assert_false(rules_let(NULL, "", "8.8.8.8", 22));
    assert_false(rules_let(NULL, "", "8.8.8.8", 1023));
    assert_true(rules_let("8.8.8.8:25", "", "8.8.8.8", 25));
}

static void what_is_no_rule_is_refused(void **state)
{
    (void)state;
    char reason[CLI_REASON_BYTES];
    static const char *const wrong[] = {
        "",
        ":",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/",
        "10.0.0.0/8:",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:99999999999",
        "[::1",
        "[::1]9",
        "fd00::/129",
        "::1/127",
        "127.1",
        "2130706433",
        "http://files.internal",
        "files internal",
        "a/b",
        "files.internal:x",
        "*",
        "*.internal",
        "files.internal.",
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (fetch_rule_check(wrong[i], reason) == 0)
            fail_msg("'%s' is taken for a rule", wrong[i]);
    assert_int_equal(fetch_rule_check("none", reason), 0);
    struct fetch_rule rule;
    assert_int_equal(fetch_rule_parse(&rule, "10.0.0.1/8", reason), -EINVAL);
    assert_non_null(strstr(reason, "--fetch-allow 10.0.0.1/8: "));
}

/* ---- URLs ---- */

static void a_url_has_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text, *made, *host, *name;
    } urls[] = {
        {"http://a.example", "http://a.example/", "a.example", ""},
        {"HTTPS://A.Example./x#part", "https://a.example/x", "a.example", "x"},
        {"http://a.example:8080?q", "http://a.example:8080/?q", "a.example", ""},
        {"http://a.example/a b/\xc3\xa4.png?x=y z", "http://a.example/a%20b/%C3%A4.png?x=y%20z",
         "a.example", "\xc3\xa4.png"},
        {"http://192.0.2.1/a%2Fb%", "http://192.0.2.1/a%2Fb%", "192.0.2.1", "a/b%"},
        {"http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81/", "2001:db8::1", ""},
        {"http://a.example/dir/", "http://a.example/dir/", "a.example", ""},
        {"http://a.example/%4", "http://a.example/%4", "a.example", "%4"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct fetch_url url;
        char reason[FETCH_REASON_BYTES], name[64];
        assert_int_equal(fetch_url_parse(&url, urls[i].text, strlen(urls[i].text), reason), 0);
        assert_string_equal(url.text, urls[i].made);
        assert_string_equal(url.host, urls[i].host);
        size_t count = fetch_url_name(&url, name, sizeof(name));
        assert_int_equal(count, strlen(urls[i].name));
        assert_memory_equal(name, urls[i].name, count);
    }
}

static void what_two_programs_could_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "x",
        "/etc/passwd",
        "//a.example/",
        "file:///etc/passwd",
        "ftp://a.example/",
        "gopher://a.example/",
        "http:/a.example",
        "http:a.example",
        "http://",
        "http:///x",
        "http://:80/",
        "http://a@b.example/",
        "http://a:b@b.example/",
        "http://a.example@/",
        "http://a.example:/",
        "http://a.example:0/",
        "http://a.example:65536/",
        "http://a.example:080/",
        "http://a.example:8 0/",
        "http://a.example:+80/",
        "http://a.example\\@b.example/",
        "http://a%2eexample/",
        "http://127.1/",
        "http://0/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1.1/",
        "http://a.0x7f/",
        "http://\xe2\x91\xa0.0.0.1/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[::1%25lo]/",
        "http://[127.0.0.1]/",
        "http://[v1.x]/",
        "http://a.example/\n",
        "http://a.example/\x7f",
        "http://a b/",
        "http://.../",
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct fetch_url url;
        char reason[FETCH_REASON_BYTES] = "";
        if (fetch_url_parse(&url, wrong[i], strlen(wrong[i]), reason) != -EINVAL)
            fail_msg("'%s' is taken for a URL", wrong[i]);
        assert_true(strlen(reason) > 0);
    }
}

static void a_url_that_is_too_long_is_refused_before_and_after_it_is_encoded(void **state)
{
    (void)state;
    static char text[FETCH_URL_BYTES_MAX + 2] = "http://a.example/";
    struct fetch_url url;
    char reason[FETCH_REASON_BYTES];
    memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 1);
    assert_int_equal(fetch_url_parse(&url, text, FETCH_URL_BYTES_MAX + 1, reason), -EINVAL);
    assert_int_equal(fetch_url_parse(&url, text, FETCH_URL_BYTES_MAX - 2, reason), 0);
    memset(text + 100, ' ', sizeof(text) - 101);
    assert_int_equal(fetch_url_parse(&url, text, FETCH_URL_BYTES_MAX, reason), -EINVAL);
    char host[300] = "http://";
    memset(host + 7, 'a', 254);
    assert_int_equal(fetch_url_parse(&url, host, strlen(host), reason), -EINVAL);
}

static void a_url_of_an_address_is_checked_at_once(void **state)
{
    (void)state;
    static struct fetch_rules rules;
    static const char *const refused[] = {"http://127.0.0.1/", "http://[::1]/",
                                          "http://[::ffff:127.0.0.1]/", "http://8.8.8.8:25/"};
    static const char *const open[] = {"http://8.8.8.8/", "http://localhost/"};
    struct fetch_url url;
    char reason[FETCH_REASON_BYTES];
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        assert_int_equal(fetch_url_parse(&url, refused[i], strlen(refused[i]), reason), 0);
        assert_int_equal(fetch_url_check(&url, &rules, reason), -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_COUNT(open); i++) {
        assert_int_equal(fetch_url_parse(&url, open[i], strlen(open[i]), reason), 0);
        assert_int_equal(fetch_url_check(&url, &rules, reason), 0);
    }
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_first_and_last_address_of_each_range_of_ipv4_is_refused_and_their_neighbours_are_not),
        cmocka_unit_test(so_are_those_of_ipv6_and_all_that_nobody_was_given),
        cmocka_unit_test(one_of_ipv6_that_carries_one_of_ipv4_is_what_that_is),
        cmocka_unit_test(what_is_neither_ipv4_nor_ipv6_is_no_address),
        cmocka_unit_test(a_rule_allows_its_addresses_and_no_others),
        cmocka_unit_test(a_rule_of_a_name_allows_whatever_address_that_has),
        cmocka_unit_test(of_public_addresses_ports_of_other_services_are_refused),
        cmocka_unit_test(what_is_no_rule_is_refused),
        cmocka_unit_test(a_url_has_one_spelling),
        cmocka_unit_test(what_two_programs_could_read_in_two_ways_is_refused),
        cmocka_unit_test(a_url_that_is_too_long_is_refused_before_and_after_it_is_encoded),
        cmocka_unit_test(a_url_of_an_address_is_checked_at_once),
    };
    return cmocka_run_group_tests_name("fetch_address", tests, NULL, NULL);
}
