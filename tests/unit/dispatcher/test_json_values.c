/* SPDX-License-Identifier: MIT */
/*
 * test_json_values.c - values there and back: JSON from a client, msgpack, and JSON to the client.
 *
 * The text that comes back is read again and compared with the first, node by node: types, exact
 * numbers, every byte of strings and keys, order.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/inputs/input.h"
#include "dispatcher/text/json_in.h"
#include "dispatcher/text/json_out.h"
#include "tests/unit/dispatcher/edge.h"

static struct json_document *parse(const char *text, size_t bytes)
{
    struct edge edge = edge_copy(text, bytes);
    struct json_document *document = NULL;
    struct json_error error = {0};
    if (json_in_parse(&document, edge.bytes, bytes, &error) != 0)
        fail_msg("%.100s: %s at %zu", text, error.message, error.offset);
    edge_destroy(&edge);
    return document;
}

static bool same_number(struct json_number a, struct json_number b)
{
    return a.kind == b.kind && memcmp(&a.u, &b.u, sizeof(a.u)) == 0;
}

static bool same_node(const struct json_document *a, const cJSON *x, const struct json_document *b,
                      const cJSON *y)
{
    if ((x->type & 0xff) != (y->type & 0xff))
        return false;
    if ((x->string == NULL) != (y->string == NULL) ||
        (x->string != NULL && strcmp(x->string, y->string) != 0))
        return false;
    if (cJSON_IsNumber(x))
        return same_number(json_in_number(a, x), json_in_number(b, y));
    if (cJSON_IsString(x)) {
        size_t bytes = json_in_string_bytes(a, x);
        return bytes == json_in_string_bytes(b, y) &&
               memcmp(x->valuestring, y->valuestring, bytes) == 0;
    }
    return true;
}

static void assert_same(const struct json_document *a, const struct json_document *b)
{
    struct json_walk walks[2] = {0};
    const cJSON *x = json_in_root(a);
    const cJSON *y = json_in_root(b);
    while (x != NULL && y != NULL) {
        assert_true(same_node(a, x, b, y));
        x = json_walk_next(&walks[0], x);
        y = json_walk_next(&walks[1], y);
        assert_int_equal(walks[0].depth, walks[1].depth);
    }
    assert_null(x);
    assert_null(y);
}

/* Takes the text through msgpack; what comes back is the caller's to free. */
static char *there_and_back(const char *text, size_t bytes)
{
    struct json_document *document = parse(text, bytes);
    struct input_packing packing;
    input_packing_init(&packing);
    assert_int_equal(input_pack(&packing, document, json_in_root(document), INPUT_DEPTH_MAX), 0);
    size_t packed_bytes;
    uint8_t *packed = input_packing_take(&packing, &packed_bytes);
    struct edge edge = edge_copy(packed, packed_bytes);
    free(packed);
    input_packing_finish(&packing);

    struct edge out = edge_create(json_out_bound(packed_bytes, 0));
    size_t consumed;
    const char *type;
    int64_t written = json_out_value(edge.bytes, packed_bytes, &consumed, &type, out.bytes);
    assert_true(written > 0);
    assert_int_equal(consumed, packed_bytes);
    assert_null(memchr(out.bytes, '\n', (size_t)written));
    struct json_document *back = parse(out.bytes, (size_t)written);
    assert_same(document, back);
    char *answer = strndup(out.bytes, (size_t)written);
    json_in_destroy(document);
    json_in_destroy(back);
    edge_destroy(&edge);
    edge_destroy(&out);
    return answer;
}

/* Texts in the form that comes back, so that they can be compared as they are. */
static void assert_kept(const char *text)
{
    char *back = there_and_back(text, strlen(text));
    assert_string_equal(back, text);
    free(back);
}

static void assert_changed(const char *text, const char *expected)
{
    char *back = there_and_back(text, strlen(text));
    assert_string_equal(back, expected);
    free(back);
}

static void numbers_come_back_exactly(void **state)
{
    (void)state;
    assert_kept("[0,-1,127,128,255,256,65535,65536,4294967295,4294967296,-128,-129,-32769]");
    assert_kept("[9223372036854775807,-9223372036854775808,9223372036854775808,"
                "18446744073709551615,9007199254740993,-9007199254740993]");
    assert_kept("[0.0,-0.0,1.0,0.1,-2.5,1e+16,5e-324,1.7976931348623157e+308,"
                "2.2250738585072014e-308,0.30000000000000004,123456789.123]");
    assert_changed("[-0,1e2,1E-2,0.10,100.00]", "[0,100.0,0.01,0.1,100.0]");
}

