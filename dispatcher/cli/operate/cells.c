/* SPDX-License-Identifier: MIT */
/* cells.c - what stands in a table on a terminal: numbers in few characters, texts of a width. */
#include "dispatcher/cli/operate/cells.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/text/utf8.h"

#define WIDE_BYTES 3u /* of a character that may be two columns wide */

static bool cell_is_none(char cell[CELL_BYTES], double number)
{
    snprintf(cell, CELL_BYTES, "-");
    return !(number >= 0) || isinf(number);
}

/* In three digits, if it is below 1000. */
static void cell_digits(char cell[CELL_BYTES], double number, const char *unit)
{
    int places = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
    snprintf(cell, CELL_BYTES, "%.*f%s", places, fmin(number, 1e12), unit);
}

/* With the largest unit that leaves it 1 or more. */
static void cell_scaled(char cell[CELL_BYTES], double number)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    while (unit < 4 && number >= 999.5) {
        number /= 1000;
        unit++;
    }
    cell_digits(cell, number, units[unit]);
}

void cell_size(char cell[CELL_BYTES], double bytes)
{
    static const char *const units[] = {"", "K", "M", "G", "T"};
    if (cell_is_none(cell, bytes))
        return;
    if (bytes < 1024) {
        snprintf(cell, CELL_BYTES, "%.0f", floor(bytes));
        return;
    }
    size_t unit = 0;
    while (unit < 4 && bytes >= 1023.5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(cell, CELL_BYTES, "%.*f%s", bytes < 99.95 ? 1 : 0, fmin(bytes, 1e12), units[unit]);
}

void cell_age(char cell[CELL_BYTES], double seconds)
{
    static const struct {
        uint64_t s;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    if (cell_is_none(cell, seconds))
        return;
    uint64_t s = (uint64_t)fmin(seconds, 1e15);
    size_t i = 0;
    while (i + 1 < 4 && s < units[i].s)
        i++;
    unsigned long long whole = s / units[i].s;
    if (i + 1 == 4)
        snprintf(cell, CELL_BYTES, "%llus", whole);
    else
        snprintf(cell, CELL_BYTES, "%llu%s%02u%s", whole, units[i].name,
                 (unsigned)(s % units[i].s / units[i + 1].s), units[i + 1].name);
}

void cell_count(char cell[CELL_BYTES], double count)
{
    if (cell_is_none(cell, count))
        return;
    if (count < 99999.5)
        snprintf(cell, CELL_BYTES, "%.0f", count);
    else
        cell_scaled(cell, count);
}

void cell_rate(char cell[CELL_BYTES], double per_s)
{
    if (cell_is_none(cell, per_s))
        return;
    if (per_s < 0.005)
        snprintf(cell, CELL_BYTES, "0");
    else if (per_s < 99.95)
        snprintf(cell, CELL_BYTES, "%.1f", per_s < 0.05 ? 0.1 : per_s);
    else
        cell_scaled(cell, per_s);
}

void cell_time(char cell[CELL_BYTES], double seconds)
{
    if (cell_is_none(cell, seconds))
        return;
    if (seconds < 0.9995)
        snprintf(cell, CELL_BYTES, "%.*fms", seconds < 0.09995 ? 1 : 0, 1000 * seconds);
    else
        cell_digits(cell, seconds, "s");
}

void cell_device(char cell[CELL_BYTES], const char *kind, double index)
{
    cell[0] = '\0';
    if (*kind != '\0' && index >= 0)
        snprintf(cell, CELL_BYTES, "%.12s:%.0f", kind, fmin(index, 1e6));
}

void cell_percent(char cell[CELL_BYTES], double share)
{
    if (!cell_is_none(cell, share))
        snprintf(cell, CELL_BYTES, "%.0f%%", 100 * fmin(share, 1e6));
}

const char *cells_plural(double count)
{
    return count == 1 ? "" : "s";
}

/* ---- texts --------------------------------------------------------------------------------- */

/* The character at `text`, and what stands for it: of *bytes, `columns` wide. */
static const char *cells_character(const char *text, size_t count, size_t *bytes, size_t *columns)
{
    size_t shown = utf8_shown_bytes(text, count);
    *bytes = shown > 0 ? shown : 1;
    *columns = shown >= WIDE_BYTES ? 2 : 1;
    return shown > 0 ? text : *text == '\n' || *text == '\t' ? " " : "?";
}

size_t cells_width(const char *text)
{
    size_t width = 0, count = strlen(text), bytes, columns;
    for (size_t i = 0; i < count; i += bytes) {
        cells_character(text + i, count - i, &bytes, &columns);
        width += columns;
    }
    return width;
}

size_t cells_add(struct text *out, const char *text, size_t columns)
{
    size_t used = 0, count = strlen(text), bytes, wide;
    size_t room = cells_width(text) <= columns ? columns : columns > 0 ? columns - 1 : 0;
    for (size_t i = 0; i < count; i += bytes) {
        const char *shown = cells_character(text + i, count - i, &bytes, &wide);
        if (used + wide > room)
            break;
        text_add_bytes(out, shown, shown == text + i ? bytes : 1);
        used += wide;
    }
    if (room < columns) {
        text_add(out, "~");
        used++;
    }
    return used;
}

void cells_add_left(struct text *out, const char *text, size_t columns)
{
    size_t used = cells_add(out, text, columns);
    text_add(out, "%*s", (int)(columns - used), "");
}

void cells_add_right(struct text *out, const char *text, size_t columns)
{
    size_t width = cells_width(text);
    if (width < columns)
        text_add(out, "%*s", (int)(columns - width), "");
    cells_add(out, text, columns);
}

void cells_add_end(struct text *out, const char *text, size_t columns)
{
    size_t width = cells_width(text), bytes, wide;
    const char *at = text;
    if (width > columns && columns > 0) {
        for (; width > columns - 1; width -= wide, at += bytes)
            cells_character(at, strlen(at), &bytes, &wide);
        text_add(out, "~");
        columns--;
    }
    cells_add_left(out, at, columns);
}
