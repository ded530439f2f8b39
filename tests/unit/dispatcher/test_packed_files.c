/* SPDX-License-Identifier: MIT */
/* test_packed_files.c - files among values are written out wherever they stand, and nothing else
 * changes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/text/json_out.h"
#include "dispatcher/text/packed_files.h"
#include "tests/unit/dispatcher/edge.h"

#define FILE_0 "\xd6\x01\x00\x00\x00\x00"
#define FILE_1 "\xd6\x01\x00\x00\x00\x01"
#define SHOWN(number)                                                                              \
    "{\"type\":\"file\",\"value\":null,\"file\":{\"name\":\"n\\\"\",\"path\":\"p" #number          \
    "\",\"size\":4294967297,\"url\":\"u\"}}"

/* There are two. */
static bool find(void *owner, uint32_t number, struct packed_file *out)
{
    uint32_t *found = owner;
    if (number > 1)
        return false;
    *found += 1;
    *out = (struct packed_file){"n\"", number == 0 ? "p0" : "p1", "u", 4294967297};
    return true;
}

/* The JSON of one value with files, whose bytes end at an edge. NULL and `rc`: it is refused. */
static char *json_of(const char *bytes, size_t count, size_t *consumed, int *rc)
{
    uint32_t found = 0;
    const struct packed_files files = {&found, find};
    struct edge in = edge_copy(bytes, count);
    struct text out = {0};
    size_t all;
    const char *type;
    *rc = packed_files_expand(in.bytes, count, &files, consumed, &out);
    edge_destroy(&in);
    char *json = *rc == 0 ? malloc(json_out_bound(out.count, 0)) : NULL;
    if (json) {
        int64_t written = json_out_value((const uint8_t *)out.bytes, out.count, &all, &type, json);
        assert_true(written > 0);
        assert_int_equal(all, out.count);
        json[written] = '\0';
    }
    text_finish(&out);
    return json;
}

static void assert_shown(const char *bytes, size_t count, size_t used, const char *expected)
{
    size_t consumed;
    int rc;
    char *json = json_of(bytes, count, &consumed, &rc);
    assert_non_null(json);
    assert_string_equal(json, expected);
    assert_int_equal(consumed, used);
    free(json);
}

static void assert_refused(const char *bytes, size_t count)
{
    size_t consumed;
    int rc;
    assert_null(json_of(bytes, count, &consumed, &rc));
    assert_int_equal(rc, -EBADMSG);
}

#define ASSERT_SHOWN(bytes, expected)                                                              \
    assert_shown(bytes, sizeof(bytes) - 1, sizeof(bytes) - 1, expected)
#define ASSERT_REFUSED(bytes) assert_refused(bytes, sizeof(bytes) - 1)
#define COUNT(bytes) packed_file_count((const uint8_t *)(bytes), sizeof(bytes) - 1)

static void a_file_is_written_out_alone_and_within_a_value(void **state)
{
    (void)state;
    ASSERT_SHOWN(FILE_1, SHOWN(1));
    ASSERT_SHOWN("\x92" FILE_0 FILE_1, "[" SHOWN(0) "," SHOWN(1) "]");
    ASSERT_SHOWN("\x82\xa1"
                 "a" FILE_1 "\xa1"
                 "b\x92\x05" FILE_0,
                 "{\"a\":" SHOWN(1) ",\"b\":[5," SHOWN(0) "]}");
}

static void a_value_without_files_stays_what_it_is_and_only_one_is_taken(void **state)
{
    (void)state;
    ASSERT_SHOWN("\x93\xc3\xcd\xd6\x01\xa2xy", "[true,54785,\"xy\"]");
    assert_shown("\x91\x01" FILE_0, 8, 2, "[1]");
}

static void a_file_that_is_not_there_and_what_cannot_be_read_are_refused(void **state)
{
    (void)state;
    ASSERT_REFUSED("\xd6\x01\x00\x00\x00\x02");
    ASSERT_REFUSED("\x91\xd6\x01\xff\xff\xff\xff");
    ASSERT_REFUSED("\xd6\x02\x00\x00\x00\x00");
    ASSERT_REFUSED("\xd6\x01\x00\x00\x00");
    ASSERT_REFUSED("\x92" FILE_0);
    ASSERT_REFUSED("\xd4\x00\x00");
    ASSERT_REFUSED("\xdd\xff\xff\xff\xff");
    ASSERT_REFUSED("\xc1");
    assert_refused("", 0);
}

static void files_are_counted_and_what_looks_like_one_is_not(void **state)
{
    (void)state;
    assert_int_equal(COUNT("\x91" FILE_0), 1);
    assert_int_equal(COUNT("\x92\xd4\x00\x00\x93" FILE_0 "\x01" FILE_1), 2);
    assert_int_equal(COUNT("\x91\xcd\xd6\x01"), 0);
    assert_int_equal(COUNT("\x91\xc4\x06" FILE_0), 0);
    assert_int_equal(COUNT("\x91" FILE_0 "\xc1"), 0);
    assert_int_equal(COUNT("\x91\xd6\x01\x00\x00\x00"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_written_out_alone_and_within_a_value),
        cmocka_unit_test(a_value_without_files_stays_what_it_is_and_only_one_is_taken),
        cmocka_unit_test(a_file_that_is_not_there_and_what_cannot_be_read_are_refused),
        cmocka_unit_test(files_are_counted_and_what_looks_like_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
