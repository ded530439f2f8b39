/* SPDX-License-Identifier: MIT */
/* manifest_value.c - a value of a manifest, and whether it is of the kind that its key has. */
#include "dispatcher/config/manifest_value.h"

#include <string.h>
#include <strings.h>

#define DEPTH_MAX 16u
#define NUMBER_DIGITS_MAX 15u /* which every reader of JSON has exactly */

static bool value_add(const struct document *document, uint32_t node, size_t bytes_max,
                      unsigned depth, struct text *text);
static bool value_scalar_add(const struct document *document, uint32_t node, struct text *text);
static bool value_is_json_number(const char *text);

/* ---- kinds --------------------------------------------------------------------------------- */

static bool value_is_text(const struct document *document, uint32_t node)
{
    return document_kind_of(document, node) == DOCUMENT_VALUE && !document_is_null(document, node);
}

static bool value_is_number(const struct document *document, uint32_t node)
{
    if (!value_is_text(document, node))
        return false;
    const char *text = document_text(document, node);
    size_t bytes = strlen(text);
    return bytes > 0 && bytes <= NUMBER_DIGITS_MAX && strspn(text, "0123456789") == bytes &&
           (*text != '0' || bytes == 1);
}

static bool value_texts_check(const struct document *document, uint32_t node, const char *where,
                              struct problems *errors)
{
    bool is_right = true;
    if (document_kind_of(document, node) != DOCUMENT_LIST) {
        problems_add(errors, document_place_of(document, node), where, "it has to be a list");
        return false;
    }
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        uint32_t item = document_item(document, node, i);
        if (value_is_text(document, item))
            continue;
        problems_add(errors, document_place_of(document, item), where,
                     "each item has to be a text");
        is_right = false;
    }
    return is_right;
}

bool manifest_kind_check(const struct document *document, uint32_t node, enum manifest_kind kind,
                         const char *where, struct problems *errors)
{
    bool is_right = false;
    const char *what = "";
    switch (kind) {
    case MANIFEST_TEXT:
        is_right = value_is_text(document, node);
        what = "it has to be a text";
        break;
    case MANIFEST_TEXTS:
        return value_texts_check(document, node, where, errors);
    case MANIFEST_NUMBER:
        is_right = value_is_number(document, node);
        what = "it has to be a whole number";
        break;
    case MANIFEST_MAPPING:
        is_right = document_kind_of(document, node) == DOCUMENT_MAPPING;
        what = "it has to be keys and their values";
        break;
    case MANIFEST_KIND_COUNT:
        mr_assert(false);
    }
    if (!is_right)
        problems_add(errors, document_place_of(document, node), where, "%s", what);
    return is_right;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

bool manifest_json_add(const struct document *document, uint32_t node, size_t bytes_max,
                       struct text *text)
{
    return value_add(document, node, text->count + bytes_max, 0, text);
}

/* An alias may make it endless, or large beyond measure: both bounds end that. */
static bool value_add(const struct document *document, uint32_t node, size_t bytes_max,
                      unsigned depth, struct text *text)
{
    enum document_kind kind = document_kind_of(document, node);
    if (depth > DEPTH_MAX)
        return false;
    if (kind == DOCUMENT_VALUE)
        return value_scalar_add(document, node, text) && text->count <= bytes_max;
    text_add(text, "%s", kind == DOCUMENT_LIST ? "[" : "{");
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        text_add(text, "%s", i > 0 ? "," : "");
        uint32_t item;
        if (kind == DOCUMENT_MAPPING) {
            const char *key = document_text(document, document_key(document, node, i));
            text_add_json(text, key, strlen(key));
            text_add(text, ":");
            item = document_member(document, node, i);
        } else {
            item = document_item(document, node, i);
        }
        if (!value_add(document, item, bytes_max, depth + 1, text))
            return false;
    }
    text_add(text, "%s", kind == DOCUMENT_LIST ? "]" : "}");
    return text->count <= bytes_max;
}

/* Plain words as YAML 1.1 has them. A number that is none in JSON stays a text. */
static bool value_scalar_add(const struct document *document, uint32_t node, struct text *text)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    const char *value = document_text(document, node);
    const char *word = NULL;
    if (document_is_plain(document, node)) {
        for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
            word = strcasecmp(value, yes[i]) == 0 ? "true" : word;
            word = strcasecmp(value, no[i]) == 0 ? "false" : word;
        }
        if (document_is_null(document, node))
            word = "null";
        else if (value_is_json_number(value))
            word = value;
    }
    if (word)
        text_add_bytes(text, word, strlen(word));
    else
        text_add_json(text, value, strlen(value));
    return !text->failed;
}

static size_t value_digits(const char *text)
{
    return strspn(text, "0123456789");
}

static bool value_is_json_number(const char *text)
{
    text += *text == '-';
    size_t digits = value_digits(text);
    if (digits == 0 || (*text == '0' && digits > 1))
        return false;
    text += digits;
    if (*text == '.') {
        digits = value_digits(++text);
        text += digits;
        if (digits == 0)
            return false;
    }
    if (*text == 'e' || *text == 'E') {
        text += 1 + (text[1] == '+' || text[1] == '-');
        digits = value_digits(text);
        text += digits;
        if (digits == 0)
            return false;
    }
    return *text == '\0';
}
