/* SPDX-License-Identifier: MIT */
/*
 * error.h - why the run at hand (or the start of the worker) failed: one of the API's error types
 * and a text.
 *
 * One for each worker, reused: whoever calls user code clears it before, and reads it after a
 * negative result.
 */
#ifndef WORKER_ERROR_H
#define WORKER_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"

struct error {
    bool is_set;
    enum error_type type;
    size_t bytes; /* of text, without its NUL */
    char text[ERROR_MESSAGE_BYTES_MAX];
    const char *traceback; /* NULL: none; memory of the host, until its next failure */
    size_t traceback_bytes;
};

void error_clear(struct error *error);

/* Replaces what was there. Text longer than the limit is cut at a character and says so. */
__attribute__((format(printf, 3, 4))) void error_set(struct error *error, enum error_type type,
                                                     const char *format, ...);
__attribute__((format(printf, 3, 0))) void error_vset(struct error *error, enum error_type type,
                                                      const char *format, va_list arguments);

/* Puts more behind the text, as much as there is room for, cut at a character. */
void error_append(struct error *error, const char *text);

/* Adds where it happened to what was set; longer text loses its start, since the last call is what
 * matters. `text` is borrowed. */
void error_set_traceback(struct error *error, const char *text, size_t bytes);

/* Makes the failure of `what` ("pipe") called `name` complete: where user code returned `result`
 * without a word, says that it did; then puts "what name: " in front. */
void error_explain(struct error *error, const char *what, const char *name, int result);

/* The longest start of `bytes` bytes of text that fits into `room` and ends at a character. */
size_t error_cut(const char *text, size_t bytes, size_t room);

#endif
