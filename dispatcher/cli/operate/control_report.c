/* SPDX-License-Identifier: MIT */
/* control_report.c - what answers of the control socket say, as lines for people. */
#include "dispatcher/cli/operate/control_report.h"

#include <math.h>
#include <string.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/text/text.h"

#define WORD_COLUMNS 10

double report_number(const struct json_view *object, const char *key)
{
    struct json_view value;
    double number;
    bool is_there = json_view_member(object, key, &value) && json_view_number(&value, &number);
    return is_there ? number : NAN;
}

bool report_is(const struct json_view *object, const char *key, const char *word)
{
    struct json_view value;
    size_t bytes = strlen(word);
    return json_view_member(object, key, &value) && json_view_is_string(&value) &&
           value.bytes == bytes + 2 && memcmp(value.text + 1, word, bytes) == 0;
}

/* In memory that the caller frees with the text; never NULL. */
static const char *report_text(struct text *text, const struct json_view *value)
{
    if (json_view_is_string(value))
        json_view_string(value, text);
    else
        text_add(text, "-");
    text_add_bytes(text, "", 1);
    return text->failed ? "-" : text->bytes;
}

static void report_value_print(const struct json_view *value, FILE *file)
{
    struct text text = {0};
    cli_print(file, report_text(&text, value));
    text_finish(&text);
}

bool report_has_items(const struct json_view *object, const char *key)
{
    struct json_view list, item = {0};
    return json_view_member(object, key, &list) && json_view_next(&list, &item);
}

void report_text_print(const struct json_view *object, const char *key, FILE *file)
{
    struct json_view value = json_view_get(object, key);
    report_value_print(&value, file);
}

void report_count_print(double count, const char *noun, FILE *file)
{
    fprintf(file, "%.0f %s%s", count, noun, count == 1 ? "" : "s");
}

void report_difference_print(const struct json_view *root, FILE *file)
{
    static const struct {
        const char *key, *word;
    } lists[] = {{"added", "added"},     {"replaced", "replaced"}, {"removed", "removed"},
                 {"changed", "changed"}, {"kept", "kept"},         {"aliases", "alias"}};
    struct json_view list;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        struct json_view pointer = {0};
        while (json_view_member(root, lists[i].key, &list) && json_view_next(&list, &pointer)) {
            fprintf(file, "%-*s", WORD_COLUMNS, lists[i].word);
            report_value_print(&pointer, file);
            fputc('\n', file);
        }
    }
    struct json_view key = {0};
    while (json_view_member(root, "restart_keys", &list) && json_view_next(&list, &key)) {
        fprintf(file, "%-*s", WORD_COLUMNS, "restart");
        report_value_print(&key, file);
        fputs(" is different, which needs a restart of the server\n", file);
    }
}

uint32_t report_errors_print(const struct json_view *root, const char *command)
{
    uint32_t count = 0;
    struct json_view list, error = {0}, one = {0};
    while (json_view_member(root, "errors", &list) && json_view_next(&list, &error)) {
        report_value_print(&error, stderr);
        fputc('\n', stderr);
        count++;
    }
    while (json_view_member(root, "failed", &list) && json_view_next(&list, &one)) {
        struct json_view pointer = json_view_get(&one, "pointer");
        struct json_view reason = json_view_get(&one, "reason");
        struct text where = {0}, why = {0};
        cli_fail("%s: %s: %s", command, report_text(&where, &pointer), report_text(&why, &reason));
        text_finish(&where);
        text_finish(&why);
        count++;
    }
    return count;
}
