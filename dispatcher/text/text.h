/* SPDX-License-Identifier: MIT */
/*
 * text.h - text that grows, for answers that are not on the chunk path.
 */
#ifndef DISPATCHER_TEXT_H
#define DISPATCHER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"

/* Zero is empty. A failed allocation is remembered: later additions do nothing, and whoever uses
 * the text looks at `failed` once. */
struct text {
    char *bytes; /* owned; not NUL-terminated */
    size_t count, room;
    bool failed;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const char *bytes, size_t count);

/* Adds a JSON string with its quotes; invalid UTF-8 is replaced. */
void text_add_json(struct text *text, const char *string, size_t count);

/* Room for `bytes` behind what is there; NULL when there is none. Add to `count` what was
 * written. */
char *text_reserve(struct text *text, size_t bytes);

/* Gives back what room there is beyond `slack` bytes behind the text. */
void text_trim(struct text *text, size_t slack);

void text_finish(struct text *text);

/* A NUL-terminated copy in malloc'ed memory, of bytes that need not be terminated; NULL: no
 * memory. */
char *text_duplicate(const char *bytes, size_t count) MUST_USE;

#endif
