/* SPDX-License-Identifier: MIT */
/* transfer_view.c - how far a file is on its way, on a terminal. */
#include "dispatcher/cli/operate/transfer_view.h"

#include <time.h>
#include <unistd.h>

#include "dispatcher/cli/operate/cells.h"

#define DRAWN_EVERY_MS 100u
#define NAME_COLUMNS 40u

struct transfer_view transfer_view_begin(FILE *file)
{
    return (struct transfer_view){.file = file, .is_terminal = isatty(fileno(file)) == 1};
}

static uint64_t view_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void view_draw(struct transfer_view *view, const char *name, uint64_t done, uint64_t bytes)
{
    char done_cell[CELL_BYTES], bytes_cell[CELL_BYTES];
    struct text text = {0};
    cells_add(&text, name, NAME_COLUMNS);
    cell_size(done_cell, (double)done);
    cell_size(bytes_cell, (double)bytes);
    fprintf(view->file, "\r%.*s: %s%s%s\033[K", (int)text.count, text.bytes ? text.bytes : "",
            done_cell, bytes == UINT64_MAX ? "" : " of ", bytes == UINT64_MAX ? "" : bytes_cell);
    fflush(view->file);
    text_finish(&text);
}

void transfer_view_told(void *context, const char *name, uint64_t done, uint64_t bytes)
{
    struct transfer_view *view = context;
    const uint64_t now_ms = view_now_ms();
    if (view->began_ms == 0)
        view->began_ms = view->drawn_ms = now_ms;
    if (done == bytes) {
        if (view->drawn_ms != view->began_ms)
            fprintf(view->file, "\r\033[K");
        fflush(view->file);
        view->began_ms = 0;
    } else if (now_ms - view->drawn_ms >= DRAWN_EVERY_MS) {
        view->drawn_ms = now_ms;
        view_draw(view, name, done, bytes);
    }
}
