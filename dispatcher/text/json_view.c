/* SPDX-License-Identifier: MIT */
/*
 * json_view.c - the parts of a JSON text as they stand in it, nothing converted.
 */
#include "dispatcher/text/json_view.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"

static const char *view_skip_blanks(const char *at, const char *end);
static const char *view_skip_string(const char *at);
static const char *view_skip_value(const char *at, const char *end);
static const char *view_add_escape(const char *at, struct text *out);

int json_view_parse(struct json_view *out, const char *text, size_t bytes, struct json_error *error)
{
    int rc = json_scan(text, bytes, NULL, error);
    if (rc < 0)
        return rc;
    const char *start = view_skip_blanks(text, text + bytes);
    *out = (struct json_view){start, (size_t)(view_skip_value(start, text + bytes) - start)};
    return 0;
}

bool json_view_member(const struct json_view *object, const char *key, struct json_view *out)
{
    struct json_view name = {0};
    size_t key_bytes = strlen(key);
    while (json_view_next_member(object, &name, out))
        if (name.bytes == key_bytes + 2 && memcmp(name.text + 1, key, key_bytes) == 0)
            return true;
    return false;
}

struct json_view json_view_get(const struct json_view *object, const char *key)
{
    struct json_view value;
    return json_view_member(object, key, &value) ? value : (struct json_view){"null", 4};
}

bool json_view_next_member(const struct json_view *object, struct json_view *key,
                           struct json_view *value)
{
    if (object->text[0] != '{')
        return false;
    const char *end = object->text + object->bytes;
    /* After the brace, or after the member before and its comma. */
    const char *at =
        view_skip_blanks(key->text ? value->text + value->bytes : object->text + 1, end);
    if (key->text && *at == ',')
        at = view_skip_blanks(at + 1, end);
    if (*at == '}')
        return false;
    *key = (struct json_view){at, (size_t)(view_skip_string(at) - at)};
    at = view_skip_blanks(view_skip_blanks(at + key->bytes, end) + 1, end);
    *value = (struct json_view){at, (size_t)(view_skip_value(at, end) - at)};
    return true;
}

bool json_view_next(const struct json_view *array, struct json_view *item)
{
    if (array->text[0] != '[')
        return false;
    const char *end = array->text + array->bytes;
    /* After the bracket, or after the item before and its comma. */
    const char *at = view_skip_blanks(item->text ? item->text + item->bytes : array->text + 1, end);
    if (item->text && *at == ',')
        at = view_skip_blanks(at + 1, end);
    if (*at == ']')
        return false;
    *item = (struct json_view){at, (size_t)(view_skip_value(at, end) - at)};
    return true;
}

bool json_view_is_string(const struct json_view *view)
{
    return view->text[0] == '"';
}

bool json_view_is_null(const struct json_view *view)
{
    return view->text[0] == 'n';
}

/* The text has no end of its own: what follows may be anything, or nothing. */
bool json_view_number(const struct json_view *view, double *out)
{
    char digits[64];
    bool is_number = view->text[0] == '-' || (view->text[0] >= '0' && view->text[0] <= '9');
    if (!is_number || view->bytes >= sizeof digits)
        return false;
    memcpy(digits, view->text, view->bytes);
    digits[view->bytes] = '\0';
    *out = strtod(digits, NULL);
    return true;
}

void json_view_string(const struct json_view *string, struct text *out)
{
    const char *at = string->text + 1;
    const char *end = string->text + string->bytes - 1;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        if (!escape)
            escape = end;
        text_add_bytes(out, at, (size_t)(escape - at));
        at = escape < end ? view_add_escape(escape, out) : end;
    }
}

/* ---- steps over text that json_scan() accepted --------------------------------------------- */

static const char *view_skip_blanks(const char *at, const char *end)
{
    while (at < end && memchr(BLANKS, *at, sizeof(BLANKS) - 1))
        at++;
    return at;
}

static const char *view_skip_string(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

/* Over a container by counting brackets outside strings: which kind they are was checked. */
static const char *view_skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        if (*at == '"') {
            at = view_skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (depth > 0) {
            at++;
        } else {
            while (at < end && !memchr(BLANKS ",]}", *at, sizeof(BLANKS ",]}") - 1))
                at++;
        }
    } while (depth > 0);
    return at;
}

/* ---- escapes ------------------------------------------------------------------------------- */

static uint32_t view_hex4(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10);
        value = value << 4 | digit;
    }
    return value;
}

static void view_add_utf8(uint32_t c, struct text *out)
{
    char bytes[4];
    size_t count = 0;
    if (c < 0x80) {
        bytes[count++] = (char)c;
    } else if (c < 0x800) {
        bytes[count++] = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        bytes[count++] = (char)(0xe0 | c >> 12);
        bytes[count++] = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        bytes[count++] = (char)(0xf0 | c >> 18);
        bytes[count++] = (char)(0x80 | (c >> 12 & 0x3f));
        bytes[count++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80)
        bytes[count++] = (char)(0x80 | (c & 0x3f));
    text_add_bytes(out, bytes, count);
}

/* The escape at the backslash `at`; returns the position after it. */
static const char *view_add_escape(const char *at, struct text *out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (at[1] != 'u') {
        const char *letter = strchr(letters, at[1]);
        mr_assert(letter != NULL);
        text_add_bytes(out, &meanings[letter - letters], 1);
        return at + 2;
    }
    uint32_t c = view_hex4(at + 2);
    at += 6;
    bool is_high = c >= 0xd800 && c < 0xdc00;
    if (is_high && at[0] == '\\' && at[1] == 'u') {
        uint32_t low = view_hex4(at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            view_add_utf8(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), out);
            return at + 6;
        }
    }
    view_add_utf8(c >= 0xd800 && c < 0xe000 ? 0xfffd : c, out);
    return at;
}
