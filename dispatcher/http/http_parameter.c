/* SPDX-License-Identifier: MIT */
/* http_parameter.c - a word, and parameters behind semicolons. */
#include "dispatcher/http/http_parameter.h"

#include <errno.h>
#include <string.h>

struct parameter {
    struct http_text name;
    struct http_text value; /* of a quoted one, what is between the quotes */
    bool is_quoted;
};

static bool parameter_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct http_text parameter_trim(struct http_text text)
{
    while (text.bytes > 0 && parameter_is_blank(text.data[0]))
        text.data++, text.bytes--;
    while (text.bytes > 0 && parameter_is_blank(text.data[text.bytes - 1]))
        text.bytes--;
    return text;
}

static struct http_text parameter_step(struct http_text text, size_t bytes)
{
    return (struct http_text){text.data + bytes, text.bytes - bytes};
}

/* Takes the word before the first semicolon off `rest`, which begins with that then. */
static struct http_text parameter_word(struct http_text *rest)
{
    const char *end = rest->bytes > 0 ? memchr(rest->data, ';', rest->bytes) : NULL;
    const size_t bytes = end ? (size_t)(end - rest->data) : rest->bytes;
    struct http_text word = parameter_trim((struct http_text){rest->data, bytes});
    *rest = parameter_step(*rest, bytes);
    return word;
}

static int parameter_quoted(struct http_text *rest, struct parameter *out)
{
    size_t at = 1;
    while (at < rest->bytes && rest->data[at] != '"')
        at += rest->data[at] == '\\' ? 2 : 1;
    if (at >= rest->bytes)
        return -EINVAL;
    out->value = (struct http_text){rest->data + 1, at - 1};
    out->is_quoted = true;
    *rest = parameter_trim(parameter_step(*rest, at + 1));
    return rest->bytes == 0 || rest->data[0] == ';' ? 1 : -EINVAL;
}

/* Takes the next parameter off `rest`. 1; 0: there is none; -EINVAL. */
static int parameter_next(struct http_text *rest, struct parameter *out)
{
    do {
        *rest = parameter_trim(*rest);
        if (rest->bytes == 0)
            return 0;
        if (rest->data[0] != ';')
            return -EINVAL;
        *rest = parameter_trim(parameter_step(*rest, 1));
    } while (rest->bytes > 0 && rest->data[0] == ';');
    if (rest->bytes == 0)
        return 0;
    const char *equals = memchr(rest->data, '=', rest->bytes);
    const char *end = memchr(rest->data, ';', rest->bytes);
    if (!equals || (end && end < equals))
        return -EINVAL;
    const size_t bytes = (size_t)(equals - rest->data);
    *out = (struct parameter){.name = parameter_trim((struct http_text){rest->data, bytes})};
    *rest = parameter_trim(parameter_step(*rest, bytes + 1));
    if (rest->bytes > 0 && rest->data[0] == '"')
        return parameter_quoted(rest, out);
    out->value = parameter_word(rest);
    return 1;
}

/* A backslash stands before a quote or a backslash; before anything else it is one, as in paths
 * that clients of Windows send. */
static int64_t parameter_write(const struct parameter *parameter, char *out, size_t room)
{
    const struct http_text value = parameter->value;
    size_t count = 0;
    for (size_t i = 0; i < value.bytes && count < room; i++) {
        if (parameter->is_quoted && value.data[i] == '\\' && i + 1 < value.bytes &&
            (value.data[i + 1] == '"' || value.data[i + 1] == '\\'))
            i++;
        out[count++] = value.data[i];
    }
    return (int64_t)count;
}

bool http_parameter_type_is(struct http_text field, const char *lower_case_word)
{
    return http_text_matches(parameter_word(&field), lower_case_word);
}

int64_t http_parameter_find(struct http_text field, const char *lower_case_name, char *out,
                            size_t room)
{
    struct parameter parameter;
    int rc;
    parameter_word(&field);
    while ((rc = parameter_next(&field, &parameter)) > 0)
        if (http_text_matches(parameter.name, lower_case_name))
            return parameter_write(&parameter, out, room);
    return rc < 0 ? rc : -ENOENT;
}

/* UTF-8''percent-encoded (RFC 8187), in place. */
static int64_t parameter_extended(char *text, int64_t bytes)
{
    static const char charset[] = "utf-8'";
    const struct http_text word = {text, sizeof charset - 1};
    if (bytes < (int64_t)word.bytes || !http_text_matches(word, charset))
        return -EINVAL;
    const char *at = memchr(text + word.bytes, '\'', (size_t)bytes - word.bytes);
    if (!at)
        return -EINVAL;
    const char *end = text + bytes;
    char *out = text;
    for (at++; at < end; at++) {
        if (*at != '%') {
            *out++ = *at;
            continue;
        }
        const int high = end - at > 2 ? http_hex_value(at[1]) : -1;
        const int low = end - at > 2 ? http_hex_value(at[2]) : -1;
        if (high < 0 || low < 0)
            return -EINVAL;
        *out++ = (char)(high * 16 + low);
        at += 2;
    }
    return out - text;
}

int64_t http_parameter_filename(struct http_text field, char *out, size_t room)
{
    int64_t bytes = http_parameter_find(field, "filename*", out, room);
    if (bytes >= 0)
        bytes = parameter_extended(out, bytes);
    return bytes >= 0 ? bytes : http_parameter_find(field, "filename", out, room);
}
