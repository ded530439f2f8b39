/* SPDX-License-Identifier: MIT */
/*
 * test_multipart.c - forms come apart as they were put together, however they arrive, and what is
 * no form is refused; parameters of fields, and the names of files in them.
 */
#include "dispatcher/http/multipart.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dispatcher/http/http_parameter.h"
#include "tests/unit/dispatcher/edge.h"

#define FORM "multipart/form-data; boundary=XY"
#define PART(name) "Content-Disposition: form-data; name=" name "\r\n"
#define OUT_BYTES_MAX 8192u

static const char *reason;
static char got[OUT_BYTES_MAX];
static size_t got_bytes;

static void put(const char *bytes, size_t count)
{
    assert_in_range(got_bytes + count, 0, sizeof got - 1);
    memcpy(got + got_bytes, bytes, count);
    got_bytes += count;
    got[got_bytes] = '\0';
}

/* Feeds one piece, which ends at an edge, and writes what comes of it: (name)data; */
static int feed(struct multipart *form, const char *bytes, size_t count)
{
    struct edge piece = edge_copy(bytes, count);
    size_t at = 0;
    int rc;
    do {
        size_t consumed = SIZE_MAX;
        struct http_text data;
        rc = multipart_feed(form, (char *)piece.bytes + at, count - at, &consumed, &data, &reason);
        if (rc < 0)
            break;
        assert_in_range(consumed, 0, count - at);
        assert_int_equal(rc == MULTIPART_DATA, data.bytes > 0);
        at += consumed;
        char name[64];
        if (rc == MULTIPART_PART) {
            int64_t bytes_of = http_parameter_find(multipart_disposition(form), "name", name, 64);
            put("(", 1);
            put(name, bytes_of > 0 ? (size_t)bytes_of : 0);
            put(")", 1);
        } else if (rc == MULTIPART_DATA) {
            put(data.data, data.bytes);
        } else if (rc == MULTIPART_PART_END) {
            put(";", 1);
        }
    } while (rc != MULTIPART_MORE && rc != MULTIPART_COMPLETE);
    if (rc >= 0)
        assert_int_equal(at, count);
    munmap(piece.map, piece.map_bytes);
    return rc;
}

static int parse(const char *type, const char *bytes, size_t count, size_t first, size_t step)
{
    static struct multipart form;
    got_bytes = 0;
    got[0] = '\0';
    int rc = multipart_init(&form, (struct http_text){type, strlen(type)}, &reason);
    size_t at = 0;
    for (size_t next = first; rc >= 0 && at < count; next = step) {
        size_t piece = next < count - at ? next : count - at;
        rc = feed(&form, bytes + at, piece);
        at += piece;
    }
    return rc;
}

/* Whole, in all two pieces, and byte by byte. */
static void check(const char *bytes, int rc, const char *expected)
{
    const size_t count = strlen(bytes);
    for (size_t first = 1; first <= count; first++) {
        assert_int_equal(parse(FORM, bytes, count, first, count), rc);
        assert_string_equal(got, expected);
    }
    assert_int_equal(parse(FORM, bytes, count, 1, 1), rc);
    assert_string_equal(got, expected);
}

static void parts_come_apart_however_they_arrive(void **state)
{
    (void)state;
    check("--XY\r\n" PART("a") "\r\nhello\r\n--XY--\r\n", MULTIPART_COMPLETE, "(a)hello;");
    check("--XY\r\n" PART("a") "\r\n\r\n--XY--", MULTIPART_COMPLETE, "(a);");
    check("--XY\r\n" PART("a") "Content-Type: text/plain\r\n\r\n1\r\n--XY\r\n" PART(
              "\"b c\"") "\r\n2\r\n--XY--\r\n",
          MULTIPART_COMPLETE, "(a)1;(b c)2;");
    check("--XY\r\n\r\nno head\r\n--XY--\r\n", MULTIPART_COMPLETE, "()no head;");
}

static void what_only_looks_like_a_boundary_is_data(void **state)
{
    (void)state;
    check("--XY\r\n" PART("a") "\r\n\r\n--X\r\r\n--\r\n\r\n-XY\n--XY--XY\r\n--XY--",
          MULTIPART_COMPLETE, "(a)\r\n--X\r\r\n--\r\n\r\n-XY\n--XY--XY;");
}

static void a_form_that_is_cut_is_not_complete(void **state)
{
    static const char whole[] = "--XY\r\n" PART("a") "\r\nhello\r\n--XY--\r\n";
    (void)state;
    for (size_t count = 1; count < sizeof whole - 3; count++)
        assert_int_equal(parse(FORM, whole, count, count, count), MULTIPART_MORE);
}

