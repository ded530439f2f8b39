/* SPDX-License-Identifier: MIT */
/*
 * cells.h - what stands in a table on a terminal: numbers in few characters, texts of a width.
 *
 * A text that is not ours moves no cursor: what utf8_shown_bytes() does not show is a question mark
 * here. Of a character of three bytes or more it is supposed that it is two columns wide, so that
 * no line gets wider than it says.
 */
#ifndef DISPATCHER_CELLS_H
#define DISPATCHER_CELLS_H

#include <stddef.h>

#include "dispatcher/text/text.h"

#define CELL_BYTES 24u

/* Each is "-" of NAN and of what is negative. */
void cell_size(char cell[CELL_BYTES], double bytes);    /* 512, 12.3M: powers of 1024 */
void cell_age(char cell[CELL_BYTES], double seconds);   /* 12s, 3m12s, 2h05m, 3d04h */
void cell_count(char cell[CELL_BYTES], double count);   /* 12345, 123k, 12.3M: powers of 1000 */
void cell_rate(char cell[CELL_BYTES], double per_s);    /* 0.3, 12.3, 123, 12.3k */
void cell_time(char cell[CELL_BYTES], double seconds);  /* 0.1ms, 12.3ms, 1.23s, 123s */
void cell_percent(char cell[CELL_BYTES], double share); /* 12% of 0.12 */

/* cuda:2; "" of no kind. */
void cell_device(char cell[CELL_BYTES], const char *kind, double index);

/* "s", or "" of 1. */
const char *cells_plural(double count);

/* Adds as much of the text as fits, and returns how many columns that takes; where something is
 * left out the last one is a ~. */
size_t cells_add(struct text *out, const char *text, size_t columns);

/* Likewise, and blanks behind or in front of it up to the width. */
void cells_add_left(struct text *out, const char *text, size_t columns);
void cells_add_right(struct text *out, const char *text, size_t columns);

/* As cells_add_left(), but of what is too long the end is left, behind a ~: of pointers that tells
 * more of them apart. */
void cells_add_end(struct text *out, const char *text, size_t columns);

/* The columns that all of a text takes. */
size_t cells_width(const char *text);

#endif
