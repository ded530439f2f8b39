/* SPDX-License-Identifier: MIT */
/* progress.c - how far something is: one line that is redrawn, or a line for each change. */
#include "dispatcher/cli/operate/progress.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

struct progress progress_begin(FILE *file)
{
    return (struct progress){.file = file, .is_terminal = file && isatty(fileno(file)) == 1};
}

void progress_show(struct progress *progress, const char *format, ...)
{
    char text[PROGRESS_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!progress->file || strcmp(text, progress->last) == 0)
        return;
    memcpy(progress->last, text, sizeof text);
    /* Back to the first column, and clear what a longer one has left behind the text. */
    if (progress->is_terminal)
        fprintf(progress->file, "\r%s\033[K", text);
    else
        fprintf(progress->file, "%s\n", text);
    fflush(progress->file);
}

void progress_end(struct progress *progress)
{
    if (progress->file && progress->is_terminal && progress->last[0] != '\0')
        fputc('\n', progress->file);
}
