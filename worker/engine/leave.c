/* SPDX-License-Identifier: MIT */
/*
 * leave.c - says why, and exits.
 */
#include "worker/engine/leave.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

_Noreturn void leave(enum worker_exit code, const char *format, ...)
{
    /* Not stdio: stderr may be a stream into the ring that is the trouble. */
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (bytes > 0) {
        size_t count = (size_t)bytes < sizeof line - 2 ? (size_t)bytes : sizeof line - 2;
        line[count++] = '\n';
        ssize_t written = write(STDERR_FILENO, line, count);
        (void)written; /* nobody is left to tell */
    }
    _exit((int)code);
}
