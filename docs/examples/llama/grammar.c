/* SPDX-License-Identifier: MIT */
/*
 * grammar.c - strings, classes of characters, names of tokens and comments are passed over.
 */
#include "grammar.h"

#include <stdbool.h>
#include <stdint.h>

struct look {
    const char *at, *end;
    int depth;
};

/* To behind `last`; where backslashes count, to one that has none before it. */
static void pass(struct look *look, char last, bool has_escapes)
{
    while (look->at < look->end) {
        char byte = *look->at++;
        if (byte == last)
            return;
        if (has_escapes && byte == '\\' && look->at < look->end)
            look->at++;
    }
}

static void pass_spaces(struct look *look)
{
    while (look->at < look->end &&
           (*look->at == ' ' || *look->at == '\t' || *look->at == '\r' || *look->at == '\n'))
        look->at++;
}

/* False: there is no number. */
static bool take_number(struct look *look, uint64_t *number)
{
    const char *first = look->at;
    *number = 0;
    for (; look->at < look->end && *look->at >= '0' && *look->at <= '9'; look->at++)
        *number = *number > 1000000 ? *number : *number * 10 + (uint64_t)(*look->at - '0');
    return look->at > first;
}

/* True for {3,1}. What is no repetition at all is llama.cpp's to refuse. */
static bool is_backwards(struct look *look)
{
    uint64_t least, most;
    pass_spaces(look);
    if (!take_number(look, &least))
        return false;
    pass_spaces(look);
    if (look->at == look->end || *look->at != ',')
        return false;
    look->at++;
    pass_spaces(look);
    return take_number(look, &most) && most < least;
}

const char *grammar_look(const char *text, size_t count)
{
    struct look look = {text, text + count, 0};
    while (look.at < look.end) {
        char byte = *look.at++;
        if (byte == '"')
            pass(&look, '"', true);
        else if (byte == '[')
            pass(&look, ']', true);
        else if (byte == '#')
            pass(&look, '\n', false);
        else if (byte == '<')
            pass(&look, '>', false);
        else if (byte == '(' && ++look.depth > GRAMMAR_DEPTH_MAX)
            return "has more than 64 brackets in one another";
        else if (byte == ')' && look.depth > 0)
            look.depth--;
        else if (byte == '{' && is_backwards(&look))
            return "has a repetition whose end is below its beginning";
    }
    return NULL;
}
