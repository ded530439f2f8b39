/* SPDX-License-Identifier: MIT */
/* file_about.c - lines of a word and its value, in one order. */
#include "dispatcher/files/file_about.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_LINE "millrace-file 1"
#define NUMBER_BYTES_MAX 24u

void file_about_name(const char *id, char out[FILE_ABOUT_NAME_BYTES])
{
    snprintf(out, FILE_ABOUT_NAME_BYTES, "%s.about", id);
}

bool file_id_is_valid(const char *text, size_t bytes)
{
    static const char prefix[] = "file_";
    const size_t skip = sizeof prefix - 1;
    if (bytes != FILE_ID_BYTES - 1 || memcmp(text, prefix, skip) != 0)
        return false;
    for (size_t i = skip; i < bytes; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

size_t file_about_format(const struct file_about *about, char out[FILE_ABOUT_BYTES_MAX])
{
    int count = snprintf(out, FILE_ABOUT_BYTES_MAX,
                         FORMAT_LINE "\nowner %s\nname %s\nbytes %llu\nsha256 %s\ncreated %.6f\n",
                         about->owner, about->name, (unsigned long long)about->bytes, about->sha256,
                         about->created_at);
    mr_assert(count > 0 && (size_t)count < FILE_ABOUT_BYTES_MAX);
    return (size_t)count;
}

struct about_lines {
    const char *at, *end;
    bool failed;
};

/* The value of the next line, which begins with this word, into `out` with a NUL. */
static void about_take(struct about_lines *lines, const char *word, char *out, size_t room)
{
    const size_t skip = strlen(word);
    const char *end =
        lines->failed ? NULL : memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    if (!end || (size_t)(end - lines->at) < skip || memcmp(lines->at, word, skip) != 0 ||
        (size_t)(end - lines->at) - skip >= room ||
        memchr(lines->at, '\0', (size_t)(end - lines->at))) {
        lines->failed = true;
        return;
    }
    const size_t bytes = (size_t)(end - lines->at) - skip;
    memcpy(out, lines->at + skip, bytes);
    out[bytes] = '\0';
    lines->at = end + 1;
}

static bool about_number(const char *text, const char *digits)
{
    const size_t bytes = strspn(text, digits);
    return bytes > 0 && text[bytes] == '\0';
}

int file_about_parse(const char *id, const char *text, size_t bytes, struct file_about *out)
{
    struct about_lines lines = {text, text + bytes, false};
    char nothing[1], count[NUMBER_BYTES_MAX], created[NUMBER_BYTES_MAX];
    char name[FILE_NAME_BYTES_MAX + 1];
    *out = (struct file_about){0};
    about_take(&lines, FORMAT_LINE, nothing, sizeof nothing);
    about_take(&lines, "owner ", out->owner, sizeof out->owner);
    about_take(&lines, "name ", name, sizeof name);
    about_take(&lines, "bytes ", count, sizeof count);
    about_take(&lines, "sha256 ", out->sha256, sizeof out->sha256);
    about_take(&lines, "created ", created, sizeof created);
    if (lines.failed || lines.at != lines.end || !about_number(count, "0123456789") ||
        !about_number(created, "0123456789.") || strlen(out->sha256) != FILE_HASH_BYTES - 1 ||
        !about_number(out->sha256, "0123456789abcdef") ||
        (out->owner[0] != '\0' && !token_name_is_valid(out->owner)))
        return -EINVAL;
    memcpy(out->id, id, FILE_ID_BYTES);
    file_name_make(name, strlen(name), out->name);
    out->bytes = strtoull(count, NULL, 10);
    out->created_at = strtod(created, NULL);
    return 0;
}
