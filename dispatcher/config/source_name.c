/* SPDX-License-Identifier: MIT */
/* source_name.c - how names in sources are spelled. */
#include "dispatcher/config/source_name.h"

static bool source_name_is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool source_name_is_pipeline(const char *text)
{
    if (*text == '\0' || (*text >= '0' && *text <= '9'))
        return false;
    while (source_name_is_alnum(*text) || *text == '_')
        text++;
    return *text == '\0';
}

bool source_name_is_module(const char *text)
{
    bool starts = true;
    for (; *text != '\0'; text++) {
        bool is_digit = *text >= '0' && *text <= '9';
        if (*text == '.' ? starts
                         : (!source_name_is_alnum(*text) && *text != '_') || (starts && is_digit))
            return false;
        starts = *text == '.';
    }
    return !starts;
}
