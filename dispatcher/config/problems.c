/* SPDX-License-Identifier: MIT */
/* problems.c - all that is wrong with a file, a line each. */
#include "dispatcher/config/problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/cli.h"

void problems_add(struct problems *problems, struct document_place place, const char *where,
                  const char *format, ...)
{
    char line[PROBLEM_BYTES_MAX];
    int bytes = snprintf(line, sizeof line / 2, "%.500s:", problems->file);
    if (place.line > 0)
        bytes += snprintf(line + bytes, sizeof line / 4, "%u:%u:", place.line, place.column);
    bytes += snprintf(line + bytes, sizeof line / 4, " %.300s%s", where, *where ? ": " : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + bytes, sizeof line - (size_t)bytes, format, arguments);
    va_end(arguments);
    if (problems->count < PROBLEM_COUNT_MAX)
        problems->items[problems->count] = (struct problem){place, strdup(line)};
    problems->count++;
}

static int problems_compare(const void *a, const void *b)
{
    const struct document_place *one = &((const struct problem *)a)->place;
    const struct document_place *other = &((const struct problem *)b)->place;
    if (one->line != other->line)
        return one->line < other->line ? -1 : 1;
    return one->column < other->column ? -1 : one->column > other->column;
}

void problems_print(struct problems *problems, FILE *file)
{
    uint32_t kept = problems->count < PROBLEM_COUNT_MAX ? problems->count : PROBLEM_COUNT_MAX;
    qsort(problems->items, kept, sizeof problems->items[0], problems_compare);
    for (uint32_t i = 0; i < kept; i++) {
        cli_print(file, problems->items[i].line ? problems->items[i].line : "no memory");
        fputc('\n', file);
    }
    if (problems->count > kept)
        fprintf(file, "and %u more\n", problems->count - kept);
}

void problems_finish(struct problems *problems)
{
    for (uint32_t i = 0; i < PROBLEM_COUNT_MAX; i++)
        free(problems->items[i].line);
    *problems = (struct problems){0};
}