static void strings_of_every_kind_come_back_whole(void **state)
{
    (void)state;
    assert_kept("\"\"");
    assert_kept(
        "[\"quotes \\\" and \\\\\",\"\\b\\t\\n\\f\\r\",\"\\u0000\",\"a\\u0000b\\u0001\\u001f\"]");
    assert_changed("\"\\/ \\u0041 \\u00e9 \\u20AC \\ud83c\\udfb5 \\u2028\"",
                   "\"/ A \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xb5 \xe2\x80\xa8\"");
    /* One character of each of the seventeen planes. */
    for (uint32_t plane = 0; plane <= 16; plane++) {
        char text[16];
        uint32_t point = plane << 16 | 0xe000;
        size_t bytes = 0;
        text[bytes++] = '"';
        if (plane > 0) {
            text[bytes++] = (char)(0xf0 | point >> 18);
            text[bytes++] = (char)(0x80 | (point >> 12 & 0x3f));
        } else {
            text[bytes++] = (char)(0xe0 | point >> 12);
        }
        text[bytes++] = (char)(0x80 | (point >> 6 & 0x3f));
        text[bytes++] = (char)(0x80 | (point & 0x3f));
        text[bytes++] = '"';
        text[bytes] = '\0';
        assert_kept(text);
    }
}

static void containers_come_back_in_order(void **state)
{
    (void)state;
    assert_kept("[]");
    assert_kept("{}");
    assert_kept("[[],{},[[]],[{}],null,true,false]");
    assert_kept("{\"z\":1,\"a\":{\"y\":[],\"b\":{}},\"\":\"\",\"key \\\"quoted\\\"\":null}");
}

static void a_thousand_elements_and_ten_megabytes_come_back(void **state)
{
    (void)state;
    char *text = malloc(12 * 1024 * 1024);
    assert_non_null(text);
    size_t bytes = 0;
    for (int i = 0; i < 1000; i++)
        bytes += (size_t)snprintf(text + bytes, 16, "%c%d", i == 0 ? '[' : ',', i);
    memcpy(text + bytes, "]", 2);
    assert_kept(text);
    const size_t megabytes = 10 * 1024 * 1024;
    memset(text + 1, 'x', megabytes);
    text[0] = '"';
    memcpy(text + 1 + megabytes, "\"", 2);
    assert_kept(text);
    free(text);
}

static void thirty_containers_come_back_and_more_are_refused(void **state)
{
    (void)state;
    static const size_t refused[] = {31, 32, 33, 100, 500};
    char text[1024];
    for (size_t depth = 1; depth <= 30; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_kept(text);
    }
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct input_packing packing;
        memset(text, '[', refused[i]);
        memset(text + refused[i], ']', refused[i]);
        struct json_document *document = parse(text, 2 * refused[i]);
        input_packing_init(&packing);
        assert_int_equal(input_pack(&packing, document, json_in_root(document), INPUT_DEPTH_MAX),
                         -ELOOP);
        input_packing_finish(&packing);
        json_in_destroy(document);
    }
}

static void thirty_containers_are_what_msgpack_c_unpacks(void **state)
{
    (void)state;
    struct input_packing packing;
    char text[2 * INPUT_DEPTH_MAX];
    memset(text, '[', INPUT_DEPTH_MAX);
    memset(text + INPUT_DEPTH_MAX, ']', INPUT_DEPTH_MAX);
    struct json_document *document = parse(text, sizeof(text));
    input_packing_init(&packing);
    /* As in a START record: [run id, [input]]. */
    msgpack_pack_array(&packing.packer, 2);
    msgpack_pack_nil(&packing.packer);
    msgpack_pack_array(&packing.packer, 1);
    assert_int_equal(input_pack(&packing, document, json_in_root(document), INPUT_DEPTH_MAX), 0);
    msgpack_unpacked unpacked;
    size_t offset = 0;
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(
        msgpack_unpack_next(&unpacked, packing.buffer.data, packing.buffer.size, &offset),
        MSGPACK_UNPACK_SUCCESS);
    msgpack_unpacked_destroy(&unpacked);
    input_packing_finish(&packing);
    json_in_destroy(document);
}