static void what_is_no_form_is_refused(void **state)
{
    (void)state;
    check("x--XY\r\n", -400, "");
    check("\r\n--XY\r\n", -400, "");
    check("--XZ\r\n", -400, "");
    check("--XY--\r\n", -400, "");
    check("--XY\n", -400, "");
    check("--XY \r\n", -400, "");
    check("--XY\r\nA: b\n\r\n", -400, "");
    check("--XY\r\nA: b\rc\r\n", -400, "");
    check("--XY\r\nA: \x01\r\n", -400, "");
    check("--XY\r\n\r\n1\r\n--XYZ", -400, "()1;");
    check("--XY\r\n\r\n1\r\n--XY--\r\nx", -400, "()1;");
    check("--XY\r\n\r\n1\r\n--XY--x", -400, "()1;");
}

static void a_head_and_the_number_of_parts_are_bounded(void **state)
{
    static char form[128 * 1024];
    (void)state;
    int count = snprintf(form, sizeof form, "--XY\r\nA: %05000d", 1);
    assert_int_equal(parse(FORM, form, (size_t)count, (size_t)count, 1), -400);
    count = 0;
    for (int i = 0; i < 65; i++)
        count += snprintf(form + count, sizeof form - (size_t)count, "%s--XY\r\n\r\n",
                          i > 0 ? "\r\n" : "");
    assert_int_equal(parse(FORM, form, (size_t)count, (size_t)count, 1), -400);
    static const char nul[] = "--XY\r\nA: \0b\r\n\r\n";
    assert_int_equal(parse(FORM, nul, sizeof nul - 1, sizeof nul, 1), -400);
}

static void only_a_form_with_a_boundary_is_begun(void **state)
{
    static const struct {
        const char *type;
        int rc;
    } rows[] = {
        {"multipart/form-data; boundary=XY", MULTIPART_MORE},
        {"Multipart/Form-Data;charset=x; Boundary=\"XY\"", MULTIPART_MORE},
        {"multipart/mixed; boundary=XY", -415},
        {"", -415},
        {"multipart/form-data", -400},
        {"multipart/form-data; boundary=", -400},
        {"multipart/form-data; boundary=\"XY", -400},
        {"multipart/form-data; boundary=\"X\rY\"", -400},
        {"multipart/form-data; boundary=\"XY \"", -400},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_int_equal(parse(rows[i].type, "--XY", 4, 4, 4), rows[i].rc);
}

static void a_filename_is_what_the_field_says(void **state)
{
    static const struct {
        const char *field, *name; /* NULL: none */
    } rows[] = {
        {"form-data; name=\"pfile\"; filename=\"a b.txt\"", "a b.txt"},
        {"attachment; filename=plain.txt", "plain.txt"},
        {"attachment; filename=\"a\\\"b\\\\c.txt\"", "a\"b\\c.txt"},
        {"attachment; filename=\"C:\\dir\\c.txt\"", "C:\\dir\\c.txt"},
        {"attachment; filename=\"x\"; filename*=UTF-8''na%C3%AFve.txt", "na\xc3\xafve.txt"},
        {"attachment; filename*=utf-8'en'a%2Fb; filename=x", "a/b"},
        {"attachment; filename*=latin1''a; filename=x", "x"},
        {"attachment; filename*=UTF-8''%4; filename=x", "x"},
        {"attachment; name=\"a;filename=no\"; filename=\"\"", ""},
        {"attachment", NULL},
        {"attachment; filename=\"x", NULL},
        {"attachment; filename", NULL},
        {"attachment; \"filename=x\"", NULL},
        {"attachment; a=\"b\"c; filename=x", NULL},
    };
    char name[64];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct edge field = edge_copy(rows[i].field, strlen(rows[i].field));
        int64_t bytes = http_parameter_filename(
            (struct http_text){field.bytes, strlen(rows[i].field)}, name, sizeof name);
        if (!rows[i].name) {
            assert_true(bytes < 0);
        } else {
            assert_int_equal(bytes, (int64_t)strlen(rows[i].name));
            assert_memory_equal(name, rows[i].name, (size_t)bytes);
        }
        munmap(field.map, field.map_bytes);
    }
    assert_int_equal(http_parameter_filename((struct http_text){"a; filename=abcdef", 18}, name, 3),
                     3);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_apart_however_they_arrive),
        cmocka_unit_test(what_only_looks_like_a_boundary_is_data),
        cmocka_unit_test(a_form_that_is_cut_is_not_complete),
        cmocka_unit_test(what_is_no_form_is_refused),
        cmocka_unit_test(a_head_and_the_number_of_parts_are_bounded),
        cmocka_unit_test(only_a_form_with_a_boundary_is_begun),
        cmocka_unit_test(a_filename_is_what_the_field_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
