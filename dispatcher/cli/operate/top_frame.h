/* SPDX-License-Identifier: MIT */
/*
 * top_frame.h - what `millrace top` shows, as text: made of two moments and a size alone.
 */
#ifndef DISPATCHER_TOP_FRAME_H
#define DISPATCHER_TOP_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/text/text.h"

#define TOP_COLUMNS_MIN 40u
#define TOP_COLUMNS 80u /* where nobody says how many there are */

struct top_sample {
    const struct live_state *state;
    double at_s; /* of a clock that only goes on */
};

struct top_view {
    uint32_t columns;
    uint32_t rows;   /* of the screen; 0: as many as it takes, without a line of keys */
    uint32_t scroll; /* lines of pipelines above the screen; made smaller where there are fewer */
    bool shows_workers;
    bool is_paused;
    bool has_color;
    const char *message; /* in place of how the server is; NULL: none */
};

/* Adds lines, each with its newline, of at most the view's columns, and at most its rows of them.
 * `before` NULL: there is no earlier moment, and no rates. What color adds to a line takes no
 * column. */
void top_frame_add(struct text *out, const struct top_sample *before, const struct top_sample *now,
                   struct top_view *view);

#endif