/* ---- random values --------------------------------------------------------------------------- */

struct maker {
    uint64_t state;
    char *text;
    size_t count;
    size_t room;
};

static uint64_t maker_next(struct maker *maker, uint64_t bound)
{
    maker->state ^= maker->state << 13;
    maker->state ^= maker->state >> 7;
    maker->state ^= maker->state << 17;
    return maker->state % bound;
}

static void maker_add(struct maker *maker, const char *text)
{
    size_t bytes = strlen(text);
    assert_true(maker->count + bytes < maker->room);
    memcpy(maker->text + maker->count, text, bytes + 1);
    maker->count += bytes;
}

static void make_string(struct maker *maker)
{
    static const char *const pieces[] = {
        "a",
        "plain words",
        "\\n",
        "\\\"",
        "\\\\",
        "\\u001f",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\\ud83c\\udfb5",
        "\xf0\x9f\x8e\xb5",
        "\\/",
        "sixteen bytes...sixteen more....",
    };
    maker_add(maker, "\"");
    for (uint64_t left = maker_next(maker, 8); left > 0; left--)
        maker_add(maker, pieces[maker_next(maker, ARRAY_COUNT(pieces))]);
    if (maker_next(maker, 8) == 0)
        maker_add(maker, "\\u0000tail");
    maker_add(maker, "\"");
}

static void make_number(struct maker *maker)
{
    char text[64];
    uint64_t bits = maker_next(maker, UINT64_MAX) >> maker_next(maker, 64);
    double value;
    memcpy(&value, &maker->state, sizeof(value));
    switch (maker_next(maker, 4)) {
    case 0:
        snprintf(text, sizeof(text), "%llu", (unsigned long long)bits);
        break;
    case 1:
        snprintf(text, sizeof(text), "-%llu", (unsigned long long)(bits >> 1));
        break;
    case 2:
        snprintf(text, sizeof(text), "%.*e", (int)maker_next(maker, 18),
                 value - value == 0 ? value / 2 : 0.5);
        break;
    default:
        snprintf(text, sizeof(text), "%.2f", (double)bits / 100);
        break;
    }
    maker_add(maker, text);
}

static void make_value(struct maker *maker, unsigned depth)
{
    static const char *const words[] = {"null", "true", "false", " 1 ", "\"\""};
    uint64_t choice = maker_next(maker, depth == 0 ? 3 : 5);
    if (choice == 0) {
        maker_add(maker, words[maker_next(maker, ARRAY_COUNT(words))]);
    } else if (choice == 1) {
        make_number(maker);
    } else if (choice == 2) {
        make_string(maker);
    } else {
        bool is_object = choice == 3;
        maker_add(maker, is_object ? "{" : "[");
        uint64_t count = maker_next(maker, 7);
        for (uint64_t i = 0; i < count; i++) {
            char key[32];
            snprintf(key, sizeof(key), "\"key \xc3\xa9 %llu\" :", (unsigned long long)i);
            if (is_object)
                maker_add(maker, key);
            make_value(maker, depth - 1);
            if (i + 1 < count)
                maker_add(maker, " , ");
        }
        maker_add(maker, is_object ? "}" : "]");
    }
}

static void random_values_come_back(void **state)
{
    (void)state;
    struct maker maker = {.state = (uint64_t)time(NULL) | 1, .room = 4 * 1024 * 1024};
    maker.text = malloc(maker.room);
    assert_non_null(maker.text);
    print_message("seed %llu\n", (unsigned long long)maker.state);
    for (int i = 0; i < 2000; i++) {
        maker.count = 0;
        make_value(&maker, 6);
        char *once = there_and_back(maker.text, maker.count);
        char *twice = there_and_back(once, strlen(once));
        assert_string_equal(once, twice);
        free(once);
        free(twice);
    }
    free(maker.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_exactly),
        cmocka_unit_test(strings_of_every_kind_come_back_whole),
        cmocka_unit_test(containers_come_back_in_order),
        cmocka_unit_test(a_thousand_elements_and_ten_megabytes_come_back),
        cmocka_unit_test(thirty_containers_come_back_and_more_are_refused),
        cmocka_unit_test(thirty_containers_are_what_msgpack_c_unpacks),
        cmocka_unit_test(random_values_come_back),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
