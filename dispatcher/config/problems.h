/* SPDX-License-Identifier: MIT */
/*
 * problems.h - all that is wrong with a file, a line each: FILE:LINE:COLUMN: WHERE: WHAT.
 *
 * A file is read to its end whatever is wrong with it, so that all of it is told at once.
 */
#ifndef DISPATCHER_PROBLEMS_H
#define DISPATCHER_PROBLEMS_H

#include <stdint.h>
#include <stdio.h>

#include "dispatcher/text/document.h"

#define PROBLEM_COUNT_MAX 100u
#define PROBLEM_BYTES_MAX 1600u

struct problem {
    struct document_place place;
    char *line; /* owned; NULL: there was no memory for it */
};

/* Zero is empty. */
struct problems {
    const char *file;                        /* the path as it was said; borrowed */
    struct problem items[PROBLEM_COUNT_MAX]; /* the first of them */
    uint32_t count;                          /* of all there are */
};

/* A line is cut where it is too long; without memory it is counted alone. `where` is left out if it
 * is "", and the place if its line is 0. */
void problems_add(struct problems *problems, struct document_place place, const char *where,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* In the order of their places, and how many more there are. What is in them stays on its line. */
void problems_print(struct problems *problems, FILE *file);
void problems_finish(struct problems *problems);

#endif
